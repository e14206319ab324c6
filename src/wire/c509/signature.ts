/** Signature values (§3.2.2, §4.2): ECDSA as r‖s of fixed length, MACs of proofs of possession, others as they are. */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { derSignature } from '../der/ecdsa.ts';
import { readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier } from '../x509/model.ts';
import { readName as readX509Name } from '../x509/names.ts';
import { findAlgorithm, type SignatureAlgorithm, signatureAlgorithms } from './algorithms.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { readMagnitude } from './items.ts';
import { magnitude } from './publicKey.ts';

/**
 * Bytes of r and of s by curve. The curve is that of the signer's key, which stands nowhere in the
 * certificate: the shortest that both fit is right but for one signature in 2^128.
 */
const scalarBytes = [32, 48, 64, 66] as const;

export type SignatureForm = SignatureAlgorithm['form'];

/** How the signatures of an algorithm are written; as they are when it is not registered. */
export function signatureForm(algorithm: AlgorithmIdentifier): SignatureForm {
  return findAlgorithm(signatureAlgorithms, algorithm)?.form ?? 'bytes';
}

/** CBOR item of the content of the BIT STRING. Throws an `UnsupportedError` for what would not come back. */
export function encodeSignature(
  form: SignatureForm,
  signature: Uint8Array,
  type: C509Type,
): Uint8Array {
  try {
    if (form === 'ecdsa') return cbor.bytes(fixedWidth(signature));
    return form === 'possession' ? encodePossession(signature, type) : cbor.bytes(signature);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    throw new UnsupportedError('c509', 'a signature that is not of the form of its algorithm');
  }
}

/** Content of the BIT STRING. */
export function readSignature(
  reader: CborReader,
  algorithm: AlgorithmIdentifier,
  type: C509Type,
): Uint8Array {
  const form = signatureForm(algorithm);
  if (form === 'possession') return readPossession(reader, type);
  const start = reader.offset;
  const value = reader.bytes();
  if (form !== 'ecdsa') return value;
  if (value.length % 2 !== 0) reader.fail('r and s are not of equal length', start);
  return derSignature(value);
}

/** r‖s of ECDSA-Sig-Value. */
function fixedWidth(signature: Uint8Array): Uint8Array {
  const [r, s] = readDer(signature, (reader) =>
    reader.sequence((values) => [magnitude(values), magnitude(values)] as const),
  );
  const width = scalarBytes.find((bytes) => bytes >= r.length && bytes >= s.length);
  if (width === undefined) throw new UnsupportedError('c509', 'an ECDSA signature of that length');
  const fixed = new Uint8Array(2 * width);
  fixed.set(r, width - r.length);
  fixed.set(s, 2 * width - s.length);
  return fixed;
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
