/** One live LDevID and one beside it while it is renewed: at the doors, in the registry, and in the answers about status. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { EstDoorClient, type Held } from '../support/estDoorClient.ts';
import { testKey } from '../support/pki.ts';
import { statusHouse, until } from '../support/statusHouse.ts';

test('five renewals over one certificate leave two; the newest one, shown, is alone', async (context: TestContext) => {
  const house = await statusHouse(context);
  const client = await EstDoorClient.create(house);
  const first = await client.enrolBySecret('simpleenroll', 'ldevid');
  const renewals: Held[] = [];
  for (let round = 0; round < 5; round++) {
    renewals.push(await client.enrol('simplereenroll', first, testKey()));
  }
  const [lost, , , , newest] = renewals;
  assert.ok(lost && newest);
  const again = await client.enrol('simplereenroll', first, newest.key);
  assert.deepEqual(again.certificate, newest.certificate);
  const all = [first, ...renewals];
  const ended = 'revoked superseded';
  assert.deepEqual(await client.statuses(all), ['good', ended, ended, ended, ended, 'good']);
  assert.equal((await client.ask('cacerts', lost)).status, 0);
  assert.equal((await client.ask('cacerts', newest)).status, 200);
  await until(async () => (await client.status(first)) === ended);
  assert.deepEqual(await client.statuses(all), [ended, ended, ended, ended, ended, 'good']);
  assert.equal((await client.ask('cacerts', first)).status, 0);
  assert.equal((await client.ask('cacerts', newest)).status, 200);
  await client.enrol('simplereenroll', newest, testKey());
  assert.deepEqual(house.troubles, []);
});
