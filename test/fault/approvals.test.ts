/** The authority dies between the spending of an approval and its act: neither is lost, nothing is doubled. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import type { OrderRequest } from '../../src/trust/ports/operatorAuthority.ts';
import { readAuditEntry } from '../../src/trust/audit/entry.ts';
import { testSigner } from '../support/issuing/world.ts';
import { reopened, requestOf, type TwoPersonHouse, twoPersonHouse } from '../support/twoPersons.ts';

const order: OrderRequest = {
  order: 'order-1',
  product: 'sensor',
  family: 'software',
  hwType: '1.3.6.1.4.1.32473.1',
  partNumber: '',
  quantity: 10,
  leastProof: 'line-anchored',
  serverIdentity: Uint8Array.of(0xa1, 1, 2),
};

async function kinds({ authority }: TwoPersonHouse): Promise<readonly string[]> {
  const { auditStore } = authority;
  return (await auditStore.leaves(0, 1_000)).map((leaf) => readAuditEntry(leaf).kind);
}

const count = (all: readonly string[], kind: string): number =>
  all.filter((one) => one === kind).length;

test('in one transaction: the act is there with its spending, or neither is', async (context) => {
  const house = await twoPersonHouse(context);
  const id = await house.approved('order.create', order);
  const before = await kinds(house);
  // The transaction fails behind the spending, where the act writes its first row.
  house.authority.database
    .prepare(`CREATE TRIGGER dies BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'dies'); END`)
    .run();
  const approved = await house.permissions.allow('order.create', order, id);
  assert.ok(!isRefusal(approved));
  await assert.rejects(house.authority.orders.create(approved));
  house.authority.database.prepare('DROP TRIGGER dies').run();

  const after = reopened(house);
  assert.deepEqual(await kinds(after), before);
  assert.equal((await after.store.request(id))?.spentMs, undefined);
  const again = await after.permissions.allow('order.create', order, id);
  assert.ok(!isRefusal(again));
  assert.ok(!isRefusal(await after.authority.orders.create(again)));
  assert.equal(count(await kinds(after), 'approval-used'), count(before, 'approval-used') + 1);
});

test('over several: what was begun is taken up, makes one certificate, and ends', async (context) => {
  const signer = testSigner();
  const station = { name: 'line-1', key: signer.publicKeySpki };
  const named = {
    profile: 'station',
    name: 'line-1',
    request: requestOf(signer),
    hosts: [],
  } as const;
  let house = await twoPersonHouse(context);
  const id = await house.approved('station.enrol', station);
  const made: string[] = [];
  // Dead after the spending, after the certificate, and not at all.
  for (const dies of ['before the act', 'behind the act', undefined]) {
    house = reopened(house);
    const { permissions, authority } = house;
    const attempt = permissions.carryOut('station.enrol', station, id, async (begun) => {
      if (dies === 'before the act') throw new Error(dies);
      const certificate = begun.resumed
        ? await authority.certification.certifyAgain(named, begun.sinceMs)
        : await authority.certification.certify(named);
      assert.ok(!isRefusal(certificate));
      made.push(Buffer.from(certificate).toString('hex'));
      if (dies !== undefined) throw new Error(dies);
      return certificate;
    });
    if (dies === undefined) assert.ok(!isRefusal(await attempt));
    else await assert.rejects(attempt, new Error(dies));
  }
  assert.equal(made.length, 2);
  assert.equal(new Set(made).size, 1);
  assert.equal((await house.authority.issuanceStore.certificatesOf('line-1')).length, 1);
  const late = await house.permissions.allow('station.enrol', station, id);
  assert.ok(isRefusal(late) && late.refused === 'approval-spent');
  const all = await kinds(house);
  // One of eve, one of kim, one of the station.
  assert.equal(count(all, 'approval-used'), 3);
});
