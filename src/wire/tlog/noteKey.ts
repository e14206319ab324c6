/** Public keys of logs and witnesses as people hand them on (C2SP signed-note, "Verifier keys"): one line. */
import { parseBase64, toBase64 } from '../bytes/base64.ts';
import { concat, equal } from '../bytes/bytes.ts';
import { parseHex, toHex } from '../bytes/hex.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { noteKeyId } from './checkpoint.ts';
import type { TreeHash } from './tree.ts';

/** Logs sign checkpoints; witnesses sign them together with their time (C2SP tlog-cosignature). */
export type NoteKeyKind = 'log' | 'witness';

export interface NoteKey {
  readonly name: string;
  readonly kind: NoteKeyKind;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Four octets; says which key, proves nothing. */
  readonly keyId: Uint8Array;
}

export function noteKey(
  hash: TreeHash,
  kind: NoteKeyKind,
  name: string,
  publicKey: Uint8Array,
): NoteKey {
  return { name, kind, publicKey, keyId: noteKeyId(hash, name, publicKey, kind) };
}

/** `NAME+KEYID+KEY`: hexadecimal key ID, base64 of the type's octet and the key. */
export function encodeNoteKey({ name, kind, publicKey, keyId }: NoteKey): string {
  const typed = concat(Uint8Array.of(types[kind]), publicKey);
  return `${name}+${toHex(keyId)}+${toBase64(typed)}`;
}

/** Throws a `MalformedError`, also when the key ID belongs to another key. */
export function parseNoteKey(hash: TreeHash, text: string): NoteKey {
  const [, name = '', id = '', encoded = ''] =
    /^([^\s+]+)\+([0-9a-f]{8})\+(\S+)$/u.exec(text) ?? [];
  const keyId = parseHex(id);
  const typed = parseBase64(encoded);
  if (name === '' || keyId === undefined || typed?.length !== 1 + publicKeyLength) {
    throw new MalformedError('tlog', 0, 'no verifier key');
  }
  const kind = typed[0] === types.log ? 'log' : typed[0] === types.witness ? 'witness' : undefined;
  if (kind === undefined) throw new MalformedError('tlog', 0, `key of type ${String(typed[0])}`);
  const key = noteKey(hash, kind, name, typed.slice(1));
  if (!equal(key.keyId, keyId)) throw new MalformedError('tlog', 0, 'key ID of another key');
  return key;
}

/** RFC 8410 §4: the key as the verifiers of certificates take it. */
export function ed25519Spki(publicKey: Uint8Array): Uint8Array {
  return concat(spkiPrefix, publicKey);
}

/** Throws a `TypeError` for a key of another kind. */
export function ed25519Key(spki: Uint8Array): Uint8Array {
  const isEd25519 =
    spki.length === spkiPrefix.length + publicKeyLength &&
    equal(spki.subarray(0, spkiPrefix.length), spkiPrefix);
  if (!isEd25519) throw new TypeError('no Ed25519 key');
  return spki.slice(spkiPrefix.length);
}

/** RFC 8410 §3: id-Ed25519. */
export const ed25519Oid = '1.3.101.112';

const types = { log: 1, witness: 4 } as const;
const publicKeyLength = 32;
/** SEQUENCE { SEQUENCE { 1.3.101.112 }, BIT STRING of 32 octets }. */
const spkiPrefix = Uint8Array.of(0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0);
