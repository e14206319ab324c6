/**
 * The constant octets of a family of certificates and the places of what changes, found in any one
 * certificate of the family. A chip that keeps 72 bytes of its certificate relies on its reader to know
 * the rest.
 */
import { equal } from '../bytes/bytes.ts';
import { toHex } from '../bytes/hex.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { contextPrimitive, tags } from '../der/tags.ts';
import { parseCertificate } from '../x509/certificate.ts';
import type { Certificate, Name } from '../x509/model.ts';
import { attributeTypes } from '../x509/names.ts';

/** Where something stands, counted from the start of the certificate. */
export interface Place {
  readonly offset: number;
  readonly length: number;
}

export interface CertificateTemplate {
  /** The certificate that the template was taken from; only its constant octets count. */
  readonly example: Certificate;
  readonly serialNumber: Place;
  /** Content of UTCTime (13 octets) or GeneralizedTime (15). */
  readonly notBefore: Place;
  readonly notAfter: Place;
  /** Four hexadecimal digits at the end of a common name. */
  readonly signerId: Place;
  /** The chip's serial number as upper-case hexadecimal text. */
  readonly chipSerials: readonly Place[];
  /** The 65 octets of an uncompressed P-256 point. */
  readonly publicKey: Place;
  readonly subjectKeyId: Place | undefined;
  readonly authorityKeyId: Place | undefined;
}

const format = 'compressed certificate';

/**
 * `chipSerial` is that of the example; empty for a signer, which names no chip. Throws an
 * `UnsupportedError` for a certificate without the places that a compressed form needs.
 */
export function templateFrom(example: Uint8Array, chipSerial: Uint8Array): CertificateTemplate {
  const certificate = parseCertificate(example);
  const { der, publicKey, serialNumber } = certificate;
  const placeOf = (view: Uint8Array): Place => ({
    offset: view.byteOffset - der.byteOffset,
    length: view.length,
  });
  if (publicKey.key.length !== 65) throw new UnsupportedError(format, 'a key other than P-256');
  const [notBefore, notAfter] = dateContents(der);
  const subjectKeyId = keyIdContent(certificate, '2.5.29.14', (value) => value.octetString());
  const issuerKeyId = keyIdContent(certificate, '2.5.29.35', authorityKeyId);
  return {
    example: certificate,
    serialNumber: placeOf(serialNumber),
    notBefore: placeOf(notBefore),
    notAfter: placeOf(notAfter),
    signerId: placeOf(signerIdOf(certificate)),
    chipSerials: chipSerial.length === 0 ? [] : textPlaces(certificate, toHex(chipSerial)),
    publicKey: placeOf(publicKey.key),
    subjectKeyId: subjectKeyId && placeOf(subjectKeyId),
    authorityKeyId: issuerKeyId && placeOf(issuerKeyId),
  };
}

/** The four digits that name a signer: the issuer of a device, the subject of the signer itself. */
export function signerIdOf(certificate: Certificate): Uint8Array {
  const digits = signerDigits(certificate.issuer) ?? signerDigits(certificate.subject);
  if (digits !== undefined) return digits;
  throw new UnsupportedError(format, 'a name without signer ID');
}

function signerDigits({ rdns }: Name): Uint8Array | undefined {
  for (const { type, value } of rdns.flat()) {
    const end = value.subarray(-5);
    if (type !== attributeTypes.commonName || end.length < 5 || end[0] !== 0x20) continue;
    if (end.subarray(1).every(isUpperHexDigit)) return end.subarray(1);
  }
  return undefined;
}

function isUpperHexDigit(octet: number): boolean {
  return (octet >= 0x30 && octet <= 0x39) || (octet >= 0x41 && octet <= 0x46);
}

/** Contents of notBefore and notAfter, whatever their form. */
function dateContents(certificate: Uint8Array): readonly [Uint8Array, Uint8Array] {
  return readDer(certificate, (reader) =>
    reader.sequence((outer) => {
      const dates = outer.sequence((tbs) => {
        // version, serialNumber, signature, issuer
        for (let count = 0; count < 4; count++) tbs.element();
        const contents = tbs.sequence((validity) => [date(validity), date(validity)] as const);
        while (!tbs.atEnd) tbs.element();
        return contents;
      });
      while (!outer.atEnd) outer.element();
      return dates;
    }),
  );
}

function date(validity: DerReader): Uint8Array {
  return validity.content(validity.peek() ?? tags.utcTime);
}

/** Every place in the subject and in the alternative names where the text stands. */
function textPlaces({ der, subject, extensions }: Certificate, text: string): Place[] {
  const wanted = utf8(text.toUpperCase());
  const alternatives = extensions.find(({ oid }) => oid === '2.5.29.17');
  const places: Place[] = [];
  for (const view of [subject.der, ...(alternatives === undefined ? [] : [alternatives.value])]) {
    for (let start = 0; start + wanted.length <= view.length; start++) {
      if (!equal(view.subarray(start, start + wanted.length), wanted)) continue;
      places.push({ offset: view.byteOffset - der.byteOffset + start, length: wanted.length });
    }
  }
  return places;
}

function keyIdContent(
  { extensions }: Certificate,
  oid: string,
  read: (reader: DerReader) => Uint8Array,
): Uint8Array | undefined {
  const extension = extensions.find((candidate) => candidate.oid === oid);
  if (extension === undefined) return undefined;
  const keyId = readDer(extension.value, read);
  if (keyId.length !== 20) throw new UnsupportedError(format, 'a key identifier that is no SHA-1');
  return keyId;
}

/** Only the key identifier: issuer and serial number beside it would have to be stored. */
function authorityKeyId(reader: DerReader): Uint8Array {
  return reader.sequence((content) => content.octetString(contextPrimitive(0)));
}
