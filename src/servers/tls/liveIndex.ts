/** Every admitted TLS connection of this process by its holder and by its certificate: the kill switch. */
import { toHex } from '../../wire/bytes/hex.ts';
import type { LiveConnections } from '../../trust/ports/liveConnections.ts';
import type { Connection } from './connection.ts';

export class LiveIndex implements LiveConnections {
  readonly name = 'tls';
  readonly #byHolder = new Map<string, Set<Connection>>();
  readonly #byCertificate = new Map<string, Set<Connection>>();
  readonly #listeners: Array<() => void> = [];
  #size = 0;
  #drops = 0;

  get size(): number {
    return this.#size;
  }

  /**
   * Grows with every drop. A door notes it before it asks the registry; if it has grown when the answer
   * is there, the answer may be older than a revocation and must be asked for again.
   */
  get drops(): number {
    return this.#drops;
  }

  /** Doors turn their ticket keys: who was dropped resumes nothing. */
  onDrop(listener: () => void): void {
    this.#listeners.push(listener);
  }

  countOf(holder: string): number {
    return this.#byHolder.get(holder)?.size ?? 0;
  }

  add(connection: Connection): void {
    const { holder, certificateSha256 } = connection.peer;
    put(this.#byHolder, holder, connection);
    put(this.#byCertificate, certificateSha256, connection);
    this.#size += 1;
    connection.socket.once('close', () => {
      take(this.#byHolder, holder, connection);
      take(this.#byCertificate, certificateSha256, connection);
      this.#size -= 1;
    });
  }

  drop(holders: ReadonlySet<string>): Promise<number> {
    const chosen = [...holders].flatMap((holder) => [...(this.#byHolder.get(holder) ?? [])]);
    return this.#end(chosen);
  }

  dropCertificate(sha256: Uint8Array): Promise<number> {
    return this.#end([...(this.#byCertificate.get(toHex(sha256)) ?? [])]);
  }

  /** Certificates that ran out while their connection stayed open. Returns how many were ended. */
  dropExpired(nowMs: number): number {
    const expired = [...this.#byHolder.values()]
      .flatMap((connections) => [...connections])
      .filter(({ peer }) => peer.notAfterMs !== undefined && peer.notAfterMs < nowMs);
    for (const connection of expired) connection.end();
    return expired.length;
  }

  /** Resolves when the last of them has closed. */
  async #end(connections: readonly Connection[]): Promise<number> {
    this.#drops += 1;
    for (const listener of this.#listeners) listener();
    await Promise.all(
      connections.map((connection) => {
        const closed = closeOf(connection);
        connection.end();
        return closed;
      }),
    );
    return connections.length;
  }
}

function closeOf({ socket }: Connection): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => {
    socket.once('close', () => resolve());
  });
}

type Index = Map<string, Set<Connection>>;

function put(index: Index, key: string, connection: Connection): void {
  const present = index.get(key);
  if (present === undefined) index.set(key, new Set([connection]));
  else present.add(connection);
}

function take(index: Index, key: string, connection: Connection): void {
  const present = index.get(key);
  present?.delete(connection);
  if (present?.size === 0) index.delete(key);
}
