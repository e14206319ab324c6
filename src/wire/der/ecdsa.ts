/**
 * ECDSA signatures in their two forms: ECDSA-Sig-Value (RFC 3279 §2.2.3), which X.509 and OpenSSL use,
 * and r‖s of fixed length, which COSE and JOSE use.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { type DerReader, readDer } from './reader.ts';
import { sequence, unsignedInteger } from './writer.ts';

/** r‖s, each `coordinateBytes` long (32 for P-256). Whether the values are below the group's order is the verifier's matter. */
export function fixedSignature(der: Uint8Array, coordinateBytes: number): Uint8Array {
  const fixed = new Uint8Array(2 * coordinateBytes);
  readDer(der, (reader) =>
    reader.sequence((values) => {
      readScalar(values, fixed.subarray(0, coordinateBytes));
      readScalar(values, fixed.subarray(coordinateBytes));
    }),
  );
  return fixed;
}

/** ECDSA-Sig-Value of r‖s. A value that is zero is no signature. */
export function derSignature(fixed: Uint8Array): Uint8Array {
  const coordinateBytes = fixed.length / 2;
  if (!Number.isInteger(coordinateBytes) || coordinateBytes === 0) {
    throw new MalformedError('ecdsa', 0, 'r and s are not of equal length');
  }
  const r = fixed.subarray(0, coordinateBytes);
  const s = fixed.subarray(coordinateBytes);
  if (isZero(r) || isZero(s)) throw new MalformedError('ecdsa', 0, 'r or s is zero');
  return sequence(unsignedInteger(r), unsignedInteger(s));
}

function readScalar(reader: DerReader, target: Uint8Array): void {
  const start = reader.offset;
  const content = reader.integer();
  const magnitude = content[0] === 0 ? content.subarray(1) : content;
  if ((content[0] ?? 0) >= 0x80 || magnitude.length === 0) {
    reader.fail('r or s is not positive', start);
  }
  if (magnitude.length > target.length) reader.fail('r or s is too long', start);
  target.set(magnitude, target.length - magnitude.length);
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
