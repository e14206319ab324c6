/**
 * Certification requests, PKCS#10 (RFC 2986). Building one is a step in two halves, because the key that
 * signs it lives in an element: `prepareCertificationRequest` gives what is to be signed, `finish` takes
 * the signature.
 */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import {
  encodeSignatureAlgorithm,
  readAlgorithmIdentifier,
  type SignatureAlgorithmName,
} from './algorithms.ts';
import { readExtensions } from './certificate.ts';
import { encodeExtension } from './extensions.ts';
import type { AlgorithmIdentifier, Extension, Name, PublicKeyInfo } from './model.ts';
import { readName, valueText } from './names.ts';
import { readSpki } from './spki.ts';

/** Longest request that is read. */
export const maximumRequestBytes = 32_768;

const maximumAttributes = 16;
const maximumValues = 16;

/** RFC 2985 §5.4. */
export const requestAttributeOids = {
  challengePassword: '1.2.840.113549.1.9.7',
  extensionRequest: '1.2.840.113549.1.9.14',
} as const;

export interface RequestAttribute {
  /** Dotted. */
  readonly type: string;
  /** DER of each value. */
  readonly values: readonly Uint8Array[];
}

export interface CertificationRequest {
  readonly der: Uint8Array;
  /** The signed part, CertificationRequestInfo. */
  readonly info: Uint8Array;
  readonly subject: Name;
  readonly publicKey: PublicKeyInfo;
  /** No type occurs twice. */
  readonly attributes: readonly RequestAttribute[];
  /** RFC 2985 §5.4.1; in EST the place of the channel binding (RFC 7030 §3.5). */
  readonly challengePassword?: string;
  /** Of the attribute extensionRequest; empty without it. */
  readonly requestedExtensions: readonly Extension[];
  readonly signatureAlgorithm: AlgorithmIdentifier;
  /** Not verified by reading: it proves possession of the key only after a verifier said so. */
  readonly signature: Uint8Array;
}

/** Throws a `MalformedError` with the offset of the first fault. The result holds views of `encoding`. */
export function parseCertificationRequest(encoding: Uint8Array): CertificationRequest {
  const parts = readDer(
    encoding,
    (reader) =>
      reader.sequence((request) => {
        const info = request.recorded(readInfo);
        return {
          ...info.value,
          info: info.der,
          signatureAlgorithm: readAlgorithmIdentifier(request),
          signature: request.bitStringOctets(),
        };
      }),
    { maximumBytes: maximumRequestBytes },
  );
  return { der: encoding, ...parts };
}

export interface RequestFields {
  /** DER of Name; an authority of ours takes no names from it. */
  readonly subject: Uint8Array;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly challengePassword?: string;
  readonly extensions?: readonly Extension[];
  /** DER of attributes that this module knows nothing of: one value each, by dotted type. */
  readonly others?: ReadonlyMap<string, Uint8Array>;
}

export interface PreparedRequest {
  readonly toBeSigned: Uint8Array;
  /** DER of the request. ECDSA signatures are ECDSA-Sig-Value. */
  finish(algorithm: SignatureAlgorithmName, signature: Uint8Array): Uint8Array;
}

export function prepareCertificationRequest(fields: RequestFields): PreparedRequest {
  const { challengePassword, extensions = [] } = fields;
  const attributes: Uint8Array[] = [];
  if (challengePassword !== undefined) {
    // RFC 2985 §5.4.1: DirectoryString; PrintableString where the text allows it.
    const text = der.isPrintable(challengePassword)
      ? der.printableString(challengePassword)
      : der.utf8String(challengePassword);
    attributes.push(encodeAttribute(requestAttributeOids.challengePassword, text));
  }
  if (extensions.length > 0) {
    const list = der.sequence(...extensions.map(encodeExtension));
    attributes.push(encodeAttribute(requestAttributeOids.extensionRequest, list));
  }
  for (const [type, value] of fields.others ?? []) attributes.push(encodeAttribute(type, value));
  const toBeSigned = der.sequence(
    der.integer(0),
    fields.subject,
    fields.spki,
    der.implicit(0, der.setOf(...attributes)),
  );
  return {
    toBeSigned,
    finish: (algorithm, signature) =>
      der.sequence(toBeSigned, encodeSignatureAlgorithm(algorithm), der.bitString(signature)),
  };
}

function encodeAttribute(type: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(type), der.setOf(value));
}

type AttributeValues = Pick<
  CertificationRequest,
  'attributes' | 'challengePassword' | 'requestedExtensions'
>;

type InfoValues = AttributeValues & Pick<CertificationRequest, 'subject' | 'publicKey'>;

function readInfo(reader: DerReader): InfoValues {
  return reader.sequence((info) => {
    info.unsigned(0);
    const subject = readName(info);
    const publicKey = readSpki(info);
    // RFC 2986 §4.1 has the attributes always there, if empty; some encoders leave them away.
    const values = info.optional(contextConstructed(0), readAttributes);
    return { subject, publicKey, ...(values ?? { attributes: [], requestedExtensions: [] }) };
  });
}

function readAttributes(reader: DerReader): AttributeValues {
  const attributes: RequestAttribute[] = [];
  let known: KnownValues = {};
  // Not `setOf`: field clients write attributes unsorted, and the signature covers the bytes as they are.
  reader.sequenceOf((content) => {
    const start = content.offset;
    const { attribute, value } = content.sequence(readAttribute);
    if (attributes.some(({ type }) => type === attribute.type)) {
      content.fail(`attribute ${attribute.type} occurs twice`, start);
    }
    attributes.push(attribute);
    if (attributes.length > maximumAttributes) content.fail('too many attributes', start);
    known = { ...known, ...value };
  }, contextConstructed(0));
  return { requestedExtensions: [], ...known, attributes };
}

type KnownValues = Partial<Pick<AttributeValues, 'challengePassword' | 'requestedExtensions'>>;

function readAttribute(reader: DerReader): { attribute: RequestAttribute; value: KnownValues } {
  const type = reader.oid();
  const start = reader.offset;
  const values = reader.setOf((item) => item.recorded((content) => readValue(type, content)));
  // RFC 2985 §5.4: both known types are SINGLE VALUE.
  const most = isKnownType(type) ? 1 : maximumValues;
  if (values.length === 0 || values.length > most) reader.fail('wrong number of values', start);
  return {
    attribute: { type, values: values.map(({ der }) => der) },
    value: values[0]?.value ?? {},
  };
}

function isKnownType(type: string): boolean {
  return Object.values<string>(requestAttributeOids).includes(type);
}

function readValue(type: string, reader: DerReader): KnownValues {
  switch (type) {
    case requestAttributeOids.challengePassword: {
      const start = reader.offset;
      const { tag, content } = reader.any();
      const challengePassword = valueText({ type, tag, value: content });
      return { challengePassword: challengePassword ?? reader.fail('not a text', start) };
    }
    case requestAttributeOids.extensionRequest:
      return { requestedExtensions: readExtensions(reader) };
    default:
      reader.any();
      return {};
  }
}
