/** A UDP socket to one modem or packet forwarder: datagrams of `wire/relay/modem.ts`, attach repeated. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { DeviceFault } from '../../../device/ports/faults.ts';
import { MalformedError, UnsupportedError } from '../../../wire/bytes/malformed.ts';
import {
  type ModemDatagram,
  readModemDatagram,
  writeModemDatagram,
} from '../../../wire/relay/modem.ts';

export interface ModemAddress {
  readonly host: string;
  readonly port: number;
}

/** Frames that wait for the receiver; beyond it the newest is dropped, as a radio's buffer would. */
const maximumWaiting = 64;

export class ModemSocket {
  readonly #socket: Socket;
  readonly #peer: { readonly address: string; readonly port: number };
  readonly #attach: Uint8Array;
  readonly #interval: NodeJS.Timeout;
  #receive: (datagram: ModemDatagram) => Promise<void> = () => Promise.resolve();
  #delivered: Promise<void> = Promise.resolve();
  #waiting = 0;
  /** Datagrams that were not from the modem, not well-formed, or too many at once. */
  ignored = 0;

  private constructor(
    socket: Socket,
    peer: { readonly address: string; readonly port: number },
    linkAddress: Uint8Array | undefined,
    attachIntervalMs: number,
  ) {
    this.#socket = socket;
    this.#peer = peer;
    this.#attach = writeModemDatagram({ kind: 'attach', linkAddress });
    socket.on('message', (message, sender) => this.#take(message, sender));
    // ICMP errors of a modem that is not up yet; frames get lost on a radio anyway.
    socket.on('error', () => undefined);
    this.#sendAttach();
    // The modem forgets us when it restarts, and the first datagram may have been lost.
    this.#interval = setInterval(() => this.#sendAttach(), attachIntervalMs);
  }

  /** Binds a free port. `linkAddress` is absent at a gateway, whose frames are for all addresses. */
  static async open(
    modem: ModemAddress,
    linkAddress: Uint8Array | undefined,
    attachIntervalMs: number,
  ): Promise<ModemSocket> {
    try {
      const { address, family } = await lookup(modem.host);
      const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(0, () => {
          socket.off('error', reject);
          resolve();
        });
      });
      return new ModemSocket(socket, { address, port: modem.port }, linkAddress, attachIntervalMs);
    } catch (cause) {
      const problem = `no socket to the modem at ${modem.host}:${modem.port}`;
      throw new DeviceFault(problem, { retryable: true, cause });
    }
  }

  onDatagram(receive: (datagram: ModemDatagram) => Promise<void>): void {
    this.#receive = receive;
  }

  send(datagram: ModemDatagram): Promise<void> {
    const bytes = writeModemDatagram(datagram);
    return new Promise((resolve, reject) => {
      this.#socket.send(bytes, this.#peer.port, this.#peer.address, (cause) => {
        if (cause === null) resolve();
        else reject(new DeviceFault('the modem took no frame', { retryable: true, cause }));
      });
    });
  }

  async close(): Promise<void> {
    clearInterval(this.#interval);
    this.#receive = () => Promise.resolve();
    await new Promise<void>((resolve) => this.#socket.close(resolve));
  }

  #sendAttach(): void {
    this.#socket.send(this.#attach, this.#peer.port, this.#peer.address, () => undefined);
  }

  #take(message: Uint8Array, sender: RemoteInfo): void {
    const datagram = this.#fromModem(sender) ? parsed(message) : undefined;
    if (datagram === undefined || this.#waiting >= maximumWaiting) {
      this.ignored += 1;
      return;
    }
    this.#waiting += 1;
    this.#delivered = this.#delivered
      .then(() => this.#receive(datagram))
      .finally(() => (this.#waiting -= 1));
  }

  #fromModem(sender: RemoteInfo): boolean {
    return sender.port === this.#peer.port && sender.address === this.#peer.address;
  }
}

function parsed(message: Uint8Array): ModemDatagram | undefined {
  try {
    return readModemDatagram(message);
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
