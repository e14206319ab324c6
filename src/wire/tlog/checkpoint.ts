/**
 * Checkpoints (C2SP tlog-checkpoint) as signed notes (C2SP signed-note): origin, size and root of a log in
 * three lines of text, with Ed25519 signatures and cosignatures below.
 */
import { parseBase64, toBase64 } from '../bytes/base64.ts';
import { concat, equal } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { hashLength, type TreeHash } from './tree.ts';

export interface Checkpoint {
  /** Name of the log, for example `maker.example/issuance`. */
  readonly origin: string;
  readonly treeSize: number;
  readonly root: Uint8Array;
}

export interface NoteSignature {
  readonly keyName: string;
  /** Four octets; says which key, proves nothing. */
  readonly keyId: Uint8Array;
  readonly signature: Uint8Array;
}

export interface SignedCheckpoint extends Checkpoint {
  /** What the log's signature covers: the three lines, ending in a newline. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

const maximumNoteBytes = 16_384;
const maximumSignatures = 16;
const ed25519 = 1;
/** C2SP tlog-cosignature: signs the note together with the witness's time. */
const cosignatureV1 = 4;

/** The text to be signed. */
export function checkpointText({ origin, treeSize, root }: Checkpoint): string {
  checkName(origin);
  return `${origin}\n${treeSize}\n${toBase64(root)}\n`;
}

/** C2SP signed-note: key ID of an Ed25519 key. */
export function noteKeyId(
  hash: TreeHash,
  keyName: string,
  publicKey: Uint8Array,
  kind: 'log' | 'witness' = 'log',
): Uint8Array {
  const type = kind === 'log' ? ed25519 : cosignatureV1;
  return hash(concat(utf8(`${keyName}\n`), Uint8Array.of(type), publicKey)).slice(0, 4);
}

/** Text and signatures as one note. */
export function encodeNote(text: string, signatures: readonly NoteSignature[]): string {
  const lines = signatures.map(({ keyName, keyId, signature }) => {
    checkName(keyName);
    return `— ${keyName} ${toBase64(concat(keyId, signature))}\n`;
  });
  return `${text}\n${lines.join('')}`;
}

/** C2SP tlog-cosignature: what a witness signs; its note signature is the time in 8 octets, then Ed25519. */
export function cosignatureMessage(text: string, timeSeconds: number): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timeSeconds}\n${text}`);
}

export function encodeCosignature(timeSeconds: number, signature: Uint8Array): Uint8Array {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(timeSeconds));
  return concat(time, signature);
}

export function parseCosignature(
  value: Uint8Array,
): { readonly timeSeconds: number; readonly signature: Uint8Array } | undefined {
  if (value.length !== 72) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, 8);
  return { timeSeconds: Number(view.getBigUint64(0)), signature: value.subarray(8) };
}

/** The signature of that key, if the note has one; the caller verifies it over `text`. */
export function signatureBy(
  note: SignedCheckpoint,
  keyName: string,
  keyId: Uint8Array,
): Uint8Array | undefined {
  return note.signatures.find((line) => line.keyName === keyName && equal(line.keyId, keyId))
    ?.signature;
}

export function parseCheckpoint(input: Uint8Array): SignedCheckpoint {
  if (input.length > maximumNoteBytes) fail(0, `note above ${maximumNoteBytes} bytes`);
  const note = fromUtf8(input) ?? fail(0, 'note is not UTF-8');
  const split = note.indexOf('\n\n');
  if (split < 0 || !note.endsWith('\n')) fail(0, 'note without signatures');
  const text = note.slice(0, split + 1);
  const [origin = '', size = '', root = '', ...rest] = text.split('\n');
  const rootBytes = parseBase64(root);
  if (!isName(origin)) fail(0, 'origin is no name');
  if (!/^(?:0|[1-9]\d{0,15})$/.test(size)) fail(origin.length + 1, 'tree size is no number');
  if (rootBytes?.length !== hashLength) fail(origin.length + size.length + 2, 'root is no hash');
  if (rest.length !== 1) fail(split, 'extension lines');
  const lines = note.slice(split + 2, -1).split('\n');
  if (lines.length > maximumSignatures) fail(split, `more than ${maximumSignatures} signatures`);
  const signatures = lines.map(
    (line) => parseSignature(line) ?? fail(split, 'broken signature line'),
  );
  return { origin, treeSize: Number(size), root: rootBytes, text, signatures };
}

function parseSignature(line: string): NoteSignature | undefined {
  const [, keyName = '', encoded = ''] = /^— (\S+) (\S+)$/.exec(line) ?? [];
  const value = parseBase64(encoded);
  if (!isName(keyName) || value === undefined || value.length <= 4) return undefined;
  return { keyName, keyId: value.subarray(0, 4), signature: value.subarray(4) };
}

function checkName(name: string): void {
  if (!isName(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a log or key`);
}

/** C2SP signed-note: not empty, no white space, no plus. */
function isName(name: string): boolean {
  return /^[^\s+]+$/u.test(name);
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('tlog', offset, problem);
}
