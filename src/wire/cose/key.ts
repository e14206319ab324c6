/** Public COSE_Key of types EC2 and OKP (RFC 9053 §7.1, §7.2). A private key in one is refused. */
import { concat } from '../bytes/bytes.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto, Curve, PublicKey } from '../crypto/crypto.ts';
import { readLabelled } from './headers.ts';

export type EcCurve = 'P-256' | 'P-384' | 'P-521';
export type OkpCurve = 'X25519' | 'X448' | 'Ed25519' | 'Ed448';

interface CommonKeyFields {
  readonly kid?: Uint8Array;
  /** Number of the COSE Algorithms registry. */
  readonly algorithm?: number;
  /** `keyOperations` below; absent means unrestricted. */
  readonly operations?: readonly number[];
}

export interface Ec2Key extends CommonKeyFields {
  readonly type: 'EC2';
  readonly curve: EcCurve;
  readonly x: Uint8Array;
  /** The coordinate, or its sign bit (compressed), or absent (EDHOC's compact form, RFC 9528 §3.7). */
  readonly y?: Uint8Array | boolean;
}

export interface OkpKey extends CommonKeyFields {
  readonly type: 'OKP';
  readonly curve: OkpCurve;
  readonly x: Uint8Array;
}

export type CoseKey = Ec2Key | OkpKey;

/** COSE key operation values (RFC 9052 §7.1). */
export const keyOperations = { sign: 1, verify: 2, deriveKey: 7, deriveBits: 8 } as const;

export function encodeKey(key: CoseKey): Uint8Array {
  if (!fit(key.curve, key.x, key.type === 'EC2' ? key.y : undefined)) {
    throw new TypeError(`coordinates of ${key.curve} have ${coordinateBytes[key.curve]} bytes`);
  }
  const entries: Array<readonly [Uint8Array, Uint8Array]> = [
    [cbor.integer(labels.type), cbor.integer(key.type === 'EC2' ? typeEc2 : typeOkp)],
    [cbor.integer(labels.curve), cbor.integer(curves.indexOf(key.curve) + 1)],
    [cbor.integer(labels.x), cbor.bytes(key.x)],
  ];
  if (key.kid !== undefined) entries.push([cbor.integer(labels.kid), cbor.bytes(key.kid)]);
  if (key.algorithm !== undefined) {
    entries.push([cbor.integer(labels.algorithm), cbor.integer(key.algorithm)]);
  }
  if (key.operations !== undefined) {
    const operations = cbor.array(...key.operations.map(cbor.integer));
    entries.push([cbor.integer(labels.operations), operations]);
  }
  if (key.type === 'EC2' && key.y !== undefined) {
    const y = typeof key.y === 'boolean' ? cbor.boolean(key.y) : cbor.bytes(key.y);
    entries.push([cbor.integer(labels.y), y]);
  }
  return cbor.map(...entries);
}

export function parseKey(bytes: Uint8Array): CoseKey {
  const reader = new CborReader(bytes);
  const key = readKey(reader);
  reader.end();
  return key;
}

/**
 * Reads one COSE_Key from where the reader stands. Key types and curves that are not ours are an
 * `UnsupportedError`. Whether the point is on its curve is checked by `importKey`.
 */
export function readKey(reader: CborReader): CoseKey {
  const start = reader.offset;
  const found: Found = {};
  readLabelled(reader, (label) => readParameter(reader, label, found));
  const { type, curve, x, y } = found;
  if (type === undefined) reader.fail('kty is missing', start);
  if (type !== typeEc2 && type !== typeOkp) throw new UnsupportedError('cose', `key type ${type}`);
  if (curve === undefined || x === undefined) reader.fail('crv or x is missing', start);
  const name = curves[curve - 1];
  if (name === undefined) throw new UnsupportedError('cose', `curve ${curve}`);
  const common: CommonKeyFields = found.common ?? {};
  if (!fit(name, x, y)) {
    reader.fail(`coordinates of ${name} have ${coordinateBytes[name]} bytes`, start);
  }
  if (isEcCurve(name)) {
    if (type !== typeEc2) reader.fail(`${name} is no curve of OKP`, start);
    return { type: 'EC2', curve: name, x, ...(y === undefined ? {} : { y }), ...common };
  }
  if (type !== typeOkp) reader.fail(`${name} is no curve of EC2`, start);
  if (y !== undefined) reader.fail('OKP keys have no y', start);
  return { type: 'OKP', curve: name, x, ...common };
}

