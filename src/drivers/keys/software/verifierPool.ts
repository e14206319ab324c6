/**
 * Proofs of possession checked beside the event loop, by the batch. A batch crosses to a worker as one
 * message, so that a proof costs its verification and little more; the thread pool of node:crypto would
 * import each key on the event loop and wake a thread for each.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { ProofVerifier } from '../../../trust/ports/keys.ts';

/** What crosses to the worker: a batch in one piece of memory, and where each part of it ends. */
export interface ProofBatch {
  readonly batch: number;
  readonly count: number;
  /** OID of all of them: a text for each would cost more than the rest of the message. */
  readonly algorithm: string;
  /** key, data and signature of each proof, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Three ends for each proof. */
  readonly ends: Uint32Array<ArrayBuffer>;
}

export interface ProofResults {
  readonly batch: number;
  /** One octet a proof: 1 when it holds. */
  readonly valid: Uint8Array;
}

export interface VerifierPoolOptions {
  /** Default: one less than the machine has cores, at least one: whoever waits for them needs the other. */
  readonly workers?: number;
}

interface Proof {
  readonly algorithmOid: string;
  readonly parts: readonly [spki: Uint8Array, data: Uint8Array, signature: Uint8Array];
  readonly resolve: (valid: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Proofs in one message: long enough to be cheap, short enough that several workers share the load. */
const maximumBatch = 128;
/** Messages that a worker has at once: the event loop may be busy with a commit for that long. */
const batchesAhead = 4;

export class VerifierPool implements ProofVerifier {
  readonly #workers: PoolWorker[];
  #waiting: Proof[] = [];
  #scheduled = false;
  #closed = false;

  constructor({ workers = Math.max(1, availableParallelism() - 1) }: VerifierPoolOptions = {}) {
    this.#workers = Array.from({ length: workers }, () => new PoolWorker(() => this.#send()));
  }

  verifyInPool(
    spki: Uint8Array,
    algorithmOid: string,
    data: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new TypeError('the pool is closed');
      this.#waiting.push({ algorithmOid, parts: [spki, data, signature], resolve, reject });
      if (this.#scheduled) return;
      this.#scheduled = true;
      // Behind the calls of this turn, which belong to the same batch.
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#send();
      });
    });
  }

  /** Proofs that wait or are under way are refused, not decided. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#waiting.splice(0)) reject(unchecked(undefined));
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }

  #send(): void {
    // In turns, so that no worker has a second batch while another has none.
    for (let ahead = 1; ahead <= batchesAhead; ahead += 1) {
      for (const worker of this.#workers) {
        if (this.#waiting.length === 0 || this.#closed) return;
        if (worker.batches < ahead) worker.take(this.#nextBatch());
      }
    }
  }

  /** Of one algorithm; there is something that waits. */
  #nextBatch(): readonly Proof[] {
    const [first] = this.#waiting;
    const limit = this.#waiting.slice(0, maximumBatch);
    const other = limit.findIndex(({ algorithmOid }) => algorithmOid !== first?.algorithmOid);
    return this.#waiting.splice(0, other < 0 ? limit.length : other);
  }
}

/** One worker, started when it is first needed and again when it has died. */
class PoolWorker {
  readonly #onRoom: () => void;
  #worker: Worker | undefined;
  /** By the number of their message, which is answered in this order. */
  readonly #underWay = new Map<number, readonly Proof[]>();
  #batch = 0;

  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  get batches(): number {
    return this.#underWay.size;
  }

  take(proofs: readonly Proof[]): void {
    this.#batch += 1;
    this.#underWay.set(this.#batch, proofs);
    this.#worker ??= this.#start();
    // Only a batch under way keeps the process alive.
    this.#worker.ref();
    const message = batchOf(this.#batch, proofs);
    this.#worker.postMessage(message, [message.bytes.buffer, message.ends.buffer]);
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(new URL('verifierWorker.ts', import.meta.url));
    worker.on('message', ({ batch, valid }: ProofResults) => {
      this.#settle(batch, valid);
    });
    // What a worker was at when it died is unknown: nothing is taken for proven.
    // One that died tells twice, and its successor may be at work by then.
    const died = (cause: unknown): void => {
      if (this.#worker === worker) this.#fail(cause);
    };
    worker.on('error', died);
    worker.on('exit', () => died(undefined));
    return worker;
  }

  #settle(batch: number, valid: Uint8Array): void {
    const proofs = this.#underWay.get(batch) ?? [];
    this.#underWay.delete(batch);
    if (this.#underWay.size === 0) this.#worker?.unref();
    for (const [index, { resolve }] of proofs.entries()) resolve(valid[index] === 1);
    this.#onRoom();
  }

  #fail(cause: unknown): void {
    const proofs = [...this.#underWay.values()].flat();
    this.#worker = undefined;
    this.#underWay.clear();
    for (const { reject } of proofs) reject(unchecked(cause));
    this.#onRoom();
  }
}

function unchecked(cause: unknown): EnvironmentError {
  return new EnvironmentError('proofs cannot be checked: their worker ended', {
    retryable: true,
    cause,
  });
}

function batchOf(batch: number, proofs: readonly Proof[]): ProofBatch {
  const ends = new Uint32Array(proofs.length * 3);
  let length = 0;
  for (const [index, { parts }] of proofs.entries()) {
    for (const [part, { length: partLength }] of parts.entries()) {
      length += partLength;
      ends[index * 3 + part] = length;
    }
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const { parts } of proofs) {
    for (const part of parts) {
      bytes.set(part, offset);
      offset += part.length;
    }
  }
  return { batch, count: proofs.length, algorithm: proofs[0]?.algorithmOid ?? '', bytes, ends };
}
