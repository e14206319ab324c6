/**
 * One admitted connection as the broker reads and writes it: packets are measured on the way in, and a
 * client that does not read what it subscribed to is cut off instead of holding up the others.
 */
import { Duplex } from 'node:stream';
import type { Connection } from '../tls/connection.ts';
import { PacketMeter } from './framing.ts';

export interface StreamLimits {
  /** Of one packet behind its fixed header. */
  readonly packetBytes: number;
  /** Waiting for the client to read. */
  readonly unreadBytes: number;
}

export class MqttStream extends Duplex {
  readonly connection: Connection;
  readonly #meter: PacketMeter;
  readonly #limits: StreamLimits;
  readonly #onFault: (code: string) => void;

  constructor(connection: Connection, limits: StreamLimits, onFault: (code: string) => void) {
    super({ allowHalfOpen: false });
    this.connection = connection;
    this.#meter = new PacketMeter(limits.packetBytes);
    this.#limits = limits;
    this.#onFault = onFault;
    const { socket } = connection;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    socket.on('end', () => this.push(null));
    socket.on('close', () => this.destroy());
    socket.pause();
  }

  override _read(): void {
    this.connection.socket.resume();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    this.#send([chunk]);
    done();
  }

  override _writev(
    chunks: ReadonlyArray<{ readonly chunk: Uint8Array }>,
    done: (error?: Error) => void,
  ): void {
    this.#send(chunks.map(({ chunk }) => chunk));
    done();
  }

  override _final(done: (error?: Error) => void): void {
    this.connection.socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.connection.socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    // Bytes that were on their way when the peer was revoked are nobody's any more.
    if (this.connection.ended) return;
    const fault = this.#meter.take(chunk);
    if (fault !== undefined) {
      this.#onFault(fault);
      this.destroy();
      return;
    }
    if (!this.push(chunk)) this.connection.socket.pause();
  }

  #send(chunks: readonly Uint8Array[]): void {
    const { socket } = this.connection;
    // Waiting here would stop the delivery to every other subscriber of the topic.
    if (socket.writableLength > this.#limits.unreadBytes) {
      this.#onFault('slow-consumer');
      this.destroy();
      return;
    }
    socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    socket.uncork();
  }
}
