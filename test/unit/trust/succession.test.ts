/** Of the LDevIDs of a device two count at most: the one that it has shown, and the newest. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { renewed } from '../../../src/trust/ports/registryStore.ts';
import type { LdevidOutcome } from '../../../src/trust/ports/enrolment.ts';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { prepareNativeRequest } from '../../../src/wire/c509/request.ts';
import { signatureAlgorithmOids } from '../../../src/wire/x509/algorithms.ts';
import { encodeName, parseName } from '../../../src/wire/x509/names.ts';
import { parseSpki } from '../../../src/wire/x509/spki.ts';
import { keyWitness, witnessedBytes } from '../../../src/wire/x509/keyWitness.ts';
import { alone } from '../../support/alone.ts';
import { World } from '../../support/issuing/world.ts';
import { type TestKey, testKey, testRequest } from '../../support/pki.ts';
import { deviceIdOf, sha256Of } from '../../support/registrySamples.ts';

const deviceId = deviceIdOf(1);
const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: Uint8Array.of(1, 2) };

type Issued = Extract<LdevidOutcome, { certificate: Uint8Array }>;

async function setUp(context: TestContext) {
  const world = await World.create(context);
  let authority = world.open();
  const key = testKey();
  const content = { spki: key.spki, name: deviceId, hardware };
  const [born] = await authority.issuance.issue([{ profile: 'idevid', content }]);
  assert.ok(born !== undefined && !isRefusal(born));
  const ask = (shown: Uint8Array, by: TestKey, profile = 'ldevid'): Promise<LdevidOutcome> =>
    authority.certification.certifyDevice({
      deviceId,
      authenticatedBy: shown,
      issuers: [],
      product: 'sensor',
      request: testRequest(by),
      profile,
    });
  const enrol = async (shown: Uint8Array, by = testKey(), profile?: string): Promise<Issued> =>
    issued(await ask(shown, by, profile));
  /** SHA-256 of the operational ones that count. */
  const living = async (): Promise<readonly string[]> => {
    const { certificates } = await authority.issuanceStore.promisesTo(deviceId);
    const hashes = certificates.map(({ serialNumber }) => toHex(serialNumber));
    return hashes.slice(1);
  };
  return {
    world,
    key,
    idevid: born.certificate,
    ask,
    enrol,
    living,
    authority: () => authority,
    open: (...between: Parameters<World['open']>) => (authority = world.open(...between)),
  };
}

function issued(outcome: LdevidOutcome): Issued {
  assert.ok('certificate' in outcome, JSON.stringify(outcome));
  return outcome;
}

const hashes = (...issuedOnes: readonly Issued[]): readonly Uint8Array[] =>
  issuedOnes.map(({ certificate }) => sha256Of(certificate));

test('however often one certificate is renewed, it and the newest count', async (context) => {
  const { idevid, enrol, living, world, authority } = await setUp(context);
  const first = await enrol(idevid);
  assert.deepEqual(first.beside, []);
  let last = first;
  for (let round = 0; round < 5; round++) {
    last = await enrol(first.certificate);
    assert.deepEqual(last.beside, hashes(first));
    assert.equal((await living()).length, 2);
  }
  // By its birth the newest stays, whichever was shown before.
  const reset = await enrol(idevid);
  assert.deepEqual(reset.beside, hashes(last));
  assert.equal((await living()).length, 2);
  const codes = (await authority().issuanceStore.certificatesOf(deviceId)).map(
    ({ revokedMs }) => revokedMs !== undefined,
  );
  assert.deepEqual(codes, [false, true, true, true, true, true, false, false]);
  const refused = await enrolRefusal(authority(), first.certificate);
  assert.equal(refused, 'The certificate is revoked.');
  assert.deepEqual((await world.fsck()).faults, []);
});

async function enrolRefusal(
  { certification }: ReturnType<World['open']>,
  shown: Uint8Array,
): Promise<string> {
  const request = testRequest(testKey());
  const common = { deviceId, issuers: [], product: 'sensor', profile: 'ldevid' };
  const outcome = await certification.certifyDevice({ ...common, authenticatedBy: shown, request });
  return isRefusal(outcome) ? outcome.reason : 'issued';
}

