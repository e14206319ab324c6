/** One TLS connection whose peer was verified. Doors act for `peer`, and for nothing the peer says of itself. */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';

export class Connection {
  readonly peer: VerifiedPeer;
  readonly socket: TLSSocket;
  #ended = false;

  constructor(peer: VerifiedPeer, socket: TLSSocket) {
    this.peer = peer;
    this.socket = socket;
  }

  /** True from the moment of revocation on: what is still in a buffer must not be acted upon. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Without a goodbye: a peer that is refused now must not get to send another byte. */
  end(): void {
    this.#ended = true;
    this.socket.destroy();
  }
}

const connections = new WeakMap<Duplex, Connection>();

export function rememberConnection(connection: Connection): void {
  connections.set(connection.socket, connection);
}

/** `undefined` for a socket that no door admitted. */
export function connectionOf(socket: Duplex): Connection | undefined {
  return connections.get(socket);
}
