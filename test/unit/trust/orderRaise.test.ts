/** More quota for an order that is there, and the credential that orders get which name none. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import type { OrderRaise } from '../../../src/trust/ports/operatorAuthority.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { eui64Plus } from '../../../src/wire/bytes/eui64.ts';
import { isEndorsed } from '../../../src/wire/line/endorsement.ts';
import { alone } from '../../support/alone.ts';
import { testElement, TestStation, unitRequest } from '../../support/issuing/station.ts';
import { type OpenAuthority, testSigner, World } from '../../support/issuing/world.ts';
import { hourMs, twoPersonHouse } from '../../support/twoPersons.ts';

const by = (count: number): OrderRaise => ({ order: 'order-1', batch: 'order-1', by: count });

async function birth(
  world: World,
  authority: OpenAuthority,
  signed: Uint8Array,
  signer: ReturnType<typeof testSigner>,
  uid: string,
) {
  const station = new TestStation(authority.line, world.keys.order, signed, signer);
  const [unit] = await station.endorse([await unitRequest(testElement(uid), await station.open())]);
  assert.ok(unit !== undefined);
  return unit;
}

async function scene(context: TestContext) {
  const world = await World.create(context);
  const authority = world.open();
  const signer = testSigner();
  const { signed } = await world.ticket(authority, signer, 1);
  const raise = async (request: OrderRaise): Promise<string> => {
    const outcome = await authority.orders.raise(await alone('order.raise', request));
    return isRefusal(outcome) ? outcome.refused : String(outcome.quantity);
  };
  return { world, authority, signer, signed, raise };
}

test('an order that is used up goes on under another ticket; the first one stays what it is', async (context) => {
  const { world, authority, signer, signed, raise } = await scene(context);
  const first = await birth(world, authority, signed, signer, 'uid 1');
  assert.ok(isEndorsed(first));
  assert.equal(await raise(by(2)), '3');
  const refused = await birth(world, authority, signed, signer, 'uid 2');
  assert.ok(!isEndorsed(refused), 'a ticket allows what it allowed');
  const request = {
    batch: 'order-1',
    count: 2,
    stationKeySpki: signer.publicKeySpki,
    notBeforeMs: world.nowMs,
    notAfterMs: world.nowMs + hourMs,
  };
  const ticket = await authority.orders.issueTicket(await alone('ticket.issue', request));
  assert.ok(!isRefusal(ticket));
  const second = await birth(world, authority, ticket.signed, signer, 'uid 2');
  assert.ok(isEndorsed(second));
  assert.deepEqual(second.eui64, eui64Plus(first.eui64 ?? new Uint8Array(8), 1));
  await world.logHead(authority);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('what cannot be raised is said, and stays as it is', async (context) => {
  const { authority, raise, world } = await scene(context);
  assert.equal(await raise({ ...by(1), order: 'none' }), 'unknown-order');
  assert.equal(await raise({ ...by(1), batch: 'none' }), 'unknown-batch');
  for (const count of [0, -1, 0.5, 2 ** 31]) assert.equal(await raise(by(count)), 'invalid');
  await world.ticket(authority, testSigner(), 1, 'order-2');
  assert.equal(await raise(by(1)), 'eui64-overlap');
  assert.equal(await raise({ order: 'order-2', batch: 'order-1', by: 1 }), 'unknown-batch');
  assert.equal(await raise({ order: 'order-2', batch: 'order-2', by: 4 }), '5');
  assert.deepEqual((await world.fsck()).faults, []);
});

test('where two persons are needed it takes both, and fsck knows how much it was', async (context) => {
  const house = await twoPersonHouse(context);
  const { authority, permissions, world } = house;
  const order = {
    order: 'order-1',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: 10,
    leastProof: 'line-anchored' as const,
    serverIdentity: Uint8Array.of(0xa1, 1, 2),
  };
  const id = await house.approved('order.create', order);
  const placed = await permissions.allow('order.create', order, id);
  assert.ok(!isRefusal(placed) && !isRefusal(await authority.orders.create(placed)));
  const alone = await permissions.allow('order.raise', by(5), undefined);
  assert.equal(isRefusal(alone) && alone.refused, 'approval-needed');
  const approval = await house.approved('order.raise', by(5));
  const more = await permissions.allow('order.raise', by(50), approval);
  assert.equal(isRefusal(more) && more.refused, 'other-bytes');
  const allowed = await permissions.allow('order.raise', by(5), approval);
  assert.ok(!isRefusal(allowed));
  assert.ok(!isRefusal(await authority.orders.raise(allowed)));
  const again = await authority.orders.raise(allowed);
  assert.equal(isRefusal(again) && again.refused, 'approval-spent');
  assert.equal((await authority.orderStore.order('order-1'))?.quantity, 15);
  await world.logHead(authority);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('another identity of the server is a leaf of the log, the same one is none', async (context) => {
  const { authority, world } = await scene(context);
  const before = await authority.auditStore.countLeaves();
  for (const identity of [Uint8Array.of(1), Uint8Array.of(1), Uint8Array.of(2)]) {
    await authority.orders.saveServerIdentity(identity);
  }
  const leaves = (await authority.auditStore.leaves(before, 9)).map(readAuditEntry);
  assert.deepEqual(
    leaves.map((entry) => entry.kind === 'decision' && entry.act),
    ['server-identity', 'server-identity'],
  );
  await world.logHead(authority);
  authority.database.close();
  assert.deepEqual((await world.fsck()).faults, []);
  const database = new DatabaseSync(world.path);
  database.exec(`UPDATE settings SET value = x'03' WHERE name = 'server-identity'`);
  database.close();
  const [fault = ''] = (await world.fsck()).faults;
  assert.match(fault, /identity for elements is not the one of the log/);
});
