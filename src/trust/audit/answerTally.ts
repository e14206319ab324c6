/**
 * Signed answers to status questions, counted: each would make the log longer by an entry, so that a
 * batch of them makes one, with a hash over all.
 */
import { concat } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { AuditStore } from '../ports/auditStore.ts';
import type { Clock } from '../ports/clock.ts';
import { encodeAuditEntry } from './entry.ts';

export interface AnswerTallyOptions {
  readonly store: Pick<AuditStore, 'append'>;
  readonly crypto: Crypto;
  readonly clock: Clock;
}

interface Batch {
  readonly signerKeyHash: Uint8Array;
  /** SHA-256 of each answer, in the order they were signed. */
  readonly hashes: Uint8Array[];
}

export class AnswerTally {
  readonly #options: AnswerTallyOptions;
  #batches = new Map<string, Batch>();

  constructor(options: AnswerTallyOptions) {
    this.#options = options;
  }

  /** An answer was signed under the key with that hash. */
  note(answer: Uint8Array, signerKeyHash: Uint8Array): void {
    const id = toHex(signerKeyHash);
    const batch = this.#batches.get(id) ?? { signerKeyHash, hashes: [] };
    batch.hashes.push(this.#options.crypto.hash('SHA-256', answer));
    this.#batches.set(id, batch);
  }

  /** Logs what was noted since. When it rejects, the next call logs it. A crash loses what was not logged. */
  async flush(): Promise<void> {
    const { store, crypto, clock } = this.#options;
    const batches = this.#batches;
    if (batches.size === 0) return;
    this.#batches = new Map();
    const entries = [...batches.values()].map(({ signerKeyHash, hashes }) =>
      encodeAuditEntry({
        kind: 'answers-signed',
        atMs: clock.nowMs(),
        signerKeyHash,
        count: hashes.length,
        batchSha256: crypto.hash('SHA-256', concat(...hashes)),
      }),
    );
    try {
      await store.append(entries);
    } catch (error) {
      for (const [id, batch] of this.#batches) {
        const before = batches.get(id);
        if (before === undefined) batches.set(id, batch);
        else before.hashes.push(...batch.hashes);
      }
      this.#batches = batches;
      throw error;
    }
  }
}
