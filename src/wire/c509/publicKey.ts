/** Public keys (§3.1.7, §3.2.1): algorithm and key as two items, points compressed, RSA without its DER. */
import { concat } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier, PublicKeyInfo } from '../x509/model.ts';
import {
  derAlgorithm,
  encodeAlgorithm,
  findAlgorithm,
  type PublicKeyAlgorithm,
  publicKeyAlgorithms,
  readAlgorithm,
  type WeierstrassCurve,
} from './algorithms.ts';
import { readMagnitude } from './items.ts';
import type { C509Type } from './names.ts';

/**
 * The uncompressed point (04‖x‖y) of a compressed one (02‖x or 03‖x); `undefined` when x belongs to no
 * point of the curve. Computing with curves is left to whoever provides the primitives.
 */
export type PointDecompressor = (
  curve: WeierstrassCurve,
  compressed: Uint8Array,
) => Uint8Array | undefined;

const coordinateBytes: Readonly<Record<WeierstrassCurve, number>> = {
  'P-256': 32,
  'P-384': 48,
  'P-521': 66,
};

/**
 * First octets of a point that was uncompressed in X.509 and is not here: the re-encoding has to bring
 * the long form back.
 */
const wasUncompressed = { even: 0xfe, odd: 0xfd } as const;

/** The items subjectPublicKeyAlgorithm and subjectPublicKey. */
export function encodePublicKey(
  publicKey: PublicKeyInfo,
  type: C509Type,
  compress: boolean,
): [algorithm: Uint8Array, key: Uint8Array] {
  const { algorithm, key } = publicKey;
  const known = findAlgorithm(publicKeyAlgorithms, algorithm);
  return [
    encodeAlgorithm(publicKeyAlgorithms, algorithm),
    known?.form === 'rsa'
      ? encodeRsaKey(key)
      : cbor.bytes(compress ? short(key, type, known) : key),
  ];
}

/** DER of SubjectPublicKeyInfo. */
export function readPublicKey(
  reader: CborReader,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array {
  const algorithm = readAlgorithm(reader, publicKeyAlgorithms);
  const known = findAlgorithm(publicKeyAlgorithms, algorithm);
  if (known?.form === 'rsa') return spki(algorithm, readRsaKey(reader));
  const start = reader.offset;
  const key = reader.bytes();
  if (known?.curve === undefined) return spki(algorithm, key);
  const compressed = compressedPoint(key, type);
  if (compressed === undefined) return spki(algorithm, key);
  const point = decompress(known.curve, compressed);
  return spki(algorithm, point ?? reader.fail('not a point of the curve', start));
}

/** A point of P-256, P-384 or P-521 in 1 + n bytes; other keys as they are. */
export function short(
  key: Uint8Array,
  type: C509Type,
  algorithm: PublicKeyAlgorithm | undefined,
): Uint8Array {
  const width = algorithm?.curve === undefined ? 0 : coordinateBytes[algorithm.curve];
  if (width === 0 || key.length !== 1 + 2 * width || key[0] !== 4) return key;
  const odd = ((key[2 * width] ?? 0) & 1) === 1;
  const compressed = key.slice(0, 1 + width);
  if (type === 2) compressed[0] = odd ? 3 : 2;
  else compressed[0] = odd ? wasUncompressed.odd : wasUncompressed.even;
  return compressed;
}

/** 02‖x or 03‖x where the key is to be given back uncompressed. */
function compressedPoint(key: Uint8Array, type: C509Type): Uint8Array | undefined {
  const [first] = key;
  // Signed as CBOR, nothing has to come back as it was: readers of keys get one form of each.
  if (type === 2) return first === 2 || first === 3 ? key : undefined;
  if (first !== wasUncompressed.even && first !== wasUncompressed.odd) return undefined;
  return concat(Uint8Array.of(first === wasUncompressed.odd ? 3 : 2), key.subarray(1));
}

const usualExponent = Uint8Array.of(1, 0, 1);

function encodeRsaKey(key: Uint8Array): Uint8Array {
  let modulus: Uint8Array;
  let exponent: Uint8Array;
  try {
    [modulus, exponent] = readDer(key, (reader) =>
      reader.sequence((content) => [magnitude(content), magnitude(content)] as const),
    );
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UnsupportedError('c509', 'an RSA key that is not RSAPublicKey');
  }
  const usual = exponent.length === 3 && exponent.every((octet, at) => octet === usualExponent[at]);
  return usual ? cbor.bytes(modulus) : cbor.array(cbor.bytes(modulus), cbor.bytes(exponent));
}

function readRsaKey(reader: CborReader): Uint8Array {
  const start = reader.offset;
  if (reader.peek() !== 'array') return rsaKey(readMagnitude(reader), usualExponent);
  if (reader.array() !== 2) reader.fail('modulus and exponent expected', start);
  return rsaKey(readMagnitude(reader), readMagnitude(reader));
}

function rsaKey(modulus: Uint8Array, exponent: Uint8Array): Uint8Array {
  return der.sequence(der.unsignedInteger(modulus), der.unsignedInteger(exponent));
}

/** A positive INTEGER without the octet that keeps it positive. */
export function magnitude(reader: DerReader): Uint8Array {
  const start = reader.offset;
  const content = reader.integer();
  if ((content[0] ?? 0) >= 0x80) reader.fail('negative INTEGER', start);
  return content[0] === 0 ? content.subarray(1) : content;
}

function spki(algorithm: AlgorithmIdentifier, key: Uint8Array): Uint8Array {
  return der.sequence(derAlgorithm(algorithm), der.bitString(key));
}
