/**
 * The one place that opens TLS listeners. OpenSSL does the handshake and proves that the peer holds the
 * key of the certificate it shows; whether that certificate means anything is decided by `verify`, on
 * every connection, resumed or not, before the first application byte is read. What OpenSSL itself
 * concluded about the certificate (`authorized`) is never looked at: a resumed session keeps it after its
 * anchor is gone, and with a forged certificate its finding depends on the order of its checks.
 */
import { constants, randomBytes } from 'node:crypto';
import { type AddressInfo, createServer, type Server as NetServer, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseAddress } from '../../wire/x509/generalNames.ts';
import { Connection, rememberConnection } from './connection.ts';
import { type HandshakeLimits, HandshakeQueue } from './handshakeQueue.ts';
import { lacksExtendedMasterSecret } from './extendedMasterSecret.ts';
import type { LiveIndex } from './liveIndex.ts';
import { peerChain } from './peerChain.ts';

/** Private key and certificates of the server, as PEM; the chain goes without its root. */
export interface ServerIdentity {
  readonly privateKeyPem: string;
  readonly chainPem: string;
}

/** Rejects only for reasons that are not the peer's, who is refused then as well. */
export type VerifyPeer = (chain: readonly Uint8Array[]) => Promise<VerifiedPeer | Refusal<string>>;

export interface DoorLimits extends HandshakeLimits {
  /** Open connections, verified or not. */
  readonly connections: number;
  /** Of the handshake, and before it of the waiting for one. */
  readonly handshakeTimeoutMs: number;
  /** Verified connections of one holder. */
  readonly perHolder: number;
  /** Open connections of peers without a certificate, where a door lets them in. */
  readonly visitors: number;
}

export const doorLimits: DoorLimits = {
  connections: 20_000,
  handshakes: 128,
  handshakesPerAddress: 32,
  waiting: 4_000,
  waitingPerAddress: 2_000,
  handshakeTimeoutMs: 10_000,
  perHolder: 16,
  visitors: 256,
};

/** A refusal at the door, for the metrics: a code of `verify`, or one of these. */
export type DoorRefusal =
  | 'no-certificate'
  | 'handshake-failed'
  | 'too-many-connections'
  | 'too-many-handshakes'
  | 'waited-too-long'
  | 'too-many-of-holder'
  | 'too-many-visitors'
  | 'no-extended-master-secret'
  | 'verification-failed';

export interface DoorOptions {
  readonly name: string;
  readonly identity: ServerIdentity;
  /** PEM of the authorities whose certificates open this door: a hint to the client, no decision. */
  readonly anchorsPem: readonly string[];
  /** `http/1.1` for HTTP; none for MQTT. */
  readonly alpn?: readonly string[];
  readonly verify: VerifyPeer;
  readonly live: LiveIndex;
  /** Takes over the socket. Nothing of the peer's application data has been read before. */
  readonly accept: (connection: Connection) => void;
  /** Takes over the socket of a peer that showed no certificate; without it there is no such peer. */
  readonly acceptVisitor?: (socket: TLSSocket) => void;
  /** Speaks TLS 1.2 too, for clients of others: ECDHE and AEAD alone. 1.3 alone otherwise. */
  readonly tls12?: boolean;
  /** RFC 6066 §8: what is known of the server's certificate, for clients that ask in the handshake. */
  readonly staple?: Staple;
  readonly onRefusal: (code: string) => void;
  readonly limits?: Partial<DoorLimits>;
}

/** DER of OCSPResponse for a certificate and its issuer's; `undefined` while there is none. */
export type Staple = (certificate: Uint8Array, issuer: Uint8Array) => Uint8Array | undefined;

/** TLS 1.3 alone, with the suites of RFC 8446 §9.1 and AES-CCM for chips that have no GCM. */
const suites = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_AES_128_CCM_SHA256',
].join(':');
/** RFC 9325 §4.2: forward secrecy and authenticated encryption, or nothing. */
const suites12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
].join(':');
const groups = 'X25519:prime256v1:secp384r1';
const signatures = 'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ed25519';
/** RFC 8446 §4.6.1 allows a week; an hour bounds what a stolen ticket is good for. */
const ticketLifetimeS = 3600;
const ticketKeyBytes = 48;
/** A handshake takes half a millisecond of this thread, twice. */
const beginningsInTurn = 8;
/** Finds peers that went away without a word; the system's default is two hours. */
const tcpKeepAliveMs = 60_000;

interface Waiting {
  readonly socket: Socket;
  readonly timer: NodeJS.Timeout;
}

