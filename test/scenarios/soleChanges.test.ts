/** What one person changes at a provisioner whose authority wants a second one beyond so many a day. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { pki } from '../support/peers.ts';
import { testProvisioner } from '../support/provisioner.ts';

const holders = ['app-1', 'app-2', 'app-3', 'app-4'];
const identities = holders.map((name) => pki.application(name));
const reader = pki.application('reader');
const certificates = identities.map(({ sha256 }) => toHex(sha256));

async function setUp(context: TestContext) {
  const entries = [...holders, 'reader'].map((holder, index) => ({
    identity: identities[index] ?? reader,
    kind: 'application' as const,
    holder,
  }));
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
