/** C509: what a native certificate costs beside its signature, and the way from DER to C509 and back. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../src/drivers/keys/software/points.ts';
import { c509FromX509, x509FromC509 } from '../src/wire/c509/convert.ts';
import {
  compileNativeTemplate,
  nativeDeviceName,
  nativeHardwareModuleName,
  nativeSubjectKeyIdentifier,
  type NativeTemplateFields,
  type UnsignedC509,
} from '../src/wire/c509/native.ts';
import { noExpirationMs } from '../src/wire/der/time.ts';
import {
  curveOids,
  encodeSignatureAlgorithm,
  keyTypeOids,
  signatureAlgorithmOids,
} from '../src/wire/x509/algorithms.ts';
import { encodeCertificate, encodeTbsCertificate } from '../src/wire/x509/certificateWriter.ts';
import {
  authorityKeyIdentifier,
  encodeExtension,
  keyUsage,
  subjectAltName,
  subjectKeyIdentifier,
} from '../src/wire/x509/extensions.ts';
import { hardwareModuleName } from '../src/wire/x509/generalNames.ts';
import { encodeDeviceName, encodeName, name as nameOf } from '../src/wire/x509/names.ts';
import * as der from '../src/wire/der/writer.ts';
import type { BenchResult, BenchRow } from './result.ts';

const certificates = 10_000;
const hwType = '1.3.6.1.4.1.55555.1';
const maker = 'Maker of Things';
/** Of a signature's cost: prepared from profile values, ready to be signed. */
const promisedShare = 0.1;

export function run(): BenchResult {
  const { privateKey, spki } = newKey();
  const point = spki.slice(-65);
  const rows: BenchRow[] = [];
  const build = nativeTemplate(point);
  const values = Array.from({ length: 256 }, (_, number) => valuesOf(number, point));
  const prepare = (round: number): UnsignedC509 => build(values[round % values.length] ?? never());
  const { toBeSigned } = prepare(0);
  const signature = new Uint8Array(sign('sha256', toBeSigned, privateKey));
  const [signing = 0, preparing = 0, finishing = 0] = interleaved(
    () => sign('sha256', toBeSigned, privateKey),
    prepare,
    (round) => prepare(round).finish(signature),
  );
  rows.push(
    { name: 'ECDSA P-256 signature', value: signing, unit: 'µs' },
    { name: 'type 2 prepared from profile values', value: preparing, unit: 'µs' },
    { name: 'type 2 prepared and finished', value: finishing, unit: 'µs' },
    ...conversions(privateKey, point),
  );
  const share = preparing / signing;
  const held = share <= promisedShare;
  return {
    rows,
    promises: [
      {
        name: 'type 2 from profile values / signature',
        target: promisedShare,
        measured: share,
        holds: held,
      },
    ],
  };
}

/** DER to C509, which includes decoding again and comparing, and C509 to DER. */
function conversions(privateKey: KeyObject, point: Uint8Array): BenchRow[] {
  const x509 = Array.from({ length: certificates }, (_, number) =>
    x509Certificate(number, privateKey, point),
  );
  const startedMs = performance.now();
  const c509 = x509.map((encoded) => c509FromX509(encoded, decompressPoint));
  const encodedMs = performance.now();
  const back = c509.map((encoded) => x509FromC509(encoded, decompressPoint));
  const endedMs = performance.now();
  const same = back.every((encoded, at) => Buffer.compare(encoded, x509[at] ?? never()) === 0);
  if (!same) throw new Error('a certificate did not come back');
  const bytes = (list: readonly Uint8Array[]): number =>
    list.reduce((sum, { length }) => sum + length, 0) / list.length;
  return [
    { name: `DER to C509, ${certificates}`, value: encodedMs - startedMs, unit: 'ms' },
    { name: `C509 to DER, ${certificates}`, value: endedMs - encodedMs, unit: 'ms' },
    { name: 'X.509, mean', value: bytes(x509), unit: 'bytes' },
    { name: 'C509, mean', value: bytes(c509), unit: 'bytes' },
  ];
}

function nativeTemplate(point: Uint8Array): (fields: NativeTemplateFields) => UnsignedC509 {
  return compileNativeTemplate({
    signatureAlgorithm: { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
    issuer: nameOf(['organizationName', maker], ['commonName', 'Factory']),
    publicKeyAlgorithm: {
      oid: keyTypeOids.ecPublicKey,
      parameters: der.oid(curveOids['P-256']),
    },
    extensions: [keyUsage('digitalSignature'), authorityKeyIdentifier(point.slice(1, 21))],
    furtherExtensions: 2,
  });
}

const subjectOf = nativeDeviceName(maker);
const moduleOf = nativeHardwareModuleName(hwType);

/** What differs from one certificate to the next, as an authority has it: encoded in every round. */
function valuesOf(number: number, publicKey: Uint8Array): NativeTemplateFields {
  const serialNumber = nodeCrypto.random(16);
  const uid = nodeCrypto.random(9);
  const deviceId = `x${String(number).padStart(15, '0')}`;
  const identifier = nodeCrypto.random(20);
  return {
    serialNumber,
    notBeforeMs: 1_800_000_000_000,
    notAfterMs: noExpirationMs,
    publicKey,
    get subject() {
      return subjectOf(deviceId);
    },
    get extensions() {
      return [nativeSubjectKeyIdentifier(identifier), moduleOf(uid)];
    },
  };
}

function x509Certificate(number: number, privateKey: KeyObject, point: Uint8Array): Uint8Array {
  const signatureAlgorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
  const spki = newPoint(number, point);
  const tbs = encodeTbsCertificate({
    serialNumber: nodeCrypto.random(16),
    signatureAlgorithm,
    issuer: encodeName(['organizationName', maker], ['commonName', 'Factory']),
    notBeforeMs: 1_800_000_000_000,
    notAfterMs: noExpirationMs,
    subject: encodeDeviceName(maker, String(number).padStart(16, 'x')),
    spki,
    extensions: [
      keyUsage('digitalSignature'),
      authorityKeyIdentifier(point.slice(1, 21)),
      subjectKeyIdentifier(nodeCrypto.random(20)),
      subjectAltName([hardwareModuleName({ hwType, hwSerialNum: nodeCrypto.random(9) })]),
    ].map(encodeExtension),
  });
  return encodeCertificate(tbs, signatureAlgorithm, sign('sha256', tbs, privateKey));
}

const keys: Uint8Array[] = [];

/** One of a hundred keys: making 10,000 would take longer than what is measured. */
function newPoint(number: number, point: Uint8Array): Uint8Array {
  if (keys.length < 100) keys.push(newKey().spki);
  return keys[number % keys.length] ?? point;
}

function newKey(): { privateKey: KeyObject; spki: Uint8Array } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  return { privateKey, spki };
}

/**
 * Microseconds of each, the best of many short turns taken by turns: other processes disturb them all
 * alike, and seldom every turn.
 */
function interleaved(...calls: ReadonlyArray<(round: number) => unknown>): number[] {
  const best = calls.map(() => Number.POSITIVE_INFINITY);
  for (let turn = 0; turn < 200; turn++) {
    for (const [at, call] of calls.entries()) {
      const startedMs = performance.now();
      for (let round = 0; round < 100; round++) call(round);
      const elapsedUs = ((performance.now() - startedMs) * 1000) / 100;
      best[at] = Math.min(best[at] ?? elapsedUs, elapsedUs);
    }
  }
  return best;
}

function never(): never {
  throw new Error('out of range');
}
