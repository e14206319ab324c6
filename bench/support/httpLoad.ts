/**
 * A worker that asks an HTTP server as fast as it answers, over connections that stay: one request at a
 * time on each, next to nothing done with the answers, so that the server is what is measured.
 */
import { connect, type Socket } from 'node:net';
import { parentPort, Worker, workerData } from 'node:worker_threads';

export interface Load {
  readonly port: number;
  /** Asked for in turn. */
  readonly paths: readonly string[];
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadReport {
  readonly perSecond: number;
  /** Other than 200. */
  readonly failed: number;
}

/** In a thread of its own. */
export function askInThread(load: Load): Promise<LoadReport> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: load });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

class Client {
  readonly #port: number;
  readonly #requests: readonly Buffer[];
  readonly #sockets = new Set<Socket>();
  #next = 0;
  #stopped = false;
  answered = 0;
  failed = 0;

  constructor({ port, paths }: Load) {
    this.#port = port;
    this.#requests = paths.map((path) =>
      Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`),
    );
  }

  open(): void {
    const socket = connect(this.#port, '127.0.0.1');
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    let kept: Buffer = Buffer.alloc(0);
    socket.on('connect', () => this.#ask(socket));
    socket.on('data', (chunk) => {
      kept = kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
      const end = endOf(kept);
      if (end === undefined || kept.length < end) return;
      this.answered += 1;
      if (kept[ok] !== 0x32) this.failed += 1;
      kept = kept.subarray(end);
      this.#ask(socket);
    });
    socket.on('error', () => (this.failed += this.#stopped ? 0 : 1));
    // The server ends a connection after so many requests.
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (!this.#stopped) this.open();
    });
  }

  stop(): void {
    this.#stopped = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #ask(socket: Socket): void {
    const request = this.#requests[this.#next++ % this.#requests.length];
    if (request !== undefined && socket.writable) socket.write(request);
  }
}

/** Where the first digit of the status is. */
const ok = 'HTTP/1.1 '.length;

/** Where the response ends that begins the bytes; `undefined` before its head is whole. */
function endOf(bytes: Buffer): number | undefined {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return undefined;
  const [, length = '0'] = /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, head)) ?? [];
  return head + 4 + Number(length);
}

const warmUpMs = 1_000;

function ask(load: Load): void {
  const client = new Client(load);
  for (let count = 0; count < load.connections; count++) client.open();
  setTimeout(() => {
    const [startedMs, before] = [performance.now(), client.answered];
    setTimeout(() => {
      const seconds = (performance.now() - startedMs) / 1000;
      const perSecond = (client.answered - before) / seconds;
      client.stop();
      const report: LoadReport = { perSecond, failed: client.failed };
      parentPort?.postMessage(report, []);
    }, load.seconds * 1000);
  }, warmUpMs);
}

if (parentPort !== null) ask(workerData as Load);
