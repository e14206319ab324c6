/** Signature values (§3.2.2, §4.2): ECDSA as r‖s of fixed length, MACs of proofs of possession, others as they are. */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { derSignature, fixedSignature } from '../der/ecdsa.ts';
import { readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier } from '../x509/model.ts';
import { readName as readX509Name } from '../x509/names.ts';
import { findAlgorithm, signatureAlgorithms } from './algorithms.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { magnitude, readMagnitude } from './publicKey.ts';

/**
 * Bytes of r and of s by curve. The curve is that of the signer's key, which stands nowhere in the
 * certificate: the shortest that both fit is right but for one signature in 2^128.
 */
const scalarBytes = [32, 48, 64, 66] as const;

/** CBOR item of the content of the BIT STRING. Throws an `UnsupportedError` for what would not come back. */
export function encodeSignature(
  algorithm: AlgorithmIdentifier,
  signature: Uint8Array,
  type: C509Type,
): Uint8Array {
  const form = findAlgorithm(signatureAlgorithms, algorithm)?.form;
  try {
    if (form === 'ecdsa') return cbor.bytes(fixedSignature(signature, scalarWidth(signature)));
    if (form === 'possession') return encodePossession(signature, type);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UnsupportedError('c509', 'a signature that is not of the form of its algorithm');
  }
  return cbor.bytes(signature);
}

/** Content of the BIT STRING. */
export function readSignature(
  reader: CborReader,
  algorithm: AlgorithmIdentifier,
  type: C509Type,
): Uint8Array {
  const form = findAlgorithm(signatureAlgorithms, algorithm)?.form;
  if (form === 'possession') return readPossession(reader, type);
  const start = reader.offset;
  const value = reader.bytes();
  if (form !== 'ecdsa') return value;
  if (value.length % 2 !== 0) reader.fail('r and s are not of equal length', start);
  return derSignature(value);
}

function scalarWidth(signature: Uint8Array): number {
  const longest = readDer(signature, (reader) =>
    reader.sequence((values) => Math.max(magnitude(values).length, magnitude(values).length)),
  );
  const width = scalarBytes.find((bytes) => bytes >= longest);
  if (width === undefined) throw new UnsupportedError('c509', 'an ECDSA signature of that length');
  return width;
}

/** DhSigStatic (RFC 6955 §4): the MAC, and optionally whose key the verifier used. */
function encodePossession(signature: Uint8Array, type: C509Type): Uint8Array {
  return readDer(signature, (reader) =>
    reader.sequence((content) => {
      const verifier = content.optional(0x30, (field) =>
        field.sequence((issuerAndSerial) => [
          encodeName(readX509Name(issuerAndSerial), type),
          cbor.bytes(magnitude(issuerAndSerial)),
        ]),
      );
      const mac = cbor.bytes(content.octetString());
      return verifier === undefined ? mac : cbor.array(...verifier, mac);
    }),
  );
}

function readPossession(reader: CborReader, type: C509Type): Uint8Array {
  if (reader.peek() === 'bytes') return der.sequence(der.octetString(reader.bytes()));
  const start = reader.offset;
  if (reader.array() !== 3) reader.fail('issuer, serial number and MAC expected', start);
  const issuer = readName(reader, type);
  const serialNumber = der.unsignedInteger(readMagnitude(reader));
  return der.sequence(der.sequence(issuer, serialNumber), der.octetString(reader.bytes()));
}