export class TlsDoor {
  readonly #options: DoorOptions;
  readonly #limits: DoorLimits;
  readonly #tcp: NetServer;
  readonly #tls: TlsServer;
  readonly #open = new Set<Socket>();
  readonly #handshakes: HandshakeQueue<string>;
  /** By endpoint, those that wait for their handshake to begin. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #beginning: string[] = [];
  #visitors = 0;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#limits = { ...doorLimits, ...options.limits };
    this.#handshakes = new HandshakeQueue(this.#limits, (endpoint) => this.#begin(endpoint));
    this.#tls = createTlsServer(tlsOptions(options, this.#limits));
    this.#tls.on('secureConnection', (socket) => void this.#admit(socket));
    this.#tls.on('tlsClientError', (_error, socket) => {
      options.onRefusal('handshake-failed');
      // Node leaves the socket open when the time for the handshake is over.
      socket.destroy();
    });
    const { staple } = options;
    if (staple !== undefined) stapleWith(this.#tls, staple);
    options.live.onDrop(() => this.rotateTickets());
    // The TLS server gets its sockets from here, so that the limits hold before any cryptography.
    const tcp = { noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs };
    this.#tcp = createServer(tcp, (socket) => this.#take(socket));
  }

  /** Connections in handshake, and those that wait for theirs. */
  get pressure(): { readonly handshakes: number; readonly waiting: number } {
    return { handshakes: this.#handshakes.inFlight, waiting: this.#handshakes.waiting };
  }

  /** Resolves with the port. Rejects with the system's error, for example EADDRINUSE. */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#tcp.once('error', reject);
      this.#tcp.listen({ port, host }, () => {
        this.#tcp.off('error', reject);
        resolve(portOf(this.#tcp.address()));
      });
    });
  }

  /** New connections are served with the new identity; open ones go on. */
  renew(identity: ServerIdentity, anchorsPem: readonly string[]): void {
    this.#tls.setSecureContext(contextOptions(this.#options, identity, anchorsPem));
    this.rotateTickets();
  }

  /** No ticket that was given out before resumes a session. */
  rotateTickets(): void {
    this.#tls.setTicketKeys(randomBytes(ticketKeyBytes));
  }

  /** Stops listening and ends every connection. */
  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#tcp.close(() => resolve());
    });
    for (const socket of this.#open) socket.destroy();
    return closed;
  }

  #take(socket: Socket): void {
    const { handshakeTimeoutMs, connections } = this.#limits;
    const { remoteAddress } = socket;
    if (remoteAddress === undefined) {
      // Gone before it was looked at: it has no name that its place could be given back under.
      socket.destroy();
      return;
    }
    const endpoint = endpointOf(socket);
    if (this.#open.size >= connections) {
      this.#turnAway(socket, 'too-many-connections');
      return;
    }
    const timer = setTimeout(() => this.#turnAway(socket, 'waited-too-long'), handshakeTimeoutMs);
    this.#waiting.set(endpoint, { socket, timer });
    this.#open.add(socket);
    socket.once('close', () => {
      this.#open.delete(socket);
      this.#endWaiting(endpoint);
      this.#handshakes.leave(endpoint);
    });
    // Until its turn only its going away is of interest.
    socket.on('error', ignore);
    if (this.#handshakes.enter(endpoint, networkOf(remoteAddress))) return;
    this.#turnAway(socket, 'too-many-handshakes');
  }

  #turnAway(socket: Socket, refusal: DoorRefusal): void {
    this.#options.onRefusal(refusal);
    socket.destroy();
  }

  /** A few in each turn of the event loop: what is asked by others in between does not wait for all of them. */
  #begin(endpoint: string): void {
    this.#beginning.push(endpoint);
    if (this.#beginning.length === 1) setImmediate(() => this.#beginSome());
  }

  #beginSome(): void {
    for (const endpoint of this.#beginning.splice(0, beginningsInTurn)) {
      const socket = this.#endWaiting(endpoint);
      // Gone already: its place is given on when that is told.
      if (socket === undefined || socket.destroyed) continue;
      socket.off('error', ignore);
      this.#tls.emit('connection', socket);
    }
    if (this.#beginning.length > 0) setImmediate(() => this.#beginSome());
  }

  #endWaiting(endpoint: string): Socket | undefined {
    const waiting = this.#waiting.get(endpoint);
    this.#waiting.delete(endpoint);
    clearTimeout(waiting?.timer);
    return waiting?.socket;
  }

  async #admit(socket: TLSSocket): Promise<void> {
    const { live, onRefusal } = this.#options;
    const endpoint = endpointOf(socket);
    // A peer that goes away while we look must not become an unhandled error.
    socket.on('error', ignore);
    // RFC 7627 §5.4: what was agreed without it must not be resumed, since another connection may share
    // the secret. Clients of others still come without it, and are served on full handshakes.
    if (socket.isSessionReused() && lacksExtendedMasterSecret(socket)) {
      onRefusal('no-extended-master-secret' satisfies DoorRefusal);
      socket.destroy();
      return;
    }
    const { acceptVisitor } = this.#options;
    const chain = peerChain(socket);
    if (acceptVisitor !== undefined && chain.length === 0) {
      this.#handshakes.leave(endpoint);
      this.#enterVisitor(socket, acceptVisitor);
      return;
    }
    for (;;) {
      const drops = live.drops;
      const peer = await this.#judge(chain);
      if (socket.destroyed) return;
      if (typeof peer === 'string') {
        onRefusal(peer);
        socket.destroy();
        return;
      }
      // Someone was revoked while we asked: the answer may be older than that. No await may come
      // between this comparison and the entry into the index.
      if (live.drops !== drops) continue;
      this.#handshakes.leave(endpoint);
      this.#enter(new Connection(peer, socket));
      return;
    }
  }

  async #judge(chain: readonly Uint8Array[]): Promise<VerifiedPeer | string> {
    if (chain.length === 0) return 'no-certificate' satisfies DoorRefusal;
    try {
      const peer = await this.#options.verify(chain);
      return isRefusal(peer) ? peer.refused : peer;
    } catch {
      return 'verification-failed' satisfies DoorRefusal;
    }
  }

  #enterVisitor(socket: TLSSocket, acceptVisitor: (socket: TLSSocket) => void): void {
    if (this.#visitors >= this.#limits.visitors) {
      this.#options.onRefusal('too-many-visitors' satisfies DoorRefusal);
      socket.destroy();
      return;
    }
    this.#visitors += 1;
    socket.once('close', () => {
      this.#visitors -= 1;
    });
    acceptVisitor(socket);
  }

  #enter(connection: Connection): void {
    const { live, accept, onRefusal } = this.#options;
    if (live.countOf(connection.peer.holder) >= this.#limits.perHolder) {
      onRefusal('too-many-of-holder' satisfies DoorRefusal);
      connection.end();
      return;
    }
    rememberConnection(connection);
    live.add(connection);
    accept(connection);
  }
}

