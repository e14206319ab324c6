/** One-time secrets, approvals and renewal past the end, at an authority with a real database. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import type { CreatedSecret, SecretOrder } from '../../../src/trust/ports/enrolmentDesk.ts';
import type { LdevidOutcome, SecretOutcome } from '../../../src/trust/ports/enrolment.ts';
import { EnvironmentError, isRefusal, type Refusal } from '../../../src/trust/ports/faults.ts';
import type { ProfilePolicy } from '../../../src/trust/ports/grantStore.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { printName } from '../../../src/wire/x509/names.ts';
import { alone } from '../../support/alone.ts';
import { type OpenAuthority, World } from '../../support/issuing/world.ts';
import { type TestKey, testKey, testRequest } from '../../support/pki.ts';
import { deviceIdOf } from '../../support/registrySamples.ts';

const dayMs = 86_400_000;
const order: SecretOrder = { product: 'meter', profile: 'ldevid', lifetimeMs: 7 * dayMs };

function allowed<Value>(outcome: Value | Refusal<string>): Value {
  if (isRefusal(outcome)) throw new TypeError(outcome.reason);
  return outcome;
}

function word(outcome: LdevidOutcome | SecretOutcome): string {
  if (isRefusal(outcome)) return `${outcome.refused}: ${outcome.reason}`;
  return 'certificate' in outcome ? 'issued' : `later ${outcome.retryAfterS}`;
}

async function bySecret(
  { certification }: OpenAuthority,
  { secret }: Pick<CreatedSecret, 'secret'>,
  key: TestKey,
  profile = 'ldevid',
): Promise<SecretOutcome> {
  return certification.certifyBySecret({ secret, request: testRequest(key), profile });
}

async function withSecret(authority: OpenAuthority, key: TestKey, deviceId: string) {
  const secret = allowed(
    await authority.grants.createSecret(await alone('secret.create', { ...order, deviceId })),
  );
  const outcome = await bySecret(authority, secret, key);
  assert.ok('certificate' in outcome, word(outcome));
  return outcome.certificate;
}

function renew(
  { certification }: OpenAuthority,
  certificate: Uint8Array,
  key: TestKey,
): Promise<LdevidOutcome> {
  const deviceId = deviceIdOf(1);
  const shown = { authenticatedBy: certificate, issuers: [], product: 'meter' };
  const request = testRequest(key);
  return certification.certifyDevice({ deviceId, ...shown, request, profile: 'ldevid' });
}

test('a secret makes one device, once, of the first key that proves itself', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const created = allowed(await authority.grants.createSecret(await alone('secret.create', order)));
  assert.match(created.secret, /^[0-9a-z]{32}$/);
  assert.deepEqual(await authority.certification.secretHolder(created.secret), {
    deviceId: created.deviceId,
    product: 'meter',
  });
  const key = testKey();
  const broken = testRequest(key);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  const { secret } = created;
  const unproven = { secret, request: broken, profile: 'ldevid' };
  assert.match(word(await authority.certification.certifyBySecret(unproven)), /^bad-proof/);
  const first = await bySecret(authority, created, key);
  assert.ok('certificate' in first, word(first));
  const { subject } = parseCertificate(first.certificate);
  assert.equal(printName(subject), `serialNumber=${created.deviceId},O=Test`);
  // The answer got lost: the same one again. Somebody else's key: nothing.
  const again = await bySecret(authority, created, key);
  assert.deepEqual(again, first);
  assert.match(word(await bySecret(authority, created, testKey())), /^bad-secret: .*another key/);
  const [record] = await authority.grants.secrets(9);
  assert.ok(record?.spentOn !== undefined && record.keyIdentifier !== undefined);
  assert.ok(isRefusal(await authority.grants.voidSecret(created.id)));
  assert.deepEqual((await world.fsck()).faults, []);
});

test('secrets that open nothing: wrong, late, void, for another profile, of a key that is taken', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  assert.match(word(await bySecret(authority, { secret: 'guess' }, testKey())), /^bad-secret/);
  const other = allowed(await authority.grants.createSecret(await alone('secret.create', order)));
  assert.match(
    word(await bySecret(authority, other, testKey(), 'ldevid-short')),
    /^rejected: .*profile/,
  );
  assert.equal(await authority.grants.voidSecret(other.id), undefined);
  assert.match(word(await bySecret(authority, other, testKey())), /^bad-secret/);
  const late = allowed(await authority.grants.createSecret(await alone('secret.create', order)));
  const taken = testKey();
  await withSecret(authority, taken, deviceIdOf(1));
  assert.match(word(await bySecret(authority, late, taken)), /^key-taken/);
  world.nowMs += order.lifetimeMs;
  assert.match(word(await bySecret(authority, late, testKey())), /^bad-secret/);
  assert.equal(await authority.certification.secretHolder(late.secret), undefined);
  const noDevice = await authority.grants.createSecret(
    await alone('secret.create', { ...order, profile: 'server' }),
  );
  assert.ok(isRefusal(noDevice));
});

test('T1 spends the secret: two requests at a time make one certificate', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const created = allowed(await authority.grants.createSecret(await alone('secret.create', order)));
  const key = testKey();
  const outcomes = await Promise.all(
    Array.from({ length: 4 }, () => bySecret(authority, created, key)),
  );
  const before = await authority.issuanceStore.certificatesOf(created.deviceId);
  assert.equal(before.length, 1, outcomes.map(word).join());
  assert.deepEqual((await world.fsck()).faults, []);
});

test('a key that is lost between T1 and T2: later, then the certificate that was promised', async (context) => {
  const world = await World.create(context);
  let lost = true;
  const authority = world.open({
    signer: (signer) => ({
      ...signer,
      sign: (data) =>
        lost
          ? Promise.reject(new EnvironmentError('token gone', { retryable: true }))
          : signer.sign(data),
    }),
  });
  const created = allowed(await authority.grants.createSecret(await alone('secret.create', order)));
  const key = testKey();
  await assert.rejects(bySecret(authority, created, key), EnvironmentError);
  assert.equal(word(await bySecret(authority, created, key)), 'later 5');
  lost = false;
  assert.equal((await authority.issuance.recover()).finished, 1);
  assert.equal(word(await bySecret(authority, created, key)), 'issued');
  assert.deepEqual((await world.fsck()).faults, []);
});

test('approval: asked once for each identity and key, whatever the connection, and spent once', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const key = testKey();
  const certificate = await withSecret(authority, key, deviceIdOf(1));
  const policy: ProfilePolicy = {
    profile: 'ldevid',
    approval: 'every',
    afterExpiry: { kind: 'never' },
  };
  assert.equal(await authority.grants.savePolicy(await alone('policy.change', policy)), undefined);
  const [next, other] = [testKey(), testKey()];
  assert.equal(word(await renew(authority, certificate, next)), 'later 60');
  assert.equal(word(await renew(authority, certificate, next)), 'later 60');
  assert.equal(word(await renew(authority, certificate, other)), 'later 60');
  const [first, second, ...more] = await authority.grants.approvals(9);
  assert.ok(first !== undefined && second !== undefined && more.length === 0);
  assert.equal(first.cause, 'renewal');
  assert.equal(await authority.grants.decide(first.id, 'approved', 'ada'), undefined);
  assert.equal(await authority.grants.decide(second.id, 'denied', 'ada'), undefined);
  assert.ok(isRefusal(await authority.grants.decide(first.id, 'denied', 'eve')));
  const issued = await renew(authority, certificate, next);
  assert.equal(word(issued), 'issued');
  assert.deepEqual(await renew(authority, certificate, next), issued);
  assert.match(word(await renew(authority, certificate, other)), /^rejected: .*denied/);
  // A year on the same key asks for another one, and a person is asked again.
  world.nowMs += 300 * dayMs;
  assert.equal(word(await renew(authority, certificate, next)), 'later 60');
  for (let count = 0; count < 3; count += 1) await renew(authority, certificate, testKey());
  assert.match(word(await renew(authority, certificate, testKey())), /^rejected: .*waiting/);
  const leaves = await authority.auditStore.leaves(0, 100);
  const acts = leaves
    .map(readAuditEntry)
    .flatMap((entry) => (entry.kind === 'decision' ? [`${entry.act} ${entry.detail}`] : []));
  assert.ok(acts.includes('request-approved by ada') && acts.includes('request-denied by ada'));
});

test('renewal past the end: never, within some days, or when a person says so', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const certificate = await withSecret(authority, testKey(), deviceIdOf(1));
  world.nowMs += 370 * dayMs;
  assert.match(word(await renew(authority, certificate, testKey())), /^rejected: .*ended/);
  const policy = { profile: 'ldevid', approval: 'none' } as const;
  await authority.grants.savePolicy(
    await alone('policy.change', { ...policy, afterExpiry: { kind: 'within', days: 4 } }),
  );
  assert.match(word(await renew(authority, certificate, testKey())), /^rejected: .*ended/);
  await authority.grants.savePolicy(
    await alone('policy.change', { ...policy, afterExpiry: { kind: 'within', days: 30 } }),
  );
  assert.equal(word(await renew(authority, certificate, testKey())), 'issued');
  await authority.grants.savePolicy(
    await alone('policy.change', { ...policy, afterExpiry: { kind: 'approval' } }),
  );
  const key = testKey();
  assert.equal(word(await renew(authority, certificate, key)), 'later 60');
  const [request] = await authority.grants.approvals(9);
  assert.equal(request?.cause, 'expired');
  await authority.grants.decide(request?.id ?? 0, 'approved', 'ada');
  assert.equal(word(await renew(authority, certificate, key)), 'issued');
  assert.ok(
    isRefusal(
      await authority.grants.savePolicy(
        await alone('policy.change', {
          ...policy,
          profile: 'server',
          afterExpiry: { kind: 'never' },
        }),
      ),
    ),
  );
});
