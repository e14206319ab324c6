/**
 * C509 certificates (draft-ietf-cose-cbor-encoded-cert §3): X.509 in CBOR, either natively signed or
 * re-encoded so that the DER comes back bit for bit. What is read has the form of X.509, so that whoever
 * judges certificates need not know in which encoding they came.
 */
import { equal } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { noExpirationMs } from '../der/time.ts';
import * as der from '../der/writer.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { encodeCertificate, encodeTbsCertificate } from '../x509/certificateWriter.ts';
import { encodeExtension } from '../x509/extensions.ts';
import type { AlgorithmIdentifier, Certificate, Extension } from '../x509/model.ts';
import { parseName } from '../x509/names.ts';
import { parseSpki } from '../x509/spki.ts';
import { derAlgorithm, encodeAlgorithm, readAlgorithm, signatureAlgorithms } from './algorithms.ts';
import { encodeExtensions, readExtensions } from './extensions.ts';
import { asArray, latestS, readMagnitude, readType } from './items.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { encodePublicKey, type PointDecompressor, readPublicKey } from './publicKey.ts';
import { encodeSignature, readSignature, signatureForm } from './signature.ts';

export interface C509Certificate {
  /** 2: signed as CBOR. 3: signed as DER. */
  readonly type: C509Type;
  /** The array of eleven, also where it came as a sequence: what thumbprints and EDHOC cover. */
  readonly encoded: Uint8Array;
  /**
   * As X.509's reader gives it, ECDSA signatures in DER. For type 3 it is the X.509 certificate; for
   * type 2 `der` is `encoded` and `tbs` the CBOR sequence, so that the signature verifies over `tbs` in
   * either case.
   */
  readonly certificate: Certificate;
}

/**
 * Throws a `MalformedError` with the offset of the first fault, an `UnsupportedError` for a type or an
 * extension of another draft.
 */
export function parseC509Certificate(
  input: Uint8Array,
  decompress: PointDecompressor,
): C509Certificate {
  const encoded = asArray(input, 11);
  const reader = new CborReader(encoded);
  reader.array();
  const type = readType(reader);
  const fields = readFields(reader, type, decompress);
  const tbsEnd = reader.offset;
  const signature = readSignature(reader, fields.signatureAlgorithm, type);
  reader.end();
  return {
    type,
    encoded,
    certificate:
      type === 3
        ? parseCertificate(derCertificate(fields, signature))
        : nativeCertificate(encoded, encoded.subarray(1, tbsEnd), fields, signature),
  };
}

/** The array of eleven for a parsed X.509 certificate; whether it can be inverted is the caller's question. */
export function encodeReencoded(certificate: Certificate, compress: boolean): Uint8Array {
  const { signatureAlgorithm, signature } = certificate;
  return cbor.array(
    ...tbsItems(certificate, 3, compress),
    encodeSignature(signatureForm(signatureAlgorithm), signature, 3),
  );
}

/** What the ten items before the signature say. */
export interface CertificateFields {
  /** Content octets of the INTEGER. */
  readonly serialNumber: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly issuer: Certificate['issuer'];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly subject: Certificate['subject'];
  readonly publicKey: Certificate['publicKey'];
  readonly extensions: readonly Extension[];
}

/** The ten items of TBSCertificate. */
export function tbsItems(
  fields: CertificateFields,
  type: C509Type,
  compress: boolean,
): Uint8Array[] {
  const { serialNumber, issuer, subject } = fields;
  const positive = serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber;
  return [
    cbor.integer(type),
    cbor.bytes(positive),
    encodeAlgorithm(signatureAlgorithms, fields.signatureAlgorithm),
    equal(issuer.der, subject.der) ? cbor.nullItem : encodeName(issuer, type),
    cbor.integer(Math.floor(fields.notBeforeMs / 1000)),
    encodeNotAfter(fields.notAfterMs),
    encodeName(subject, type),
    ...encodePublicKey(fields.publicKey, type, compress),
    encodeExtensions(fields.extensions, type),
  ];
}

/** §3.1.5: the date of no expiration is null. */
export function encodeNotAfter(notAfterMs: number): Uint8Array {
  return notAfterMs === noExpirationMs
    ? cbor.nullItem
    : cbor.integer(Math.floor(notAfterMs / 1000));
}

interface DecodedFields {
  readonly serialNumber: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  /** DER. */
  readonly issuer: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** DER. */
  readonly subject: Uint8Array;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly extensions: readonly Extension[];
}

function readFields(
  reader: CborReader,
  type: C509Type,
  decompress: PointDecompressor,
): DecodedFields {
  const serialNumber = readMagnitude(reader);
  const signatureAlgorithm = readAlgorithm(reader, signatureAlgorithms);
  const issuerStart = reader.offset;
  const issuer = reader.takeNull() ? undefined : readName(reader, type);
  const notBeforeMs = reader.unsigned(latestS) * 1000;
  const notAfterMs = reader.takeNull() ? noExpirationMs : reader.unsigned(latestS) * 1000;
  const subject = readName(reader, type);
  // §3.1.4: equal names are written once.
  if (issuer !== undefined && equal(issuer, subject)) {
    reader.fail('the issuer is the subject and not null', issuerStart);
  }
  return {
    serialNumber,
    signatureAlgorithm,
    issuer: issuer ?? subject,
    notBeforeMs,
    notAfterMs,
    subject,
    spki: readPublicKey(reader, type, decompress),
    extensions: readExtensions(reader, type),
  };
}

function derCertificate(fields: DecodedFields, signature: Uint8Array): Uint8Array {
  const signatureAlgorithm = derAlgorithm(fields.signatureAlgorithm);
  const extensions = fields.extensions.map(encodeExtension);
  const tbs = encodeTbsCertificate({ ...fields, signatureAlgorithm, extensions });
  return encodeCertificate(tbs, signatureAlgorithm, signature);
}

function nativeCertificate(
  encoded: Uint8Array,
  tbs: Uint8Array,
  fields: DecodedFields,
  signature: Uint8Array,
): Certificate {
  return {
    der: encoded,
    tbs,
    version: 3,
    serialNumber: der.unsignedInteger(fields.serialNumber).subarray(2),
    signatureAlgorithm: fields.signatureAlgorithm,
    issuer: parseName(fields.issuer),
    notBeforeMs: fields.notBeforeMs,
    notAfterMs: fields.notAfterMs,
    subject: parseName(fields.subject),
    publicKey: parseSpki(fields.spki),
    extensions: fields.extensions,
    signature,
  };
}
