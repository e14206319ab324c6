/**
 * Texts that carry proofs: of inclusion beside a checkpoint (C2SP tlog-proof), for whoever checks later
 * and off line; of consistency before a checkpoint (C2SP tlog-witness, add-checkpoint), for a witness.
 */
import { parseBase64, toBase64 } from '../bytes/base64.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { hashLength } from './tree.ts';

export interface InclusionText {
  readonly leafIndex: number;
  /** RFC 6962 §2.1.1: from the leaf's sibling up. */
  readonly path: readonly Uint8Array[];
  /** The signed note, as the log published it. */
  readonly checkpoint: string;
}

export interface Submission {
  /** Size of the tree that the witness knows; 0 when it knows none. */
  readonly oldSize: number;
  /** Proof of consistency from there to the checkpoint. */
  readonly path: readonly Uint8Array[];
  readonly checkpoint: string;
}

/** C2SP tlog-witness: a client must not send more. */
const maximumHashes = 63;
const maximumBytes = 32_768;
const proofLine = 'c2sp.org/tlog-proof@v1';

export function encodeInclusion({ leafIndex, path, checkpoint }: InclusionText): string {
  return `${proofLine}\nindex ${leafIndex}\n${lines(path)}\n${checkpoint}`;
}

/** Throws a `MalformedError`. An `extra` line is read over: it is not authenticated. */
export function parseInclusion(input: Uint8Array): InclusionText {
  const text = textOf(input);
  const [, rest] =
    /^c2sp\.org\/tlog-proof@v1\n(?:extra [A-Za-z0-9+/=]*\n)?([^]*)$/.exec(text) ?? [];
  if (rest === undefined) throw new MalformedError('tlog', 0, 'no tlog-proof');
  const { number, path, checkpoint } = parseBody('index', rest);
  return { leafIndex: number, path, checkpoint };
}

export function encodeSubmission({ oldSize, path, checkpoint }: Submission): string {
  return `old ${oldSize}\n${lines(path)}\n${checkpoint}`;
}

/** Throws a `MalformedError`. */
export function parseSubmission(input: Uint8Array): Submission {
  const { number, path, checkpoint } = parseBody('old', textOf(input));
  return { oldSize: number, path, checkpoint };
}

/** The bytes of a text that `encode...` made. */
export function proofBytes(text: string): Uint8Array {
  return utf8(text);
}

function lines(path: readonly Uint8Array[]): string {
  return path.map((hash) => `${toBase64(hash)}\n`).join('');
}

function textOf(input: Uint8Array): string {
  if (input.length > maximumBytes) {
    throw new MalformedError('tlog', 0, `proof above ${maximumBytes} bytes`);
  }
  return fromUtf8(input) ?? fail('proof is not UTF-8');
}

/** A line with a number, lines with hashes, an empty line, a checkpoint. */
function parseBody(
  word: string,
  text: string,
): { number: number; path: readonly Uint8Array[]; checkpoint: string } {
  const split = text.indexOf('\n\n');
  if (split < 0) fail('no checkpoint behind the proof');
  const [first = '', ...encoded] = text.slice(0, split).split('\n');
  const [, digits] = /^[a-z]+ (0|[1-9]\d{0,15})$/.exec(first) ?? [];
  const number = Number(digits);
  if (!first.startsWith(`${word} `) || !Number.isSafeInteger(number)) fail(`no line “${word}”`);
  if (encoded.length > maximumHashes) fail(`more than ${maximumHashes} hashes`);
  const path = encoded.map((line) => {
    const hash = parseBase64(line);
    return hash?.length === hashLength ? hash : fail('a line of the proof is no hash');
  });
  return { number, path, checkpoint: text.slice(split + 2) };
}

function fail(problem: string): never {
  throw new MalformedError('tlog', 0, problem);
}
