import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import {
  type SignatureAlgorithmName,
  signatureAlgorithmOids,
} from '../../../src/wire/x509/algorithms.ts';
import { testKey } from '../../support/pki.ts';

const data = new TextEncoder().encode('to be signed');
const everyAlgorithm = [
  'ecdsa-with-SHA256',
  'ecdsa-with-SHA384',
  'ecdsa-with-SHA512',
  'Ed25519',
  'ML-DSA-44',
  'ML-DSA-65',
  'ML-DSA-87',
  'SLH-DSA-SHA2-128s',
  'sha256WithRSAEncryption',
] as const satisfies readonly SignatureAlgorithmName[];

test('every algorithm, at once and in the pool; a changed byte is noticed', async () => {
  const verifier = new SoftwareVerifier();
  for (const name of everyAlgorithm) {
    const key = testKey(name);
    const signature = key.sign(data);
    const changed = data.with(0, 1);
    const oid = signatureAlgorithmOids[name];
    assert.equal(verifier.verify(key.spki, oid, data, signature), true, name);
    assert.equal(verifier.verify(key.spki, oid, changed, signature), false, name);
    assert.equal(await verifier.verifyInPool(key.spki, oid, data, signature), true, name);
    assert.equal(await verifier.verifyInPool(key.spki, oid, changed, signature), false, name);
  }
});

test('a key that does not fit the algorithm, or no key at all, verifies nothing', async () => {
  const verifier = new SoftwareVerifier();
  const key = testKey();
  const signature = key.sign(data);
  const never = async (spki: Uint8Array, oid: string, value: Uint8Array): Promise<void> => {
    assert.equal(verifier.verify(spki, oid, data, value), false);
    assert.equal(await verifier.verifyInPool(spki, oid, data, value), false);
  };
  const es256 = signatureAlgorithmOids['ecdsa-with-SHA256'];
  await never(testKey('Ed25519').spki, es256, signature);
  await never(key.spki, signatureAlgorithmOids.Ed25519, signature);
  await never(key.spki, signatureAlgorithmOids['ecdsa-with-SHA384'], signature);
  await never(key.spki, '1.2.840.10045.4.1', signature);
  await never(key.spki, es256, fixedSignature(signature, 32));
  await never(key.spki, es256, new Uint8Array(0));
  await never(new Uint8Array(0), es256, signature);
  const offCurve = key.spki.slice();
  offCurve[90] = (offCurve[90] ?? 0) ^ 1;
  await never(offCurve, es256, signature);
});

test('signatures with anything but shortest DER, and weak keys, are refused', () => {
  const verifier = new SoftwareVerifier();
  const key = testKey();
  const oid = signatureAlgorithmOids['ecdsa-with-SHA256'];
  const longer = Uint8Array.from([...key.sign(data), 0]);
  assert.equal(verifier.verify(key.spki, oid, data, longer), false);
  const koblitz = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const spki = new Uint8Array(koblitz.publicKey.export({ format: 'der', type: 'spki' }));
  const signature = new Uint8Array(sign('sha256', data, koblitz.privateKey));
  assert.equal(verifier.verify(spki, oid, data, signature), false);
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const weakSpki = new Uint8Array(weak.publicKey.export({ format: 'der', type: 'spki' }));
  const weakSignature = new Uint8Array(sign('sha256', data, weak.privateKey));
  const rsa = signatureAlgorithmOids.sha256WithRSAEncryption;
  assert.equal(verifier.verify(weakSpki, rsa, data, weakSignature), false);
});

test('keys that are forgotten are imported again', () => {
  const verifier = new SoftwareVerifier();
  const oid = signatureAlgorithmOids['ecdsa-with-SHA256'];
  const keys = Array.from({ length: 70 }, () => testKey());
  for (const key of [...keys, ...keys]) {
    assert.ok(verifier.verify(key.spki, oid, data, key.sign(data)));
  }
  assert.equal(verifier.verify(fromHex('00'), oid, data, data), false);
});
