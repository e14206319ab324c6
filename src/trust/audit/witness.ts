/**
 * A witness (C2SP tlog-witness): it knows the keys of some logs, checks that what it is shown continues
 * what it saw before, remembers it, and signs that it saw it. With a key it is somebody others can ask;
 * without one it is a memory in another place.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { concat, equal } from '../../wire/bytes/bytes.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  cosignatureMessage,
  encodeCosignature,
  encodeNote,
  parseCheckpoint,
  type SignedCheckpoint,
} from '../../wire/tlog/checkpoint.ts';
import { ed25519Key, type NoteKey, noteKey } from '../../wire/tlog/noteKey.ts';
import { parseSubmission, type Submission } from '../../wire/tlog/proof.ts';
import { verifyConsistency } from '../../wire/tlog/tree.ts';
import type { Clock } from '../ports/clock.ts';
import type { SignatureVerifier, Signer } from '../ports/keys.ts';
import type {
  WitnessAnswer,
  WitnessMemory,
  WitnessRefusalCode,
  WitnessTarget,
} from '../ports/witness.ts';
import { signedBy } from './notes.ts';

export interface WitnessOptions {
  readonly name: string;
  readonly logs: readonly NoteKey[];
  readonly memory: WitnessMemory;
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  /** Ed25519, a key of its own. Without it nothing is signed. */
  readonly signer?: Signer;
}

/** Key under which a witness of that name signs. */
export function witnessKey(crypto: Crypto, name: string, signer: Signer): NoteKey {
  const publicKey = ed25519Key(signer.publicKeySpki);
  return noteKey((data) => crypto.hash('SHA-256', data), 'witness', name, publicKey);
}

export class Witness implements WitnessTarget {
  readonly name: string;
  readonly #options: WitnessOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: WitnessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** One at a time: between the look at what was seen and its replacement nothing else may come. */
  submit(body: Uint8Array): Promise<WitnessAnswer> {
    const answer = this.#last.then(() => this.#submit(body));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #submit(body: Uint8Array): Promise<WitnessAnswer> {
    const parsed = parse(body);
    if (parsed === undefined) return refused('malformed', 'The submission cannot be read.');
    const { submission, note } = parsed;
    const { logs, verifier, memory } = this.#options;
    const keys = logs.filter(({ name }) => name === note.origin);
    if (keys.length === 0) return refused('unknown-log', 'The log is not known here.');
    if (!keys.some((key) => signedBy(verifier, note, key))) {
      return refused('bad-signature', 'The checkpoint is not signed by its log.');
    }
    if (submission.oldSize > note.treeSize) {
      return refused('malformed', 'The old tree is larger than the new one.');
    }
    const last = await memory.last(note.origin);
    const seen = last === undefined ? undefined : parseCheckpoint(last);
    const seenSize = seen?.treeSize ?? 0;
    if (submission.oldSize !== seenSize) return { kind: 'conflict', size: seenSize };
    if (seenSize === note.treeSize && seen !== undefined && !equal(seen.root, note.root)) {
      return { kind: 'conflict', size: seenSize, otherRoot: true };
    }
    if (seen !== undefined && !this.#continues(seen, note, submission.path)) {
      return refused(
        'inconsistent',
        `The tree of ${note.treeSize} leaves does not continue the tree of ${seenSize} leaves that was seen.`,
      );
    }
    // Remembered before it is signed: a crash in between costs a question, never a second history.
    await memory.save(note.origin, utf8(encodeNote(note.text, note.signatures)));
    return { kind: 'accepted', cosignatures: await this.#cosign(note) };
  }

  #continues(seen: SignedCheckpoint, note: SignedCheckpoint, path: readonly Uint8Array[]): boolean {
    if (seen.treeSize === note.treeSize || seen.treeSize === 0) return path.length === 0;
    return verifyConsistency((data) => this.#options.crypto.hash('SHA-256', data), {
      oldSize: seen.treeSize,
      oldRoot: seen.root,
      newSize: note.treeSize,
      newRoot: note.root,
      path,
    });
  }

  async #cosign(note: SignedCheckpoint): Promise<string> {
    const { signer, crypto, clock, name } = this.#options;
    if (signer === undefined) return '';
    const timeSeconds = Math.floor(clock.nowMs() / 1000);
    const signature = await signer.sign(cosignatureMessage(note.text, timeSeconds));
    const { keyId } = witnessKey(crypto, name, signer);
    const value = concat(keyId, encodeCosignature(timeSeconds, signature));
    return `— ${name} ${toBase64(value)}\n`;
  }
}

function parse(
  body: Uint8Array,
): { readonly submission: Submission; readonly note: SignedCheckpoint } | undefined {
  try {
    const submission = parseSubmission(body);
    return { submission, note: parseCheckpoint(utf8(submission.checkpoint)) };
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

function refused(code: WitnessRefusalCode, reason: string): WitnessAnswer {
  return { kind: 'refused', code, reason };
}
