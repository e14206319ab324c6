/**
 * A UDP socket under the CoAP machine of `wire/coap`: datagrams go in with the time, what it sends goes
 * out, and one timer calls it when it wants to be called. Nothing is decided here.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import {
  CoapEndpoint,
  type CoapEvent,
  type CoapStep,
  type EndpointConfig,
} from '../../wire/coap/endpoint.ts';
import type { CoapContent } from '../../wire/coap/message.ts';

/** Time as the machine sees it, never going back. */
export interface CoapTime {
  nowMs(): number;
  /** Calls `wake` once, not before `atMs`. Returns what cancels it. */
  wakeAt(atMs: number, wake: () => void): () => void;
}

/** RFC 7252 §4.6: 1152 bytes of message where nothing is known of the path; the least MTU of IPv6 bounds it. */
const maximumDatagramBytes = 1280;

export interface CoapSocketOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly time: CoapTime;
  readonly endpoint: EndpointConfig;
  readonly onEvent: (event: CoapEvent) => void;
  /** Datagrams that are longer than any message of ours may be. */
  readonly onOversized: () => void;
}

export class CoapSocket {
  readonly #options: CoapSocketOptions;
  readonly #socket: Socket;
  readonly #machine: CoapEndpoint;
  #cancelTimer: () => void = () => undefined;
  #closed = false;

  private constructor(options: CoapSocketOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    this.#machine = new CoapEndpoint(options.endpoint);
    socket.on('message', (bytes, sender) => this.#onDatagram(bytes, sender));
    // An ICMP error of one peer says nothing about the others; the machine sends again or gives up.
    socket.on('error', () => undefined);
  }

  /** Rejects with an `EnvironmentError` when the address cannot be had. */
  static async open(options: CoapSocketOptions): Promise<CoapSocket> {
    const { host, port } = options;
    try {
      const { address, family } = await lookup(host);
      const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(port, address, () => {
          socket.off('error', reject);
          resolve();
        });
      });
      return new CoapSocket(options, socket);
    } catch (cause) {
      const problem = `CoAP cannot listen on ${host}:${port}`;
      throw new EnvironmentError(problem, { retryable: false, cause });
    }
  }

  get port(): number {
    return this.#socket.address().port;
  }

  respond(exchange: number, response: CoapContent): void {
    if (!this.#closed) this.#do(this.#machine.respond(exchange, response, this.#now()));
  }

  /** RFC 7967: no response is wanted. */
  dismiss(exchange: number): void {
    if (!this.#closed) this.#do(this.#machine.dismiss(exchange));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelTimer();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #now(): number {
    return this.#options.time.nowMs();
  }

  #onDatagram(bytes: Uint8Array, { address, port }: RemoteInfo): void {
    if (this.#closed) return;
    if (bytes.length > maximumDatagramBytes) {
      this.#options.onOversized();
      return;
    }
    // Not a Buffer: the pure rings get what `slice` copies.
    this.#do(this.#machine.deliver(peerName(address, port), new Uint8Array(bytes), this.#now()));
  }

  #do(step: CoapStep): void {
    for (const { peer, bytes } of step.send) {
      const { address, port } = peerAddress(peer);
      this.#socket.send(bytes, port, address, () => undefined);
    }
    this.#cancelTimer();
    const { wakeAtMs } = step;
    if (wakeAtMs !== undefined) {
      this.#cancelTimer = this.#options.time.wakeAt(wakeAtMs, () => {
        if (!this.#closed) this.#do(this.#machine.tick(this.#now()));
      });
    }
    for (const event of step.deliver) this.#options.onEvent(event);
  }
}

export const systemCoapTime: CoapTime = {
  nowMs: () => performance.now(),
  wakeAt: (atMs, wake) => {
    const delayMs = Math.min(Math.max(0, Math.ceil(atMs - performance.now())), 0x7fff_ffff);
    const timeout = setTimeout(wake, delayMs);
    // Retransmissions keep no process alive; the socket does.
    timeout.unref();
    return () => clearTimeout(timeout);
  },
};

/** What the machine calls a peer: IPv6 addresses have colons themselves, so the last one separates. */
function peerName(address: string, port: number): string {
  return `${address}:${port}`;
}

export function peerAddress(name: string): { readonly address: string; readonly port: number } {
  const separator = name.lastIndexOf(':');
  return { address: name.slice(0, separator), port: Number(name.slice(separator + 1)) };
}
