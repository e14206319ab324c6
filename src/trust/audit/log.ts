/**
 * The tree over the audit log (RFC 6962 §2.1). One `AuditLog` per store takes the leaves in the order in
 * which they were committed; whoever knows an older head can prove that nothing before it was changed.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import type { NoteKey } from '../../wire/tlog/noteKey.ts';
import { GrowingTree } from '../../wire/tlog/growingTree.ts';
import { subtrees, type TreeHash } from '../../wire/tlog/tree.ts';
import type { AuditHead, AuditStore } from '../ports/auditStore.ts';
import type { Clock } from '../ports/clock.ts';
import { EnvironmentError, InvariantError } from '../ports/faults.ts';
import { Publication, type PublicationOptions } from './publication.ts';

/** Leaves that are read at once. */
const batchSize = 1_000;
/** Leaves between two checkpoints at most, so that their tiles fit memory while a disk is slow. */
const batchesAtOnce = 16;

export class AuditLog {
  readonly #store: AuditStore;
  readonly #clock: Clock;
  readonly #publication: Publication | undefined;
  readonly #tree: LogTree;
  /** The last head in the store. */
  #stored: AuditHead | undefined;
  #advancing: Promise<AuditHead> | undefined;

  private constructor(
    { store, clock, publication }: LogParts,
    tree: LogTree,
    head: AuditHead | undefined,
  ) {
    this.#store = store;
    this.#clock = clock;
    this.#publication = publication;
    this.#tree = tree;
    this.#stored = head;
  }

  /**
   * Without `files` the tree lives in the store alone. With files that are not there yet they are made
   * from the first leaf on; the head in the store must come out again. Rejects with an `EnvironmentError`
   * when files and store contradict each other.
   */
  static async open(
    store: AuditStore,
    clock: Clock,
    crypto: Crypto,
    files?: Pick<PublicationOptions, 'tiles' | 'signer' | 'verifier'>,
  ): Promise<AuditLog> {
    const hash: TreeHash = (data) => crypto.hash('SHA-256', data);
    const head = await store.head();
    if (files === undefined) {
      const parts = { store, clock, publication: undefined };
      return new AuditLog(parts, new LogTree(hash, head), head);
    }
    const options = { store, crypto, ...files };
    const publication = await Publication.open(options, head);
    if (publication !== undefined) {
      const parts = { store, clock, publication };
      return new AuditLog(parts, new LogTree(hash, head), head);
    }
    const parts = { store, clock, publication: await Publication.begin(options) };
    const log = new AuditLog(parts, new LogTree(hash, undefined), head);
    await log.#rebuild(head);
    return log;
  }

  /** What was published last, and under which key; `undefined` before the first checkpoint. */
  get published(): { readonly checkpoint: SignedCheckpoint; readonly key: NoteKey } | undefined {
    const checkpoint = this.#publication?.current;
    if (this.#publication === undefined || checkpoint === undefined) return undefined;
    return { checkpoint, key: this.#publication.key };
  }

  /**
   * Takes in what was committed since the last call, writes its tiles, stores the new head and signs the
   * checkpoint. After a failure or a crash on the way the next call, or the next start, goes on where
   * this one ended: nothing is signed that is not stored, nothing stored whose tiles are missing.
   */
  advance(): Promise<AuditHead> {
    // Calls share one at work; a leaf committed behind its last read waits for the next call.
    this.#advancing ??= this.#advance().finally(() => {
      this.#advancing = undefined;
    });
    return this.#advancing;
  }

  async #advance(): Promise<AuditHead> {
    for (;;) {
      // What could not be written before comes first.
      const behind = this.#tree.size > (this.#stored?.treeSize ?? 0);
      const more = behind || (await this.#take(Infinity));
      const head = await this.#settle();
      if (!more) return head;
    }
  }

  /** Whether there may be more than was taken. */
  async #take(upTo: number): Promise<boolean> {
    for (let batch = 0; batch < batchesAtOnce; batch++) {
      const limit = Math.min(batchSize, upTo - this.#tree.size);
      const entries = limit > 0 ? await this.#store.leaves(this.#tree.size, limit) : [];
      for (const entry of entries) {
        const made = this.#tree.append(entry);
        this.#publication?.append(entry, made);
      }
      if (entries.length < batchSize) return false;
    }
    return true;
  }

  async #settle(): Promise<AuditHead> {
    const stored = this.#stored;
    const grown = stored === undefined || this.#tree.size > stored.treeSize;
    const head = grown ? this.#tree.head(this.#clock.nowMs()) : stored;
    if (this.#tree.size === 0) return head;
    if (grown) {
      await this.#publication?.writeTiles();
      // A crash before this line leaves tiles that the next start writes again, the same ones.
      await this.#store.saveHead(head);
      this.#stored = head;
    }
    // A crash before this line leaves an old checkpoint, which is as true; the next start replaces it.
    const published = this.#publication?.current?.treeSize;
    if (published !== head.treeSize) await this.#publication?.publish(head);
    return head;
  }

  /** The tiles of everything up to the stored head, which has to come out again. */
  async #rebuild(head: AuditHead | undefined): Promise<void> {
    const treeSize = head?.treeSize ?? 0;
    while (this.#tree.size < treeSize) {
      const before = this.#tree.size;
      await this.#take(treeSize);
      if (this.#tree.size === before) break;
      await this.#publication?.writeTiles();
    }
    if (head !== undefined && !equal(this.#tree.root(), head.root)) {
      throw new EnvironmentError(
        `the leaves of the audit log do not give its stored root of ${treeSize} leaves: see birthmark audit fsck`,
        { retryable: false },
      );
    }
  }
}

interface LogParts {
  readonly store: AuditStore;
  readonly clock: Clock;
  readonly publication: Publication | undefined;
}

/** The tree over a log, from its stored head on. */
export class LogTree extends GrowingTree {
  /** Throws an `InvariantError` when the head contradicts itself. */
  constructor(hash: TreeHash, head: AuditHead | undefined) {
    if (head !== undefined && head.subtrees.length !== subtrees(0, head.treeSize).length) {
      throw contradiction();
    }
    super(hash, head);
    if (head !== undefined && !equal(this.root(), head.root)) throw contradiction();
  }

  head(atMs: number): AuditHead {
    return { treeSize: this.size, root: this.root(), subtrees: this.edge(), atMs };
  }
}

function contradiction(): InvariantError {
  return new InvariantError('the stored head of the audit log contradicts itself');
}
