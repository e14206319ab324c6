/**
 * One entry of a manifest: a flattened JWS (RFC 7515 §7.2.2) over what an element's maker says about it.
 * Reading judges form alone; whether the signer is trusted and the signature right is the import's part.
 */
import { parseBase64url } from '../bytes/base64.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { ManifestFault } from './fault.ts';
import { Members } from './members.ts';
import { type ElementRecord, readRecord, readUniqueId } from './record.ts';
import { type EntryText, maximumEntryBytes } from './splitter.ts';

export interface SignedEntry {
  /** Position in the array, from 0. */
  readonly index: number;
  /** Bytes of the file before the entry. */
  readonly offset: number;
  /** `kid`: subject key identifier of the signer's certificate. */
  readonly keyId: Uint8Array;
  /** `x5t#S256`: SHA-256 of the signer's certificate, 32 bytes. */
  readonly certificateSha256: Uint8Array;
  /** RFC 7515 §5.1: what the signature covers. */
  readonly signingInput: Uint8Array;
  /** r‖s of ES256, 64 bytes. */
  readonly signature: Uint8Array;
  /** The copy outside the signature, by which entries are sorted; it must equal the one in `record`. */
  readonly headerUniqueId: Uint8Array;
  readonly record: ElementRecord;
}

/** Throws a `ManifestFault` that names the member, an `UnsupportedError` for a version or an algorithm. */
export function readEntry(text: EntryText): SignedEntry {
  const entry = Members.parse(textOf(text, '', text.bytes), '', text);
  const encodedHeader = entry.text('protected', maximumEntryBytes);
  const encodedPayload = entry.text('payload', maximumEntryBytes);
  const signature = entry.parsed('signature', parseBase64url, 'base64url');
  if (signature.length !== 64) entry.fail('signature', 'is not 64 bytes long');
  return {
    index: text.index,
    offset: text.offset,
    ...readHeader(decoded(text, 'protected', encodedHeader)),
    signingInput: signingInput(encodedHeader, encodedPayload),
    signature,
    headerUniqueId: readUniqueId(readUnprotected(entry)),
    record: readRecord(decoded(text, 'payload', encodedPayload)),
  };
}

/** RFC 7515 §5.1. Both are base64url. */
export function signingInput(encodedHeader: string, encodedPayload: string): Uint8Array {
  return utf8(`${encodedHeader}.${encodedPayload}`);
}

function readHeader(header: Members): { keyId: Uint8Array; certificateSha256: Uint8Array } {
  // RFC 7515 §4.1.11: extensions that must be understood, and none is.
  if (header.has('crit')) throw new UnsupportedError('manifest', 'a critical JWS header');
  const algorithm = header.text('alg');
  // Anything else, `none` and shared-key algorithms above all, would let others sign.
  if (algorithm !== 'ES256') throw new UnsupportedError('manifest', `JWS algorithm ${algorithm}`);
  const keyId = header.parsed('kid', parseBase64url, 'base64url');
  if (keyId.length > 64) header.fail('kid', 'is longer than 64 bytes');
  const certificateSha256 = header.parsed('x5t#S256', parseBase64url, 'base64url');
  if (certificateSha256.length !== 32) header.fail('x5t#S256', 'is not 32 bytes long');
  return { keyId, certificateSha256 };
}

function readUnprotected(entry: Members): Members {
  const header = entry.object('header');
  for (const name of ['alg', 'kid', 'x5t#S256', 'typ', 'crit', 'b64']) {
    // RFC 7515 §7.2.1: names in the two headers are disjoint; none of these may be unsigned.
    if (header.has(name)) header.fail(name, 'belongs into the protected header');
  }
  return header;
}

function decoded(at: EntryText, name: 'protected' | 'payload', encoded: string): Members {
  const bytes = parseBase64url(encoded);
  if (bytes === undefined) throw new ManifestFault(at, name, 'is not base64url');
  return Members.parse(textOf(at, name, bytes), name, at);
}

function textOf(at: EntryText, name: string, bytes: Uint8Array): string {
  const text = fromUtf8(bytes);
  if (text === undefined) throw new ManifestFault(at, name, 'is not UTF-8');
  return text;
}
