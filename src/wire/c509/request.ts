/**
 * C509 certification requests (§4): PKCS#10 in CBOR, natively signed or re-encoded. As with
 * certificates, what is read has the form of X.509's request, so that enrolment judges one kind only.
 */
import { concat, equal } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import * as der from '../der/writer.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
  type RequestAttribute,
} from '../x509/certificationRequest.ts';
import type { AlgorithmIdentifier, Extension, Name, PublicKeyInfo } from '../x509/model.ts';
import { derAlgorithm, encodeAlgorithm, readAlgorithm, signatureAlgorithms } from './algorithms.ts';
import { asArray, readType } from './items.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { UnsignedC509 } from './native.ts';
import { oidItem } from './oids.ts';
import { encodePublicKey, type PointDecompressor, readPublicKey } from './publicKey.ts';
import {
  challengePasswordAttribute,
  encodeAttribute,
  extensionRequestAttribute,
  readAttributes,
} from './requestAttributes.ts';
import { encodeSignature, readSignature, signatureForm } from './signature.ts';

export interface C509Request {
  /** 2: signed as CBOR, and the certificate is expected to be. 3: signed as DER. */
  readonly type: C509Type;
  /** The array of seven, also where it came as a sequence. */
  readonly encoded: Uint8Array;
  /**
   * As PKCS#10's reader gives it. For type 3 it is the PKCS#10 request; for type 2 `der` is `encoded` and
   * `info` the CBOR sequence that was signed. Proofs of possession (algorithms 14 to 16) have DhSigStatic
   * (RFC 6955 §4) as their signature.
   */
  readonly request: CertificationRequest;
}

/** What a natively signed request says. */
export interface NativeRequestFields {
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly subject: Name;
  readonly publicKey: PublicKeyInfo;
  readonly challengePassword?: string;
  readonly extensions?: readonly Extension[];
  /** DER of attributes without a number: one value each, by dotted type. */
  readonly others?: ReadonlyMap<string, Uint8Array>;
}

const requestItems = 7;
const requestHead = cbor.head(4, requestItems);

/** Throws a `MalformedError` with the offset of the first fault, an `UnsupportedError` for what is of another draft. */
export function parseC509Request(input: Uint8Array, decompress: PointDecompressor): C509Request {
  const encoded = asArray(input, requestItems);
  const reader = new CborReader(encoded);
  reader.array();
  const type = readType(reader);
  const signatureAlgorithm = readAlgorithm(reader, signatureAlgorithms);
  const subject = readName(reader, type);
  const spki = readPublicKey(reader, type, decompress);
  const attributes = readAttributes(reader, type, decompress);
  const tbs = encoded.subarray(1, reader.offset);
  const signature = readSignature(reader, signatureAlgorithm, type);
  reader.end();
  const pkcs10 = derRequest({ subject, spki, attributes, signatureAlgorithm, signature });
  const request = parseCertificationRequest(pkcs10);
  if (type === 3) return { type, encoded, request };
  return { type, encoded, request: { ...request, der: encoded, info: tbs } };
}

/**
 * The request as C509 type 3. Throws an `UnsupportedError` when its DER would not come back, a
 * `MalformedError` for input that is no request.
 */
export function c509FromPkcs10(input: Uint8Array, decompress: PointDecompressor): Uint8Array {
  const request = parseCertificationRequest(input);
  for (const compress of [true, false]) {
    const encoded = cbor.array(
      cbor.integer(3),
      encodeAlgorithm(signatureAlgorithms, request.signatureAlgorithm),
      encodeName(request.subject, 3),
      ...encodePublicKey(request.publicKey, 3, compress),
      encodeAttributes(request.attributes, 3, decompress),
      encodeSignature(signatureForm(request.signatureAlgorithm), request.signature, 3),
    );
    if (comesBack(encoded, input, decompress)) return encoded;
  }
  throw new UnsupportedError('c509', 'an encoding of this request that gives back its DER');
}

/** The PKCS#10 request, DER, of a request of type 3; an `UnsupportedError` for type 2. */
export function pkcs10FromC509(c509: Uint8Array, decompress: PointDecompressor): Uint8Array {
  const { type, request } = parseC509Request(c509, decompress);
  if (type === 3) return request.der;
  throw new UnsupportedError('c509', 'PKCS#10 of a natively signed request');
}

/** A natively signed request; the signature, or the proof of possession, comes with `finish`. */
export function prepareNativeRequest(fields: NativeRequestFields): UnsignedC509 {
  const { signatureAlgorithm, challengePassword, extensions = [], others } = fields;
  const attributes = [
    ...(challengePassword === undefined ? [] : challengePasswordAttribute(challengePassword)),
    ...(extensions.length === 0 ? [] : extensionRequestAttribute(extensions, 2)),
    ...[...(others ?? [])].flatMap(([type, value]) => [oidItem(type), cbor.bytes(value)]),
  ];
  const toBeSigned = cbor.sequence(
    cbor.integer(2),
    encodeAlgorithm(signatureAlgorithms, signatureAlgorithm),
    encodeName(fields.subject, 2),
    ...encodePublicKey(fields.publicKey, 2, true),
    cbor.array(...attributes),
  );
  return new UnsignedC509(toBeSigned, requestHead, signatureForm(signatureAlgorithm));
}

function encodeAttributes(
  attributes: readonly RequestAttribute[],
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array {
  return cbor.array(
    ...attributes.flatMap((attribute) => encodeAttribute(attribute, type, decompress)),
  );
}

interface DerParts {
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** DER of Attribute each, in the order in which they came. */
  readonly attributes: readonly Uint8Array[];
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

function derRequest(parts: DerParts): Uint8Array {
  // Not sorted as DER sorts a SET OF: clients in the field do not, and their signature covers what they wrote.
  const attributes = der.element(0xa0, concat(...parts.attributes));
  const info = der.sequence(der.integer(0), parts.subject, parts.spki, attributes);
  return der.sequence(info, derAlgorithm(parts.signatureAlgorithm), der.bitString(parts.signature));
}

function comesBack(
  encoded: Uint8Array,
  pkcs10: Uint8Array,
  decompress: PointDecompressor,
): boolean {
  try {
    return equal(pkcs10FromC509(encoded, decompress), pkcs10);
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return false;
    throw error;
  }
}
