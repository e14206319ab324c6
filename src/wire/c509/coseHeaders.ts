/** Values of the COSE header parameters c5t, c5u, c5b and c5c (§3.4): C509 certificates by hash, by place, by value. */
import { equal } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { asArray } from './items.ts';

/** A hash function over the whole input, and its number in the COSE Algorithms registry. */
export interface ThumbprintHash {
  /** -16: SHA-256. -15: SHA-256/64, its first 8 bytes. -43: SHA-384. -44: SHA-512. */
  readonly algorithm: -16 | -15 | -43 | -44;
  readonly hash: (data: Uint8Array) => Uint8Array;
}

/** COSE_CertHash (RFC 9360 §2). */
export interface CertificateHash {
  readonly algorithm: number | string;
  readonly hash: Uint8Array;
}

const certificateItems = 11;
/** Of a chain or a bag. */
const maximumCertificates = 8;

/** c5t over the array. For type 3, whose encoding is not unique, x5t over the DER is the stable reference. */
export function encodeC5t(
  certificate: Uint8Array,
  { algorithm, hash }: ThumbprintHash,
): Uint8Array {
  const digest = hash(asArray(certificate, certificateItems));
  return cbor.array(
    cbor.integer(algorithm),
    cbor.bytes(algorithm === -15 ? digest.subarray(0, 8) : digest),
  );
}

/** Throws a `MalformedError`. The hash is a view of the input. */
export function parseC5t(value: Uint8Array): CertificateHash {
  const reader = new CborReader(value);
  if (reader.array() !== 2) reader.fail('algorithm and hash expected', 0);
  const algorithm = reader.peek() === 'text' ? reader.text() : reader.integer();
  const hash = reader.bytes();
  reader.end();
  return { algorithm, hash };
}

/** Whether a c5t names the certificate; false also for another algorithm than that of `hash`. */
export function matchesC5t(
  value: Uint8Array,
  certificate: Uint8Array,
  hash: ThumbprintHash,
): boolean {
  return equal(value, encodeC5t(certificate, hash));
}

/** c5c and c5b, COSE_C509: one certificate as a byte string, several as an array of them, leaf first in c5c. */
export function encodeCoseC509(certificates: readonly Uint8Array[]): Uint8Array {
  if (certificates.length === 0 || certificates.length > maximumCertificates) {
    throw new TypeError(`1 to ${maximumCertificates} certificates`);
  }
  const items = certificates.map((one) => cbor.bytes(asArray(one, certificateItems)));
  return items.length === 1 ? cbor.sequence(...items) : cbor.array(...items);
}

/** The certificates, each as its array of eleven. Throws a `MalformedError`. */
export function parseCoseC509(value: Uint8Array): readonly Uint8Array[] {
  const reader = new CborReader(value);
  const start = reader.offset;
  const alone = reader.peek() !== 'array';
  const count = alone ? 1 : reader.array();
  if (!alone && count < 2) reader.fail('fewer than two certificates', start);
  if (count > maximumCertificates)
    reader.fail(`more than ${maximumCertificates} certificates`, start);
  const certificates = Array.from({ length: count }, () =>
    asArray(reader.bytes(), certificateItems),
  );
  reader.end();
  return certificates;
}

/** c5u. */
export function encodeC5u(uri: string): Uint8Array {
  return cbor.text(uri);
}
