/** CoAP over UDP to one server: the machine of `wire/coap` on a socket of its own. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import type { CoapLink } from '../../../device/ports/coap.ts';
import { DeviceFault } from '../../../device/ports/faults.ts';
import type { Timer } from '../../../device/ports/timer.ts';
import { BlockwiseRequest } from '../../../wire/coap/blockwiseClient.ts';
import { CoapEndpoint, type CoapEvent, type CoapStep } from '../../../wire/coap/endpoint.ts';
import type { CoapContent } from '../../../wire/coap/message.ts';
import type { TransmissionParameters } from '../../../wire/coap/transmission.ts';
import type { Crypto } from '../../../wire/crypto/crypto.ts';
import { answerChallenge } from '../../../wire/oscore/echo.ts';
import { systemTimer } from '../systemTimer.ts';

export interface CoapClientOptions {
  readonly host: string;
  readonly port: number;
  readonly crypto: Crypto;
  readonly timer?: Timer;
  readonly transmission?: Partial<TransmissionParameters>;
}

interface Waiting {
  readonly resolve: (response: CoapContent) => void;
  readonly reject: (fault: DeviceFault) => void;
}

/** Longest body that is put together. */
const maximumBodyBytes = 16_384;
/** Responses that nobody waits for would be cut anyway. */
const maximumDatagramBytes = 1_280;

export class CoapClient implements CoapLink {
  readonly #socket: Socket;
  readonly #server: { readonly address: string; readonly port: number };
  readonly #machine: CoapEndpoint;
  readonly #timer: Timer;
  readonly #waiting = new Map<number, Waiting>();
  #cancelTimer: () => void = () => undefined;
  #closed = false;

  private constructor(
    options: CoapClientOptions,
    socket: Socket,
    server: { readonly address: string; readonly port: number },
  ) {
    const { crypto, transmission, timer = systemTimer } = options;
    this.#socket = socket;
    this.#server = server;
    this.#timer = timer;
    this.#machine = new CoapEndpoint({
      randomBytes: (lengthBytes) => crypto.random(lengthBytes),
      ...(transmission === undefined ? {} : { transmission }),
    });
    socket.on('message', (bytes, sender) => this.#onDatagram(bytes, sender));
    // ICMP errors of a server that is not up yet; the machine sends again and gives up in time.
    socket.on('error', () => undefined);
  }

  /** Rejects with a `DeviceFault` when the name does not resolve or no socket is to be had. */
  static async open(options: CoapClientOptions): Promise<CoapClient> {
    const { host, port } = options;
    try {
      const { address, family } = await lookup(host);
      const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(0, () => {
          socket.off('error', reject);
          resolve();
        });
      });
      return new CoapClient(options, socket, { address, port });
    } catch (cause) {
      throw new DeviceFault(`no socket to ${host}:${port}`, { retryable: true, cause });
    }
  }

  async request(request: CoapContent): Promise<CoapContent> {
    const response = await this.#exchange(request);
    // RFC 9175 §2.3: a server that wants to see our address first; it gets one answer to that.
    const again = answerChallenge(request, response);
    return again === undefined ? response : this.#exchange(again);
  }

  /** A request whose bodies may be longer than a datagram (RFC 7959). */
  async transfer(request: CoapContent, sizeBytes?: number): Promise<CoapContent> {
    const options = { maximumBodyBytes, ...(sizeBytes === undefined ? {} : { sizeBytes }) };
    const transfer = new BlockwiseRequest(request, options);
    let next = transfer.first;
    for (;;) {
      const step = transfer.onResponse(await this.request(next));
      if (step.kind === 'done') return step.response;
      if (step.kind === 'refused') {
        throw new DeviceFault(`the transfer broke off: ${step.refused}`, { retryable: true });
      }
      next = step.request;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    for (const { reject } of this.#waiting.values()) reject(fault('closed'));
    this.#waiting.clear();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #exchange(request: CoapContent): Promise<CoapContent> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(fault('closed'));
      const step = this.#machine.request('server', request, this.#timer.nowMs());
      if ('refused' in step) return reject(fault(step.reason));
      this.#waiting.set(step.request, { resolve, reject });
      return this.#do(step);
    });
  }

  #onDatagram(bytes: Uint8Array, { address, port }: RemoteInfo): void {
    const fromServer = address === this.#server.address && port === this.#server.port;
    if (this.#closed || !fromServer || bytes.length > maximumDatagramBytes) return;
    // Not a Buffer: the pure rings get what `slice` copies.
    this.#do(this.#machine.deliver('server', new Uint8Array(bytes), this.#timer.nowMs()));
  }

  #do(step: CoapStep): void {
    for (const { bytes } of step.send) {
      this.#socket.send(bytes, this.#server.port, this.#server.address, () => undefined);
    }
    this.#cancelTimer();
    if (step.wakeAtMs !== undefined) {
      this.#cancelTimer = this.#timer.wakeAt(step.wakeAtMs, async () => {
        if (!this.#closed) this.#do(this.#machine.tick(this.#timer.nowMs()));
      });
    }
    for (const event of step.deliver) this.#onEvent(event);
  }

  #onEvent(event: CoapEvent): void {
    // We are no server: RFC 7252 §4.2 has a request rejected.
    if (event.kind === 'request') return this.#do(this.#machine.dismiss(event.exchange));
    if (event.kind !== 'response' && event.kind !== 'failed') return undefined;
    const waiting = this.#waiting.get(event.request);
    this.#waiting.delete(event.request);
    if (event.kind === 'failed') return waiting?.reject(fault(event.reason));
    const { code, options, payload } = event.message;
    return waiting?.resolve({ code, options, payload });
  }
}

function fault(reason: string): DeviceFault {
  return new DeviceFault(`CoAP: ${reason}`, { retryable: true });
}