function stapleWith(server: TlsServer, staple: Staple): void {
  server.on('OCSPRequest', (certificate, issuer, respond) => {
    // Without the issuer's certificate in the chain nothing can be asked.
    const answer = issuer.length === 0 ? undefined : staple(plain(certificate), plain(issuer));
    respond(null, answer === undefined ? emptyStaple : Buffer.from(answer));
  });
}

/** Node sends no status for it, and goes on. */
const emptyStaple = Buffer.alloc(0);

function plain({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

function tlsOptions(options: DoorOptions, limits: DoorLimits): TlsOptions {
  const { name, identity, anchorsPem, alpn } = options;
  return {
    ...contextOptions(options, identity, anchorsPem),
    // Asked for here, judged in #admit: see the head of this file.
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: limits.handshakeTimeoutMs,
    sessionTimeout: ticketLifetimeS,
    ticketKeys: randomBytes(ticketKeyBytes),
    // Tickets of one door mean nothing at another.
    sessionIdContext: `birthmark ${name}`.slice(0, 32),
    ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] }),
  };
}

function contextOptions(
  { tls12 = false }: DoorOptions,
  identity: ServerIdentity,
  anchorsPem: readonly string[],
): SecureContextOptions {
  return {
    key: identity.privateKeyPem,
    cert: identity.chainPem,
    ca: [...anchorsPem],
    minVersion: tls12 ? 'TLSv1.2' : 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    ciphers: tls12 ? `${suites}:${suites12}` : suites,
    // A renegotiated connection would have another peer, and another tls-unique.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ecdhCurve: groups,
    sigalgs: signatures,
  };
}

/** Names one open connection of a listener; the TLS socket and the one below it agree on it. */
function endpointOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? ''}`;
}

/** What one peer can have many of: the whole IPv4 address, or the 64 bits that name a network of IPv6. */
function networkOf(remoteAddress: string): string {
  const mapped = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  const bytes = parseAddress(mapped);
  return bytes?.length === 16 ? toHex(bytes.subarray(0, 8)) : mapped;
}

/** The port that a server listens on. */
export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new TypeError('no TCP address');
  return address.port;
}

function ignore(): void {}
