/** Our use of the primitives against Project Wycheproof: what has to work works, what must not pass does not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { type AeadAlgorithm, aeadParameters } from '../../src/wire/crypto/crypto.ts';

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly flags: readonly string[];
  readonly result: 'valid' | 'invalid' | 'acceptable';
}

interface File<Group, Vector> {
  readonly numberOfTests: number;
  readonly testGroups: ReadonlyArray<Group & { readonly tests: ReadonlyArray<Case & Vector> }>;
}

function load<Group, Vector>(name: string): File<Group, Vector> {
  const url = new URL(`../vectors/wycheproof/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8')) as File<Group, Vector>;
}

interface AeadGroup {
  readonly ivSize: number;
  readonly keySize: number;
  readonly tagSize: number;
}

interface AeadVector {
  readonly key: string;
  readonly iv: string;
  readonly aad: string;
  readonly msg: string;
  readonly ct: string;
  readonly tag: string;
}

const aeadFiles = [
  ['aes_ccm', /^AES-CCM/, 20],
  ['aes_gcm', /GCM$/, 150],
  ['chacha20_poly1305', /^ChaCha20/, 250],
] as const;

for (const [name, pattern, atLeast] of aeadFiles) {
  test(`${name}: groups of our sizes`, () => {
    let checked = 0;
    for (const group of load<AeadGroup, AeadVector>(name).testGroups) {
      const algorithm = algorithmOf(group, pattern);
      if (algorithm === undefined) continue;
      for (const vector of group.tests) {
        checkAead(algorithm, vector);
        checked += 1;
      }
    }
    assert.ok(checked >= atLeast, `only ${checked} tests are of our sizes`);
  });
}

function algorithmOf(group: AeadGroup, pattern: RegExp): AeadAlgorithm | undefined {
  const names = Object.keys(aeadParameters) as AeadAlgorithm[];
  return names.find((algorithm) => {
    const { keyBytes, nonceBytes, tagBytes } = aeadParameters[algorithm];
    const sizes = [keyBytes, nonceBytes, tagBytes].map((bytes) => bytes * 8).join();
    return pattern.test(algorithm) && sizes === [group.keySize, group.ivSize, group.tagSize].join();
  });
}

function checkAead(algorithm: AeadAlgorithm, vector: Case & AeadVector): void {
  const key = nodeCrypto.aeadKey(algorithm, fromHex(vector.key));
  const [nonce, aad, message] = [vector.iv, vector.aad, vector.msg].map((text) => fromHex(text));
  assert.ok(nonce && aad && message);
  const sealed = fromHex(vector.ct + vector.tag);
  const opened = nodeCrypto.open(key, nonce, aad, sealed);
  if (vector.result === 'invalid') {
    assert.equal(opened, undefined, `${vector.tcId} ${vector.comment}`);
    return;
  }
  assert.deepEqual(opened && toHex(opened), vector.msg, `${vector.tcId}`);
  assert.equal(toHex(nodeCrypto.seal(key, nonce, aad, message)), toHex(sealed));
}

interface AgreementVector {
  readonly public: string;
  readonly private: string;
  readonly shared: string;
}

test('ecdh_secp256r1_ecpoint', () => {
  const [group] = load<object, AgreementVector>('ecdh_secp256r1_ecpoint').testGroups;
  assert.ok(group && group.tests.length > 300);
  for (const vector of group.tests) {
    const shared = agree('P-256', lastBytes(vector.private, 32), vector.public);
    if (vector.result === 'invalid') assert.equal(shared, undefined, `${vector.tcId}`);
    else assert.equal(shared, vector.shared, `${vector.tcId} ${vector.comment}`);
  }
});

test('x25519: results of zero are refused (RFC 7748 §6.1)', () => {
  const [group] = load<object, AgreementVector>('x25519').testGroups;
  assert.ok(group && group.tests.length > 500);
  for (const vector of group.tests) {
    const shared = agree('X25519', fromHex(vector.private), vector.public);
    const zero = /^0*$/.test(vector.shared);
    assert.equal(shared, zero ? undefined : vector.shared, `${vector.tcId} ${vector.comment}`);
  }
});

function agree(
  curve: 'P-256' | 'X25519',
  privateKey: Uint8Array,
  publicKey: string,
): string | undefined {
  const peer = nodeCrypto.importPublicKey(curve, fromHex(publicKey));
  if (peer === undefined) return undefined;
  const own = nodeCrypto.importEphemeral(curve, privateKey);
  assert.ok(own);
  const shared = nodeCrypto.agree(own, peer);
  return shared && toHex(shared);
}

/** Private keys are written as DER integers: with a sign octet, or short. */
function lastBytes(hex: string, length: number): Uint8Array {
  return fromHex(hex.padStart(length * 2, '0').slice(-length * 2));
}

interface SignatureGroup {
  readonly publicKeyDer: string;
  readonly publicKey: { readonly uncompressed?: string; readonly pk?: string };
}

interface SignatureVector {
  readonly msg: string;
  readonly sig: string;
}

test('ecdsa_secp256r1_sha256: DER signatures of certificates', () => {
  const verifier = new SoftwareVerifier();
  for (const group of load<SignatureGroup, SignatureVector>('ecdsa_secp256r1_sha256').testGroups) {
    const spki = fromHex(group.publicKeyDer);
    for (const { tcId, comment, msg, sig, result } of group.tests) {
      const held = verifier.verify(spki, '1.2.840.10045.4.3.2', fromHex(msg), fromHex(sig));
      assert.equal(held, result === 'valid', `${tcId} ${comment}`);
    }
  }
});

for (const [name, curve, algorithm] of [
  ['ecdsa_secp256r1_sha256_p1363', 'P-256', 'ES256'],
  ['ed25519', 'Ed25519', 'EdDSA'],
] as const) {
  test(`${name}: signatures of COSE`, () => {
    for (const group of load<SignatureGroup, SignatureVector>(name).testGroups) {
      const bytes = fromHex(group.publicKey.uncompressed ?? group.publicKey.pk ?? '');
      const key = nodeCrypto.importPublicKey(curve, bytes);
      assert.ok(key);
      for (const { tcId, comment, msg, sig, result } of group.tests) {
        const held = nodeCrypto.verify(key, algorithm, fromHex(msg), fromHex(sig));
        assert.equal(held, result === 'valid', `${tcId} ${comment}`);
      }
    }
  });
}

interface HkdfVector {
  readonly ikm: string;
  readonly salt: string;
  readonly info: string;
  readonly size: number;
  readonly okm: string;
}

test('hkdf_sha256', () => {
  for (const group of load<object, HkdfVector>('hkdf_sha256').testGroups) {
    for (const { tcId, ikm, salt, info, size, okm, result } of group.tests) {
      const derive = (): Uint8Array => {
        const prk = nodeCrypto.hkdfExtract('SHA-256', fromHex(salt), fromHex(ikm));
        return nodeCrypto.hkdfExpand('SHA-256', prk, fromHex(info), size);
      };
      if (result === 'invalid') assert.throws(derive, TypeError, `${tcId}`);
      else assert.equal(toHex(derive()), okm, `${tcId}`);
    }
  }
});