/** The form that `Crypto.importPublicKey` takes: a point with y, compressed, or x alone. */
export function publicKeyBytes(key: CoseKey): Uint8Array {
  if (key.type === 'OKP' || key.y === undefined) return key.x;
  if (typeof key.y === 'boolean') return concat(Uint8Array.of(key.y ? 3 : 2), key.x);
  return concat(Uint8Array.of(4), key.x, key.y);
}

/** `undefined` when the point is not on its curve; the y that was given is checked too. */
export function importKey(crypto: Crypto, key: CoseKey): PublicKey | undefined {
  return crypto.importPublicKey(key.curve, publicKeyBytes(key));
}

/** COSE_Key of an uncompressed point, 04‖x‖y. Throws a `TypeError` on another form. */
export function ec2KeyOfPoint(curve: EcCurve, point: Uint8Array, kid?: Uint8Array): Ec2Key {
  const width = coordinateBytes[curve];
  if (point.length !== 1 + 2 * width || point[0] !== 4) {
    throw new TypeError(`points of ${curve} have ${1 + 2 * width} bytes`);
  }
  const x = point.slice(1, 1 + width);
  const y = point.slice(1 + width);
  return { type: 'EC2', curve, x, y, ...(kid === undefined ? {} : { kid }) };
}

const labels = { type: 1, kid: 2, algorithm: 3, operations: 4, curve: -1, x: -2, y: -3, d: -4 };
const typeOkp = 1;
const typeEc2 = 2;

/** COSE Elliptic Curves registry: the numbers are 1, 2, 3, … */
const curves: readonly Curve[] = ['P-256', 'P-384', 'P-521', 'X25519', 'X448', 'Ed25519', 'Ed448'];
const coordinateBytes: Readonly<Record<Curve, number>> = {
  'P-256': 32,
  'P-384': 48,
  'P-521': 66,
  X25519: 32,
  X448: 56,
  Ed25519: 32,
  Ed448: 57,
};

interface Found {
  type?: number;
  curve?: number;
  x?: Uint8Array;
  y?: Uint8Array | boolean;
  common?: CommonKeyFields;
}

function readParameter(reader: CborReader, label: number | string, found: Found): void {
  switch (label) {
    case labels.type:
      found.type = readNumber(reader, 'key type');
      return;
    case labels.kid:
      found.common = { ...found.common, kid: reader.bytes() };
      return;
    case labels.algorithm:
      found.common = { ...found.common, algorithm: readNumber(reader, 'algorithm') };
      return;
    case labels.operations:
      found.common = { ...found.common, operations: readOperations(reader) };
      return;
    // The meaning of negative labels depends on the type, which need not stand in front: a symmetric key
    // holds its bytes at the label of the curve.
    case labels.curve:
      if (reader.peek() === 'bytes') reader.skip();
      else found.curve = readNumber(reader, 'curve');
      return;
    case labels.x:
      found.x = reader.bytes();
      return;
    case labels.y:
      found.y = reader.peek() === 'bytes' ? reader.bytes() : reader.boolean();
      return;
    case labels.d:
      // Nobody sends us a private key for an honest reason; it must not travel further.
      return reader.fail('private key inside');
    default:
      // RFC 9052 §7: other parameters belong to applications.
      reader.skip();
  }
}

function readNumber(reader: CborReader, what: string): number {
  if (reader.peek() === 'text') throw new UnsupportedError('cose', `${what} by name`);
  return reader.integer();
}

function readOperations(reader: CborReader): readonly number[] {
  const start = reader.offset;
  const count = reader.array();
  if (count === 0) reader.fail('key_ops is empty', start);
  return Array.from({ length: count }, () => readNumber(reader, 'key operation'));
}

function isEcCurve(curve: Curve): curve is EcCurve {
  return curve.startsWith('P');
}

function fit(curve: Curve, x: Uint8Array, y?: Uint8Array | boolean): boolean {
  const width = coordinateBytes[curve];
  return x.length === width && (!(y instanceof Uint8Array) || y.length === width);
}
