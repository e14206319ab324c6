/**
 * Shows every witness the log's checkpoints, at least once a minute, also when nothing was added: a fresh
 * cosignature says that the witness still sees the same log. What a witness refuses is told at once and
 * again every time; a witness that is away is told once, until it is back.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { encodeNote, parseCheckpoint, type SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import type { NoteKey } from '../../wire/tlog/noteKey.ts';
import { encodeSubmission } from '../../wire/tlog/proof.ts';
import type { Clock } from '../ports/clock.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { LogFiles } from '../ports/tileStore.ts';
import type { WitnessAnswer, WitnessTarget } from '../ports/witness.ts';
import { witnessedAt } from './notes.ts';
import { TiledTree } from './proofs.ts';

/** A witness, and the key under which its cosignatures count; without one it signs nothing. */
export interface AskedWitness {
  readonly target: WitnessTarget;
  readonly key?: NoteKey;
}

export interface WitnessingOptions {
  readonly witnesses: readonly AskedWitness[];
  readonly files: LogFiles;
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  /** What was published last. */
  readonly checkpoint: () => SignedCheckpoint | undefined;
  /** Keeps a cosigned checkpoint beside the log. */
  readonly keep: (witness: NoteKey, note: Uint8Array) => Promise<void>;
  readonly onTrouble: (trouble: WitnessTrouble) => void;
}

export interface WitnessTrouble {
  readonly witness: string;
  /** `refused`: it says that this log is not the one it saw. `away`: it cannot be asked. */
  readonly kind: 'refused' | 'away';
  readonly reason: string;
}

export interface WitnessState {
  readonly witness: string;
  /** What it saw last of this log; `undefined` before the first answer. */
  readonly size: number | undefined;
  readonly atMs: number | undefined;
  readonly trouble: WitnessTrouble | undefined;
}

/** Half of what is promised, so that a slow answer still comes in time. */
export const showEveryMs = 30_000;
/** A witness that did not answer is asked again after this. */
const retryEveryMs = 10_000;

interface Contact extends AskedWitness {
  /** What it says it saw; 0 asks it. */
  known: number;
  askedMs: number | undefined;
  state: WitnessState;
  busy: Promise<void> | undefined;
}

export class Witnessing {
  readonly #options: WitnessingOptions;
  readonly #contacts: readonly Contact[];

  constructor(options: WitnessingOptions) {
    this.#options = options;
    this.#contacts = options.witnesses.map((witness) => ({
      ...witness,
      known: 0,
      askedMs: undefined,
      state: { witness: witness.target.name, size: undefined, atMs: undefined, trouble: undefined },
      busy: undefined,
    }));
  }

  get states(): readonly WitnessState[] {
    return this.#contacts.map(({ state }) => state);
  }

  /** Asks those whose time has come. Resolves when all have answered or failed; it never rejects for them. */
  async advance(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const due = this.#contacts.filter(({ askedMs, state }) => {
      const waitMs = state.trouble?.kind === 'away' ? retryEveryMs : showEveryMs;
      return askedMs === undefined || nowMs - askedMs >= waitMs || nowMs < askedMs;
    });
    await Promise.all(due.map((contact) => this.#show(contact)));
  }

  /** Asks those that have not seen the last checkpoint, unless they are away. For the end of a process. */
  async finish(): Promise<void> {
    const size = this.#options.checkpoint()?.treeSize;
    const behind = this.#contacts.filter(({ state }) => {
      return state.size !== size && state.trouble === undefined;
    });
    await Promise.all(behind.map((contact) => this.#show(contact)));
  }

  #show(contact: Contact): Promise<void> {
    contact.busy ??= this.#ask(contact).finally(() => {
      contact.busy = undefined;
    });
    return contact.busy;
  }

  async #ask(contact: Contact): Promise<void> {
    const checkpoint = this.#options.checkpoint();
    if (checkpoint === undefined) return;
    contact.askedMs = this.#options.clock.nowMs();
    try {
      const answer = await this.#submit(contact, checkpoint);
      if (answer.kind === 'accepted') await this.#accept(contact, checkpoint, answer.cosignatures);
      else this.#refused(contact, reasonOf(answer));
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
      this.#away(contact, error.message);
    }
  }

  async #submit(contact: Contact, checkpoint: SignedCheckpoint): Promise<WitnessAnswer> {
    for (let attempt = 0; ; attempt++) {
      const { known, target } = contact;
      if (known > checkpoint.treeSize) {
        const reason = `It saw ${known} leaves; this log has ${checkpoint.treeSize}: its end was cut off.`;
        // Asked anew next time: the log may have caught up, or the witness erred.
        contact.known = 0;
        return { kind: 'refused', code: 'inconsistent', reason };
      }
      const { files, crypto } = this.#options;
      const tree = new TiledTree(
        files,
        (data) => crypto.hash('SHA-256', data),
        checkpoint.treeSize,
      );
      const text = encodeSubmission({
        oldSize: known,
        path: await tree.consistency(known),
        checkpoint: encodeNote(checkpoint.text, checkpoint.signatures),
      });
      const answer = await target.submit(utf8(text));
      if (answer.kind !== 'conflict' || attempt > 0 || answer.size === known) return answer;
      contact.known = answer.size;
    }
  }

  async #accept(
    contact: Contact,
    checkpoint: SignedCheckpoint,
    cosignatures: string,
  ): Promise<void> {
    const { clock, verifier, keep } = this.#options;
    const { key, target } = contact;
    const witness = target.name;
    if (key !== undefined) {
      const note = `${encodeNote(checkpoint.text, checkpoint.signatures)}${cosignatures}`;
      if (!isCosigned(verifier, utf8(note), key)) {
        return this.#refused(
          contact,
          'It accepted the checkpoint but did not sign it with its key.',
        );
      }
      await keep(key, utf8(note));
    }
    contact.known = checkpoint.treeSize;
    const atMs = clock.nowMs();
    contact.state = { witness, size: checkpoint.treeSize, atMs, trouble: undefined };
  }

  #refused(contact: Contact, reason: string): void {
    this.#tell(contact, { witness: contact.target.name, kind: 'refused', reason });
  }

  #away(contact: Contact, reason: string): void {
    const before = contact.state.trouble?.kind;
    const trouble = { witness: contact.target.name, kind: 'away', reason } as const;
    contact.state = { ...contact.state, trouble };
    if (before !== 'away') this.#options.onTrouble(trouble);
  }

  #tell(contact: Contact, trouble: WitnessTrouble): void {
    contact.state = { ...contact.state, trouble };
    this.#options.onTrouble(trouble);
  }
}

function isCosigned(verifier: SignatureVerifier, note: Uint8Array, key: NoteKey): boolean {
  try {
    return witnessedAt(verifier, parseCheckpoint(note), key) !== undefined;
  } catch (error) {
    if (error instanceof MalformedError) return false;
    throw error;
  }
}

function reasonOf(answer: Exclude<WitnessAnswer, { readonly kind: 'accepted' }>): string {
  return answer.kind === 'refused'
    ? answer.reason
    : `It saw another tree of ${answer.size} leaves than this log's.`;
}
