/** One TLS connection whose peer was verified. Doors act for `peer`, and for nothing the peer says of itself. */
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { CertificateKind } from '../../trust/ports/registryStore.ts';

/** What a door knows of a peer; `trust/peers` alone decides it. */
export interface DoorPeer {
  readonly kind: CertificateKind;
  /** A deviceId for devices, else the name that the kind makes unique. */
  readonly holder: string;
  /** Of the certificate that was shown, in lower-case hexadecimal. */
  readonly certificateSha256: string;
  /** `undefined` when the certificate has no well-defined expiration. */
  readonly notAfterMs: number | undefined;
}

export class Connection {
  readonly peer: DoorPeer;
  readonly socket: TLSSocket;
  #ended = false;

  constructor(peer: DoorPeer, socket: TLSSocket) {
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
