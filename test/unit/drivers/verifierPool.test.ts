import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VerifierPool } from '../../../src/drivers/keys/software/verifierPool.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { signatureAlgorithmOids } from '../../../src/wire/x509/algorithms.ts';
import { testSigner } from '../../support/issuing/world.ts';

const ecdsa = signatureAlgorithmOids['ecdsa-with-SHA256'];

test('many proofs at once: each gets its own answer', async () => {
  const pool = new VerifierPool({ workers: 2 });
  const signers = Array.from({ length: 20 }, testSigner);
  const proofs = await Promise.all(
    Array.from({ length: 500 }, async (_, index) => {
      const signer = signers[index % signers.length];
      const claimed = index % 7 === 0 ? signers[(index + 1) % signers.length] : signer;
      assert.ok(signer && claimed);
      const data = Uint8Array.from({ length: index % 300 }, () => index & 255);
      const signature = await signer.sign(data);
      return { spki: claimed.publicKeySpki, data, signature, valid: claimed === signer };
    }),
  );
  const answers = await Promise.all(
    proofs.map(({ spki, data, signature }) => pool.verifyInPool(spki, ecdsa, data, signature)),
  );
  assert.deepEqual(
    answers,
    proofs.map(({ valid }) => valid),
  );
  await pool.close();
  await assert.rejects(
    pool.verifyInPool(proofs[0]?.spki ?? ecdsaKey, ecdsa, ecdsaKey, ecdsaKey),
    TypeError,
  );
});

const ecdsaKey = new Uint8Array(0);

test('what is no key, no signature or no algorithm is not proven, and the pool goes on', async () => {
  const pool = new VerifierPool({ workers: 1 });
  const signer = testSigner();
  const data = Uint8Array.of(1);
  const signature = await signer.sign(data);
  const offCurve = signer.publicKeySpki.slice();
  offCurve[90] = (offCurve[90] ?? 0) ^ 1;
  for (const [spki, oid, bytes] of [
    [Uint8Array.of(0x30), ecdsa, signature],
    [offCurve, ecdsa, signature],
    [signer.publicKeySpki, ecdsa, Uint8Array.of(1, 2, 3)],
    [signer.publicKeySpki, ecdsa, new Uint8Array(0)],
    [signer.publicKeySpki, '1.2.3', signature],
    [signer.publicKeySpki, signatureAlgorithmOids.Ed25519, signature],
  ] as const) {
    assert.equal(await pool.verifyInPool(spki, oid, data, bytes), false);
  }
  assert.equal(await pool.verifyInPool(signer.publicKeySpki, ecdsa, data, signature), true);
  await pool.close();
});

test('proofs under way when the pool closes are not taken for proven', async () => {
  const pool = new VerifierPool({ workers: 1 });
  const signer = testSigner();
  const data = Uint8Array.of(1);
  const signature = await signer.sign(data);
  // More than one message takes: some wait, some are under way.
  const pending = Array.from({ length: 1_000 }, () =>
    pool.verifyInPool(signer.publicKeySpki, ecdsa, data, signature),
  );
  const outcome = Promise.allSettled(pending);
  await new Promise<void>((resolve) => {
    queueMicrotask(resolve);
  });
  await pool.close();
  for (const settled of await outcome) {
    assert.ok(settled.status === 'rejected');
    assert.ok(settled.reason instanceof EnvironmentError && settled.reason.retryable);
  }
});
