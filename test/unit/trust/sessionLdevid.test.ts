/** The authority and devices that were authenticated in a session: it believes their key of birth alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { attributeText } from '../../../src/wire/x509/names.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { World } from '../../support/issuing/world.ts';
import { testKey, testRequest } from '../../support/pki.ts';
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
  const altered = good.slice();
  altered[altered.length - 1] = (altered.at(-1) ?? 0) ^ 1;
  assert.match(await refusal(altered), /signature/);
  assert.match(await refusal(good.subarray(0, 50)), /^rejected/);
});
