/** What one person changes at a provisioner whose authority wants a second one beyond so many a day. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { pki } from '../support/peers.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const holders = ['app-1', 'app-2', 'app-3', 'app-4'];
const identities = holders.map((name) => pki.application(name));
const person = pki.operator('ada');
const reader = pki.application('reader');
const certificates = identities.map(({ sha256 }) => toHex(sha256));

async function setUp(context: TestContext) {
  const applications = [...holders, 'reader'].map((holder, index) => ({
    identity: identities[index] ?? reader,
    kind: 'application' as const,
    holder,
  }));
  const ada = { identity: person, kind: 'operator', holder: 'ada' } as const;
  const entries = [...applications, ada];
  const it = await testProvisioner(context, { devices: [1, 2, 3], entries });
  const operator = new ProvisionerClient(it.config.socketPath);
  context.after(() => operator.close());
  const states = (): Promise<readonly string[]> =>
    Promise.all(
      certificates.map(async (sha256) => {
        const path = `/api/v1/certificates/${sha256}`;
        const { body } = await it.request('api', reader, { path });
        const document: unknown = JSON.parse(body.toString());
        return (document as { readonly state: string }).state;
      }),
    );
  return { ...it, operator, states };
}

function code(outcome: object | Refusal<string> | undefined): string {
  return outcome !== undefined && isRefusal(outcome) ? outcome.refused : 'done';
}

test('holds that one person takes back, at once or in turn, are as many as the day leaves', async (context) => {
  const { operator, authority, states } = await setUp(context);
  for (const sha256 of certificates) await operator.hold(sha256, 'recalled');
  authority.soleLeft = 2;
  const back = await Promise.all(
    certificates.map((sha256) => operator.reinstate(sha256, 'a false alarm')),
  );
  const refused = 'approval-needed';
  assert.deepEqual(back.map(code).toSorted(), [refused, refused, 'done', 'done']);
  assert.deepEqual((await states()).toSorted(), ['active', 'active', 'held', 'held']);
  for (const sha256 of certificates) {
    assert.equal(code(await operator.reinstate(sha256, 'a false alarm')), refused);
  }
  const reinstated = authority.told.filter((notice) => notice.code === 'removeFromCRL');
  assert.deepEqual([reinstated.length, authority.soleLeft], [2, 0]);
});

test('what only takes away is done at once, and who does it hears that lists and answers wait', async (context) => {
  const it = await setUp(context);
  const { operator, authority, states } = it;
  const [one, two, three] = [1, 2, 3].map(deviceIdOf) as [string, string, string];
  const [first = '', second = '', third = ''] = certificates;
  const post = async (path: string): Promise<unknown> => {
    const body = JSON.stringify({ reason: 'stolen' });
    const type = 'application/json';
    const options = { method: 'POST', path: `/api/v1${path}`, type, body };
    const answer = await it.request('api', person, options);
    const document = JSON.parse(answer.body.toString()) as Record<string, unknown>;
    return [answer.status, document['lists'] ?? document['code']];
  };
  const gauge = async (): Promise<string | undefined> => {
    const { body } = await it.request('api', reader, { path: '/metrics' });
    return /^birthmark_notices_waiting (\d+)$/m.exec(body.toString())?.[1];
  };
  authority.soleLeft = 1;
  assert.deepEqual(await post(`/devices/${one}/revoke`), [200, 'follow']);
  assert.deepEqual(await post(`/devices/${two}/revoke`), [200, 'approval-needed']);
  assert.deepEqual(await post(`/certificates/${first}/revoke`), [403, 'wrong-role']);
  const alone = await operator.revokeDevices([three, three], 'stolen');
  assert.equal(isRefusal(alone) ? alone.refused : alone.lists, 'approval-needed');
  assert.equal(code(await operator.revokeDevices([two, three], 'stolen')), 'approval-needed');
  const ended = await operator.revokeCertificate(first, 'stolen');
  assert.equal(isRefusal(ended) ? ended.refused : ended.lists, 'approval-needed');
  assert.equal(code(await operator.hold(second, 'stolen')), 'done');
  assert.deepEqual((await states()).slice(0, 2), ['revoked', 'held']);
  assert.equal(await gauge(), '4');
  authority.soleLeft = 10;
  authority.away = true;
  const untold = await operator.revokeCertificate(third, 'stolen');
  assert.equal(isRefusal(untold) ? untold.refused : untold.lists, 'untold');
  authority.away = false;
  const again = await operator.revokeDevices([three], 'stolen');
  assert.equal(isRefusal(again) ? again.refused : again.lists, 'follow');
  assert.deepEqual([await gauge(), authority.soleLeft], ['0', 5]);
});