test('an answer that was lost is given again; a key that was lost is nobody’s hindrance', async (context) => {
  const { idevid, enrol, living, world } = await setUp(context);
  const first = await enrol(idevid, testKey());
  const key = testKey();
  const second = await enrol(first.certificate, key);
  const again = await enrol(first.certificate, key);
  assert.deepEqual(again, second);
  // Another profile is another request.
  const short = await enrol(first.certificate, key, 'ldevid-short');
  assert.notDeepEqual(short.certificate, second.certificate);
  // The device lost that key, and renews by what it has.
  const third = await enrol(first.certificate);
  assert.deepEqual(third.beside, hashes(first));
  assert.equal((await living()).length, 2);
  // Who shows the certificate of a key wants a new one of it; so does who comes a day later.
  const own = await enrol(idevid, key);
  const renewal = await enrol(own.certificate, key);
  assert.notDeepEqual(renewal.certificate, own.certificate);
  world.nowMs += 2 * 86_400_000;
  const late = await enrol(own.certificate, key);
  assert.notDeepEqual(late.certificate, renewal.certificate);
  assert.deepEqual(late.beside, hashes(own));
});

test('secrets and sessions, native ones too, leave no more', async (context) => {
  const { idevid, key, enrol, living, authority } = await setUp(context);
  const first = await enrol(idevid);
  const { certification, grants } = authority();
  const lifetimeMs = 60_000;
  for (let round = 0; round < 3; round++) {
    const order = { product: 'sensor', profile: 'ldevid', lifetimeMs, deviceId };
    const secret = await grants.createSecret(await alone('secret.create', order));
    assert.ok(!isRefusal(secret));
    const request = testRequest(testKey());
    const outcome = await certification.certifyBySecret({
      secret: secret.secret,
      request,
      profile: 'ldevid',
    });
    const again = await certification.certifyBySecret({
      secret: secret.secret,
      request,
      profile: 'ldevid',
    });
    assert.deepEqual(again, outcome);
    assert.equal((await living()).length, 2);
  }
  for (let round = 0; round < 3; round++) {
    const next = testKey();
    const others = keyWitness(key.sign(witnessedBytes(next.spki)));
    const request = testRequest(next, { others });
    issued(await certification.certifyInSession({ deviceId, profile: 'ldevid', request }));
    assert.equal((await living()).length, 2);
  }
  const unsigned = prepareNativeRequest({
    signatureAlgorithm: { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
    subject: parseName(encodeName(['serialNumber', deviceId])),
    publicKey: parseSpki(key.spki),
  });
  const request = unsigned.finish(key.sign(unsigned.toBeSigned));
  const inSession = { deviceId, profile: 'ldevid', request };
  const native = issued(await certification.certifyInSession(inSession));
  assert.deepEqual(await certification.certifyInSession(inSession), native);
  // The same key in X.509 is another certificate.
  const der = testRequest(key);
  const other = issued(await certification.certifyInSession({ ...inSession, request: der }));
  assert.deepEqual(other.beside, hashes(native));
  assert.equal((await living()).length, 2);
  assert.equal(await enrolRefusal(authority(), first.certificate), 'The certificate is revoked.');
});

test('requests at the same time: one is told to come again, and no more than two count', async (context) => {
  const { idevid, ask, enrol, living } = await setUp(context);
  const first = await enrol(idevid);
  const outcomes = await Promise.all(
    Array.from({ length: 6 }, () => ask(first.certificate, testKey())),
  );
  assert.ok(outcomes.some((outcome) => 'certificate' in outcome));
  assert.ok(outcomes.some((outcome) => 'retryAfterS' in outcome));
  assert.equal((await living()).length, 2);
});

test('what was promised while the key was away counts when it is signed', async (context) => {
  const { idevid, ask, enrol, living, open, world } = await setUp(context);
  const first = await enrol(idevid);
  const away = (): Promise<never> =>
    Promise.reject(new EnvironmentError('the key is away', { retryable: true }));
  open({ signer: (signer) => ({ ...signer, sign: away }) });
  const key = testKey();
  for (const by of [key, testKey(), key]) {
    await assert.rejects(ask(first.certificate, by), /the key is away/);
  }
  open();
  const second = await enrol(first.certificate, key);
  assert.deepEqual(second.beside, hashes(first));
  assert.equal((await living()).length, 2);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('what the registry reports of a renewal ends the older one, and no other', async (context) => {
  const { idevid, enrol, living, authority, world } = await setUp(context);
  const first = await enrol(idevid);
  const second = await enrol(first.certificate);
  const { statusNotices } = authority();
  const told = (certificate: Uint8Array, sequence: number) =>
    statusNotices.record([
      {
        sequence,
        act: 'revoke-certificate',
        subject: toHex(sha256Of(certificate)),
        holder: deviceId,
        ...renewed,
        atMs: world.nowMs,
      },
    ]);
  assert.equal((await told(first.certificate, 1)).changed, 1);
  assert.equal((await told(first.certificate, 1)).changed, 0);
  assert.equal((await living()).length, 1);
  assert.deepEqual((await enrol(second.certificate)).beside, hashes(second));
});
