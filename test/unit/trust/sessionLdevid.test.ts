/** The authority and devices that were authenticated in a session: it believes their key of birth alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { verifyPath } from '../../../src/trust/peers/paths.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import { parseEitherCertificate } from '../../../src/wire/c509/either.ts';
import { prepareNativeRequest } from '../../../src/wire/c509/request.ts';
import { signatureAlgorithmOids } from '../../../src/wire/x509/algorithms.ts';
import { parseSpki } from '../../../src/wire/x509/spki.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { attributeText, encodeName, parseName } from '../../../src/wire/x509/names.ts';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import { World } from '../../support/issuing/world.ts';
import { keyWitness, witnessedBytes } from '../../../src/wire/x509/keyWitness.ts';
import { type TestKey, testKey, testRequest } from '../../support/pki.ts';
import { deviceIdOf } from '../../support/registrySamples.ts';

const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: Uint8Array.of(1, 2) };

test('the key of birth gets an LDevID, and nobody else', async (context) => {
  const world = await World.create(context);
  const { certification, issuance } = world.open();
  const key = testKey();
  const deviceId = deviceIdOf(1);
  const content = { spki: key.spki, name: deviceId, hardware };
  const [born] = await issuance.issue([{ profile: 'idevid', content }]);
  assert.ok(born !== undefined && !isRefusal(born), JSON.stringify(born));
  const ask = (request: Uint8Array, changes: { deviceId?: string; profile?: string } = {}) =>
    certification.certifyInSession({ deviceId, profile: 'ldevid', request, ...changes });
  const refusal = async (...asked: Parameters<typeof ask>): Promise<string> => {
    const outcome = await ask(...asked);
    return isRefusal(outcome) ? `${outcome.refused}: ${outcome.reason}` : 'issued';
  };
  const good = testRequest(key);
  const issued = await ask(good);
  assert.ok('certificate' in issued, JSON.stringify(issued));
  const { subject, publicKey } = parseCertificate(issued.certificate);
  assert.equal(attributeText(subject, 'serialNumber'), deviceId);
  assert.deepEqual(publicKey.spki, key.spki);
  // Whoever the provisioner says it is: the key decides.
  assert.match(await refusal(testRequest(testKey())), /not certified here at birth/);
  assert.match(await refusal(good, { deviceId: deviceIdOf(2) }), /^key-taken/);
  assert.match(await refusal(good, { deviceId: 'nobody' }), /No device/);
  assert.match(await refusal(good, { profile: 'server' }), /^rejected/);
  // Another key, which that of birth vouches for; and one that somebody else's vouches for.
  const next = testKey();
  const vouched = (by: TestKey, of = next): Uint8Array =>
    testRequest(next, { others: keyWitness(by.sign(witnessedBytes(of.spki))) });
  assert.equal(await refusal(vouched(key)), 'issued');
  assert.match(await refusal(vouched(testKey())), /not certified here at birth/);
  assert.match(await refusal(vouched(key, testKey())), /not certified here at birth/);
  assert.match(
    await refusal(testRequest(testKey(), { others: keyWitness(Uint8Array.of(1)) })),
    /not certified here at birth/,
  );
  const altered = good.slice();
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  assert.match(await refusal(altered), /signature/);
  assert.match(await refusal(good.subarray(0, 50)), /^rejected/);
});

test('who asks in native C509 is answered natively, stored and audited like any other', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const { certification, issuance } = authority;
  const key = testKey();
  const deviceId = deviceIdOf(1);
  const content = { spki: key.spki, name: deviceId, hardware };
  const [born] = await issuance.issue([{ profile: 'idevid', content }]);
  assert.ok(born !== undefined && !isRefusal(born), JSON.stringify(born));
  const unsigned = prepareNativeRequest({
    signatureAlgorithm: { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
    subject: parseName(encodeName(['serialNumber', deviceId])),
    publicKey: parseSpki(key.spki),
  });
  const request = unsigned.finish(key.sign(unsigned.toBeSigned));
  const issued = await certification.certifyInSession({ deviceId, profile: 'ldevid', request });
  assert.ok('certificate' in issued, JSON.stringify(issued));
  const { form, certificate } = parseEitherCertificate(issued.certificate, decompressPoint);
  assert.equal(form, 'native');
  assert.equal(attributeText(certificate.subject, 'serialNumber'), deviceId);
  assert.ok(issued.certificate.length < 260, `${issued.certificate.length} bytes`);
  // The path holds, as for X.509.
  const operational = parseCertificate(world.certificateOf('operational'));
  const rules = {
    anchors: [{ certificate: operational, kinds: ['ldevid'] as const }],
    intermediates: [],
  };
  const path = verifyPath([certificate], rules, new SoftwareVerifier(), world.nowMs);
  assert.ok(!isRefusal(path), JSON.stringify(path));
  assert.deepEqual((await world.fsck()).faults, []);
  // Every built-in profile can be issued so, but for what the lints say no to in either form.
  const server = { spki: testKey().spki, name: 'iot', hosts: ['iot.example.com', '192.0.2.1'] };
  const others = await issuance.issue([
    { profile: 'server', form: 'native', content: server },
    { profile: 'ldevid', form: 'native', content: { spki: testKey().spki, name: 'not a device' } },
    {
      profile: 'idevid',
      form: 'native',
      content: { ...content, spki: testKey().spki, name: deviceIdOf(3) },
    },
  ]);
  assert.deepEqual(
    others.map((one) =>
      isRefusal(one) ? one.refused : parseEitherCertificate(one.certificate, decompressPoint).form,
    ),
    ['native', 'lint', 'native'],
  );
  assert.deepEqual((await world.fsck()).faults, []);
});

test('what a crash left between T1 and T2 is signed as the same bytes, natively too', async (context) => {
  const world = await World.create(context);
  const failing = (signer: Signer): Signer => ({
    ...signer,
    sign: () => Promise.reject(new EnvironmentError('the key is away', { retryable: true })),
  });
  const content = { spki: testKey().spki, name: deviceIdOf(4) };
  const broken = world.open({ signer: failing });
  const ask = broken.issuance.issue([{ profile: 'ldevid', form: 'native', content }]);
  await assert.rejects(ask, /the key is away/);
  const { issuance } = world.open();
  const recovery = await issuance.recover();
  assert.deepEqual(recovery, { finished: 1, withheld: [] });
  assert.deepEqual((await world.fsck()).faults, []);
});
