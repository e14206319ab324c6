/**
 * Writes certificates (RFC 5280 §4.1). What does not change between certificates of one profile is
 * encoded once and handed in as bytes, so that writing costs a small part of the signature that follows.
 */
import { fromHex } from '../bytes/hex.ts';
import { DerReader } from '../der/reader.ts';
import { contextConstructed, tags } from '../der/tags.ts';
import { element, headerBytes, time, unsignedInteger, writeHeader } from '../der/writer.ts';

/** Everything but the serial number and the dates as DER that was made before. */
export interface TbsCertificateFields {
  /** Magnitude, most significant byte first. */
  readonly serialNumber: Uint8Array;
  /** AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  /** Name. */
  readonly issuer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Name. */
  readonly subject: Uint8Array;
  /** SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Extension elements in the order in which they shall stand; several may be joined in one array. */
  readonly extensions: readonly Uint8Array[];
}

/** DER of TBSCertificate, version 3: what the issuer signs. */
export function encodeTbsCertificate(fields: TbsCertificateFields): Uint8Array {
  return element(
    tags.sequence,
    version3,
    unsignedInteger(fields.serialNumber),
    fields.signatureAlgorithm,
    fields.issuer,
    encodeValidity(fields.notBeforeMs, fields.notAfterMs),
    fields.subject,
    fields.spki,
    ...wrappedExtensions(fields.extensions),
  );
}

/** DER of Validity. The dates are written to the second; what is below is cut off. */
export function encodeValidity(notBeforeMs: number, notAfterMs: number): Uint8Array {
  return element(tags.sequence, time(notBeforeMs), time(notAfterMs));
}

/** DER of Certificate. `signatureAlgorithm` is the AlgorithmIdentifier that stands in `tbs` too. */
/**
 * DER of the certificate from its two stored parts: the signature algorithm stands in the signed part too,
 * and is the same there (RFC 5280 §4.1.2.3). Throws a `MalformedError` when `tbs` is none.
 */
export function completeCertificate(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  const algorithm = new DerReader(tbs).constructed(tags.sequence, (content) => {
    content.optional(contextConstructed(0), (version) => version.element());
    content.element();
    const found = content.element();
    while (!content.atEnd) content.element();
    return found;
  });
  return encodeCertificate(tbs, algorithm, signature);
}

export function encodeCertificate(
  tbs: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return element(
    tags.sequence,
    tbs,
    signatureAlgorithm,
    element(tags.bitString, noUnusedBits, signature),
  );
}

/** `[0] EXPLICIT INTEGER 2`. */
export const version3: Uint8Array = fromHex('a003020102');
const noUnusedBits = Uint8Array.of(0);

/** `[3] EXPLICIT SEQUENCE OF Extension` in pieces: both headers in one array, the extensions uncopied. */
export function wrappedExtensions(extensions: readonly Uint8Array[]): readonly Uint8Array[] {
  let length = 0;
  for (const extension of extensions) length += extension.length;
  // RFC 5280 §4.2: the list has at least one member, or the field is absent.
  if (length === 0) return [];
  const inner = headerBytes(length);
  const headers = new Uint8Array(headerBytes(inner + length) + inner);
  const offset = writeHeader(headers, 0, contextConstructed(3), inner + length);
  writeHeader(headers, offset, tags.sequence, length);
  return [headers, ...extensions];
}
