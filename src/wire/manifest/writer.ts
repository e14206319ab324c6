/**
 * Writes manifests of our own in the published shape, one signed entry a device. The key stays where it
 * is: `prepareEntry` gives the bytes to sign, `finish` takes the signature.
 */
import { toBase64url } from '../bytes/base64.ts';
import { toHex } from '../bytes/hex.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';
import { signingInput } from './entry.ts';
import { Members } from './members.ts';
import { type ElementRecord, readRecord, recordText } from './record.ts';

/** How a reader finds the certificate of the key that signs. */
export interface ManifestSigner {
  /** Subject key identifier of the certificate. */
  readonly keyId: Uint8Array;
  /** SHA-256 of the certificate, 32 bytes. */
  readonly certificateSha256: Uint8Array;
}

/** An entry that waits for its signature; spent by `finish`. */
export class UnsignedEntry {
  /** Input of ECDSA with SHA-256. */
  readonly toBeSigned: Uint8Array;
  readonly #members: Readonly<Record<string, unknown>>;
  #finished = false;

  constructor(toBeSigned: Uint8Array, members: Readonly<Record<string, unknown>>) {
    this.toBeSigned = toBeSigned;
    this.#members = members;
  }

  /** JSON text of the entry. `signature` is r‖s, 64 bytes. */
  finish(signature: Uint8Array): string {
    if (this.#finished) throw new TypeError('this entry is already signed');
    if (signature.length !== 64) throw new TypeError('an ES256 signature is r‖s of 64 bytes');
    this.#finished = true;
    return JSON.stringify({ ...this.#members, signature: toBase64url(signature) });
  }
}

/** Throws a `TypeError` for a record that a reader would refuse: too long a text, an impossible id. */
export function prepareEntry(record: ElementRecord, signer: ManifestSigner): UnsignedEntry {
  if (signer.certificateSha256.length !== 32) throw new TypeError('a SHA-256 has 32 bytes');
  const text = recordText(record);
  refuseUnreadable(text);
  const header = {
    typ: 'JWT',
    alg: 'ES256',
    kid: toBase64url(signer.keyId),
    'x5t#S256': toBase64url(signer.certificateSha256),
  };
  const payload = toBase64url(utf8(text));
  const encodedHeader = toBase64url(utf8(JSON.stringify(header)));
  return new UnsignedEntry(signingInput(encodedHeader, payload), {
    payload,
    protected: encodedHeader,
    header: { uniqueId: toHex(record.uniqueId) },
  });
}

/** The file piece by piece: an entry a line, so that it can be cut and searched with line tools. */
export function* manifestText(entries: Iterable<string>): Generator<string> {
  let between = '[\n';
  for (const entry of entries) {
    yield between + entry;
    between = ',\n';
  }
  yield between === '[\n' ? '[]\n' : '\n]\n';
}

function refuseUnreadable(payload: string): void {
  try {
    readRecord(Members.parse(payload, 'payload', { index: 0, offset: 0 }));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new TypeError(`this record cannot go into a manifest: ${error.message}`, {
      cause: error,
    });
  }
}
