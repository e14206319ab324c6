/** Algorithm identifiers of C509: an integer where one is registered, else the object identifier (§3.1.3, §8.14, §8.15). */
import { equal } from '../bytes/bytes.ts';
import { fromHex } from '../bytes/hex.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier } from '../x509/model.ts';
import { oidItem, readOid } from './oids.ts';

/** Short Weierstrass curves whose points this module knows how to shorten. */
export type WeierstrassCurve = 'P-256' | 'P-384' | 'P-521';

interface RegisteredAlgorithm {
  readonly value: number;
  readonly oid: string;
  /** DER; absent where the identifier has no parameters. */
  readonly parameters?: Uint8Array;
}

export interface SignatureAlgorithm extends RegisteredAlgorithm {
  /**
   * `ecdsa`: r‖s (§3.2.2). `bytes`: as in X.509. `possession`: not a signature but a MAC, DhSigStatic
   * (§4.2), in certification requests only.
   */
  readonly form: 'ecdsa' | 'bytes' | 'possession';
}

export interface PublicKeyAlgorithm extends RegisteredAlgorithm {
  /** `rsa`: modulus and exponent (§3.2.1). `point`: an elliptic curve point. `bytes`: as in X.509. */
  readonly form: 'rsa' | 'point' | 'bytes';
  readonly curve?: WeierstrassCurve;
}

const derNull = der.nullElement;
const pss = (hash: string, saltLength: string): Uint8Array =>
  fromHex(
    `3034a00f300d0609608648016503040${hash}0500a11c301a06092a864886f70d010108` +
      `300d0609608648016503040${hash}0500a2030201${saltLength}`,
  );

/** §8.14. */
export const signatureAlgorithms: readonly SignatureAlgorithm[] = [
  { value: -256, oid: '1.2.840.113549.1.1.5', parameters: derNull, form: 'bytes' },
  { value: -255, oid: '1.2.840.10045.4.1', form: 'ecdsa' },
  { value: 0, oid: '1.2.840.10045.4.3.2', form: 'ecdsa' },
  { value: 1, oid: '1.2.840.10045.4.3.3', form: 'ecdsa' },
  { value: 2, oid: '1.2.840.10045.4.3.4', form: 'ecdsa' },
  { value: 3, oid: '1.3.6.1.5.5.7.6.32', form: 'ecdsa' },
  { value: 4, oid: '1.3.6.1.5.5.7.6.33', form: 'ecdsa' },
  { value: 5, oid: '1.3.6.1.5.5.7.6.36', form: 'bytes' },
  { value: 8, oid: '1.2.156.10197.1.501', form: 'ecdsa' },
  { value: 12, oid: '1.3.101.112', form: 'bytes' },
  { value: 13, oid: '1.3.101.113', form: 'bytes' },
  { value: 14, oid: '1.3.6.1.5.5.7.6.26', form: 'possession' },
  { value: 15, oid: '1.3.6.1.5.5.7.6.27', form: 'possession' },
  { value: 16, oid: '1.3.6.1.5.5.7.6.28', form: 'possession' },
  { value: 23, oid: '1.2.840.113549.1.1.11', parameters: derNull, form: 'bytes' },
  { value: 24, oid: '1.2.840.113549.1.1.12', parameters: derNull, form: 'bytes' },
  { value: 25, oid: '1.2.840.113549.1.1.13', parameters: derNull, form: 'bytes' },
  { value: 26, oid: '1.2.840.113549.1.1.10', parameters: pss('201', '20'), form: 'bytes' },
  { value: 27, oid: '1.2.840.113549.1.1.10', parameters: pss('202', '30'), form: 'bytes' },
  { value: 28, oid: '1.2.840.113549.1.1.10', parameters: pss('203', '40'), form: 'bytes' },
  { value: 29, oid: '1.3.6.1.5.5.7.6.30', form: 'bytes' },
  { value: 30, oid: '1.3.6.1.5.5.7.6.31', form: 'bytes' },
];

const ecPublicKey = '1.2.840.10045.2.1';

function weierstrass(
  value: number,
  curveOid: string,
  curve?: WeierstrassCurve,
): PublicKeyAlgorithm {
  const parameters = der.oid(curveOid);
  const known = curve === undefined ? {} : { curve };
  return { value, oid: ecPublicKey, parameters, form: 'point', ...known };
}

/** §8.15. */
export const publicKeyAlgorithms: readonly PublicKeyAlgorithm[] = [
  { value: 0, oid: '1.2.840.113549.1.1.1', parameters: derNull, form: 'rsa' },
  weierstrass(1, '1.2.840.10045.3.1.7', 'P-256'),
  weierstrass(2, '1.3.132.0.34', 'P-384'),
  weierstrass(3, '1.3.132.0.35', 'P-521'),
  weierstrass(6, '1.2.156.10197.1.301'), // sm2p256v1
  { value: 8, oid: '1.3.101.110', form: 'bytes' },
  { value: 9, oid: '1.3.101.111', form: 'bytes' },
  { value: 12, oid: '1.3.101.112', form: 'bytes' },
  { value: 13, oid: '1.3.101.113', form: 'bytes' },
  weierstrass(24, '1.3.36.3.3.2.8.1.1.7'), // brainpoolP256r1
  weierstrass(25, '1.3.36.3.3.2.8.1.1.11'), // brainpoolP384r1
  weierstrass(26, '1.3.36.3.3.2.8.1.1.13'), // brainpoolP512r1
  weierstrass(27, '1.2.250.1.223.101.256.1'), // FRP256v1
];

export function findAlgorithm<Algorithm extends RegisteredAlgorithm>(
  registry: readonly Algorithm[],
  { oid, parameters }: AlgorithmIdentifier,
): Algorithm | undefined {
  return registry.find(
    (entry) =>
      entry.oid === oid &&
      (entry.parameters === undefined || parameters === undefined
        ? entry.parameters === parameters
        : equal(entry.parameters, parameters)),
  );
}

/** CBOR item: an integer, `~oid`, or `[~oid, parameters]`. */
export function encodeAlgorithm(
  registry: readonly RegisteredAlgorithm[],
  algorithm: AlgorithmIdentifier,
): Uint8Array {
  const known = findAlgorithm(registry, algorithm);
  if (known !== undefined) return cbor.integer(known.value);
  const oid = oidItem(algorithm.oid);
  const { parameters } = algorithm;
  return parameters === undefined ? oid : cbor.array(oid, cbor.bytes(parameters));
}

/** Throws a `MalformedError` for an integer that is not registered. */
export function readAlgorithm(
  reader: CborReader,
  registry: readonly RegisteredAlgorithm[],
): AlgorithmIdentifier {
  const start = reader.offset;
  const major = reader.peek();
  if (major === 'bytes') return { oid: readOid(reader) };
  if (major === 'array') {
    // A list of the identifier alone stood in older drafts; it is not a second form of `~oid`.
    if (reader.array() !== 2) reader.fail('an algorithm is [oid, parameters]', start);
    return { oid: readOid(reader), parameters: reader.bytes() };
  }
  const value = reader.integer();
  const known = registry.find((entry) => entry.value === value);
  if (known === undefined) return reader.fail(`algorithm ${value} is not registered`, start);
  const { oid, parameters } = known;
  return parameters === undefined ? { oid } : { oid, parameters };
}

/** DER of AlgorithmIdentifier. */
export function derAlgorithm({ oid, parameters }: AlgorithmIdentifier): Uint8Array {
  return parameters === undefined
    ? der.sequence(der.oid(oid))
    : der.sequence(der.oid(oid), parameters);
}
