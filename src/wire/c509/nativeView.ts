/**
 * A natively signed certificate (type 2) as a sensor reads it: what the judgement of a path needs, and
 * nothing of it translated to X.509. ECDSA on P-256 alone. Names stay encoded: signed as CBOR, they have one
 * encoding, and equal names are equal bytes.
 */
import { equal } from '../bytes/bytes.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { asArray, latestS, readMagnitude, readType } from './items.ts';

/** Whose signatures count: an authority above, or one that the element was born with. */
export interface NativeIssuer {
  /** CBOR item of the name. */
  readonly subject: Uint8Array;
  /** 02‖x or 03‖x of P-256. */
  readonly publicKey: Uint8Array;
}

export interface NativeView extends NativeIssuer {
  /** CBOR item of the name. */
  readonly issuer: Uint8Array;
  /** `undefined`: without an end. */
  readonly notAfterS: number | undefined;
  /** What the signature covers. */
  readonly tbs: Uint8Array;
  /** r‖s. */
  readonly signature: Uint8Array;
  /** None twice. */
  readonly extensions: readonly NativeExtension[];
}

export interface NativeExtension {
  /** Of the registry (§8.8), or the content octets of an object identifier. */
  readonly id: number | Uint8Array;
  readonly critical: boolean;
  /** Of a registered one the CBOR item, else the DER. */
  readonly value: Uint8Array;
}

/** Numbers of the registry that a path is judged by (§8.8). */
export const nativeExtensionIds = { keyUsage: 2, basicConstraints: 4 } as const;

const maximumExtensions = 64;

/** Throws a `MalformedError`, or an `UnsupportedError` for another type or another kind of key. Views of the input. */
export function readNativeView(input: Uint8Array): NativeView {
  const encoded = asArray(input, 11);
  const reader = new CborReader(encoded);
  reader.array();
  const start = reader.offset;
  if (readType(reader) === 3) throw unsupported('type 3');
  readMagnitude(reader);
  expectNumber(reader, ecdsaWithSha256);
  const named = reader.takeNull() ? undefined : reader.item();
  reader.unsigned(latestS);
  const notAfterS = reader.takeNull() ? undefined : reader.unsigned(latestS);
  const { subject, publicKey } = readIssuer(reader);
  const extensions = readExtensions(reader);
  const tbs = reader.since(start);
  const signature = reader.bytes();
  reader.end();
  // §3.1.4: equal names are written once.
  if (named !== undefined && equal(named, subject)) reader.fail('the issuer is the subject', 0);
  const issuer = named ?? subject;
  return { issuer, subject, publicKey, notAfterS, extensions, tbs, signature };
}

/**
 * An anchor without its certificate: `[name, subjectPublicKeyAlgorithm, subjectPublicKey]`, which is all that
 * a path takes from an anchor (RFC 5280 §6.1.1). Throws as `readNativeView` does.
 */
export function readBareAnchor(input: Uint8Array): NativeIssuer {
  const reader = new CborReader(input);
  if (reader.array() !== 3) reader.fail('name, algorithm and key expected', 0);
  const anchor = readIssuer(reader);
  reader.end();
  return anchor;
}

export function findNative(
  extensions: readonly NativeExtension[],
  id: number | Uint8Array,
): NativeExtension | undefined {
  return extensions.find((extension) => sameId(extension.id, id));
}

/** The bits of a key usage: 2^0 digitalSignature, 2^4 keyAgreement, 2^5 keyCertSign (RFC 5280 §4.2.1.3). */
export function nativeKeyUsage(extensions: readonly NativeExtension[]): number | undefined {
  const extension = findNative(extensions, nativeExtensionIds.keyUsage);
  return extension && new CborReader(extension.value).unsigned(allKeyUsages);
}

/** §3.3: -2 is no CA, -1 a CA without a path length. `undefined` of no CA, `Infinity` without a length. */
export function nativePathLength(extensions: readonly NativeExtension[]): number | undefined {
  const extension = findNative(extensions, nativeExtensionIds.basicConstraints);
  if (extension === undefined) return undefined;
  const reader = new CborReader(extension.value);
  const length = reader.integer();
  if (length < -2) reader.fail('-2, -1 or a path length expected', 0);
  if (length < 0) return length === -1 ? Number.POSITIVE_INFINITY : undefined;
  return length;
}

/** §8.14, §8.15. */
const ecdsaWithSha256 = 0;
const ecPublicKeyP256 = 1;

const compressedPointBytes = 33;
/** As many bits as the reader of X.509 takes, and no more than arithmetic on bits has. */
const allKeyUsages = 2 ** 31 - 1;

/** The subject and its key, which stand beside each other. */
function readIssuer(reader: CborReader): NativeIssuer {
  const subject = reader.item();
  expectNumber(reader, ecPublicKeyP256);
  const start = reader.offset;
  const publicKey = reader.bytes();
  // x alone is a key of EDHOC: of two points with one x, no certificate may leave open which is meant.
  if (publicKey.length < compressedPointBytes) reader.fail('a point expected', start);
  return { subject, publicKey };
}

function readExtensions(reader: CborReader): readonly NativeExtension[] {
  if (reader.peek() !== 'array') return [readLoneKeyUsage(reader)];
  const start = reader.offset;
  const items = reader.array();
  if (items % 2 !== 0 || items > 2 * maximumExtensions) reader.fail('number of extensions', start);
  const extensions: NativeExtension[] = [];
  for (let count = items; count > 0; count -= 2) {
    const extension = readExtension(reader);
    if (findNative(extensions, extension.id) !== undefined) reader.fail('an extension twice');
    extensions.push(extension);
  }
  if (extensions.length === 1 && isLoneKeyUsage(extensions)) {
    reader.fail('key usage alone is an integer', start);
  }
  return extensions;
}

/** Without any bit a critical one is an array: zero has no sign. */
function isLoneKeyUsage(extensions: readonly NativeExtension[]): boolean {
  const bits = nativeKeyUsage(extensions);
  return bits !== undefined && (bits > 0 || extensions[0]?.critical !== true);
}

/** §3.1.10: key usage alone is nothing but its integer; criticality is the sign. */
function readLoneKeyUsage(reader: CborReader): NativeExtension {
  const bits = reader.integer();
  const value = cbor.integer(Math.abs(bits));
  return { id: nativeExtensionIds.keyUsage, critical: bits < 0, value };
}

function readExtension(reader: CborReader): NativeExtension {
  if (reader.peek() !== 'bytes') {
    const id = reader.integer();
    return { id: Math.abs(id), critical: id < 0, value: reader.item() };
  }
  const start = reader.offset;
  const id = reader.bytes();
  // §3.7: signed as CBOR, an extension with an encoding of its own has no other.
  if (generalForms.some((oid) => equal(oid, id)))
    reader.fail('an extension in general form', start);
  const critical = reader.peek() === 'array';
  if (critical && reader.array() !== 1) reader.fail('[value] expected');
  return { id, critical, value: reader.bytes() };
}

/** id-ce-keyUsage and id-ce-basicConstraints: overlooked, they would say nothing. */
const generalForms = [Uint8Array.of(0x55, 0x1d, 15), Uint8Array.of(0x55, 0x1d, 19)];

function sameId(one: number | Uint8Array, other: number | Uint8Array): boolean {
  return typeof one === 'number' || typeof other === 'number' ? one === other : equal(one, other);
}

function expectNumber(reader: CborReader, number: number): void {
  const [head, ...more] = reader.item();
  if (head !== number || more.length > 0) throw unsupported('no ECDSA with P-256');
}

function unsupported(what: string): UnsupportedError {
  return new UnsupportedError('c509', what);
}
