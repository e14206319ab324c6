/** Operators, roles and approvals as a store: what an approval may be spent on, and that it is once. */
import assert from 'node:assert/strict';
import type {
  ApprovalStore,
  NewOperator,
  NewRequest,
  OperatorRole,
  Spending,
} from '../../src/trust/ports/approvalStore.ts';
import {
  bytesOf,
  issuingBackends,
  type IssuingStores,
  leaf,
  orderRow,
} from '../support/issuingStores.ts';
import { contract } from '../support/storeBackends.ts';

const id = bytesOf('request', 32);

function person(name: string, ...roles: readonly OperatorRole[]): NewOperator {
  const keyIdentifier = bytesOf(`key of ${name}`, 20);
  return { name, certificate: bytesOf(name, 32), keyIdentifier, addedMs: 10, roles };
}

function request(requester: string, changes: Partial<NewRequest> = {}): NewRequest {
  const signed = bytesOf(`signed by ${requester}`, 32);
  return { id, act: 'order.create', requester, signed, takenMs: 20, expiresMs: 100, ...changes };
}

const spending = (changes: Partial<Spending> = {}): Spending => ({
  id,
  atMs: 50,
  requesters: ['operator', 'admin'],
  approvers: ['operator', 'admin'],
  entry: leaf('used'),
  ...changes,
});

/** Two admins, an operator, and a request of the operator. */
async function house({ approvals }: IssuingStores): Promise<ApprovalStore> {
  const mode = { installation: bytesOf('installation', 16), sinceMs: 10, massLimit: 100 };
  const admins = [person('ada', 'admin'), person('bob', 'admin', 'operator')];
  assert.equal(await approvals.switchOn(mode, admins, [leaf('on')]), true);
  assert.equal(await approvals.switchOn({ ...mode, massLimit: 9 }, [], []), false);
  assert.deepEqual(await approvals.mode(), mode);
  assert.equal(
    await approvals.addOperator(person('eve', 'operator'), leaf('+'), undefined),
    'added',
  );
  assert.equal(await approvals.addRequest(request('eve'), 9, leaf('?')), 'added');
  return approvals;
}

const approve = (store: ApprovalStore, by = 'ada', atMs = 30): Promise<boolean> =>
  store.decide(id, { decision: 'approved', by, signed: bytesOf(by, 8), atMs }, leaf('yes'));

contract('approval store', issuingBackends, (check) => {
  check('operators come back with the roles that they hold', async (stores) => {
    const store = await house(stores);
    const change = { name: 'eve', role: 'station-manager', atMs: 11, entry: leaf('r') } as const;
    assert.equal(await store.changeRole({ ...change, change: 'grant' }, undefined), 'changed');
    assert.equal(
      await store.changeRole({ ...change, role: 'operator', change: 'withdraw' }, undefined),
      'changed',
    );
    const [ada, bob, eve] = await store.operators();
    assert.deepEqual([ada?.name, bob?.name], ['ada', 'bob']);
    assert.deepEqual(eve?.roles, [{ role: 'station-manager', grantedMs: 11 }]);
    assert.deepEqual(
      bob?.roles.map(({ role }) => role),
      ['admin', 'operator'],
    );
    assert.equal(await store.addOperator(person('eve'), leaf('+'), undefined), 'taken');
    const sameKey = { ...person('mallory'), keyIdentifier: person('eve').keyIdentifier };
    assert.equal(await store.addOperator(sameKey, leaf('+'), undefined), 'taken');
    assert.equal(await store.renewOperator('eve', bytesOf('new', 9), leaf('n')), true);
    assert.deepEqual((await store.operators())[2]?.certificate, bytesOf('new', 9));
    assert.equal(await store.renewOperator('nobody', bytesOf('new', 9), leaf('n')), false);
  });

  check('admin and auditor exclude each other, and two admins stay', async (stores) => {
    const store = await house(stores);
    const change = { atMs: 11, entry: leaf('r') };
    const grant = { ...change, change: 'grant' } as const;
    assert.equal(
      await store.changeRole({ ...grant, name: 'ada', role: 'auditor' }, undefined),
      'excluded',
    );
    assert.equal(
      await store.changeRole({ ...grant, name: 'nobody', role: 'auditor' }, undefined),
      'unknown-operator',
    );
    const withdraw = { ...change, change: 'withdraw', name: 'ada', role: 'admin' } as const;
    assert.equal(await store.changeRole(withdraw, undefined), 'too-few-admins');
    assert.equal(
      await store.revokeOperator({ ...change, name: 'bob' }, undefined),
      'too-few-admins',
    );
    await store.changeRole({ ...grant, name: 'eve', role: 'admin' }, undefined);
    assert.equal(await store.revokeOperator({ ...change, name: 'bob' }, undefined), 'changed');
    assert.equal(
      await store.revokeOperator({ ...change, name: 'bob' }, undefined),
      'unknown-operator',
    );
    assert.equal((await store.operators())[1]?.revokedMs, 11);
  });

  check('an approval is spent once, with the leaf before that of the act', async (stores) => {
    const store = await house(stores);
    await approve(stores.approvals);
    const { audit, orders } = stores;
    const before = await audit.countLeaves();
    const create = (number: number) =>
      orders.createOrder(orderRow(number, 1), [], leaf(`order ${number}`), spending());
    assert.equal(await create(1), 'created');
    assert.deepEqual(await audit.leaves(before, 9), [leaf('used'), leaf('order 1')]);
    assert.equal(await create(2), 'approval-spent');
    assert.equal(await orders.order('order-2'), undefined);
    assert.equal(await audit.countLeaves(), before + 2);
    const spent = await store.request(id);
    assert.deepEqual([spent?.spentMs, spent?.doneMs], [50, 50]);
  });

  check('an act that the store refuses spends nothing', async (stores) => {
    const store = await house(stores);
    await approve(store);
    await stores.orders.createOrder(orderRow(1, 1), [], leaf('1'));
    const refused = await stores.orders.createOrder(orderRow(1, 1), [], leaf('2'), spending());
    assert.equal(refused, 'order-exists');
    assert.equal((await store.request(id))?.spentMs, undefined);
  });

  check('it is void when it is late, undecided, rejected or unknown', async (stores) => {
    const store = await house(stores);
    const fault = async (changes: Partial<Spending> = {}) => store.begin(spending(changes));
    assert.equal(await fault(), 'approval-missing');
    await approve(store);
    assert.equal(await fault({ atMs: 100 }), 'approval-expired');
    assert.equal(await fault({ id: bytesOf('other', 32) }), 'approval-unknown');
    assert.equal(await fault({ approvers: undefined }), 'approval-missing');
    assert.equal(await fault({ atMs: 99 }), 'begun');
    assert.equal(await approve(store), false, 'decided already');

    const second = bytesOf('second', 32);
    await store.addRequest(request('eve', { id: second }), 9, leaf('?'));
    const rejected = { decision: 'rejected', by: 'ada', signed: leaf('n'), atMs: 30 } as const;
    await store.decide(second, rejected, leaf('no'));
    assert.equal(await fault({ id: second }), 'approval-missing');
  });

  check('it is void when one of the two has lost the role since', async (stores) => {
    const store = await house(stores);
    await approve(store, 'bob');
    const lose = { name: 'eve', role: 'operator', change: 'withdraw', entry: leaf('r') } as const;
    await store.changeRole({ ...lose, atMs: 40 }, undefined);
    assert.equal(await store.begin(spending()), 'approval-role-lost');
    // Given back, it is not the same any more: what was asked for between is not to be trusted.
    await store.changeRole({ ...lose, change: 'grant', atMs: 45 }, undefined);
    assert.equal(await store.begin(spending()), 'approval-role-lost');

    const next = bytesOf('next', 32);
    await store.addRequest(request('eve', { id: next, takenMs: 60 }), 9, leaf('?'));
    const yes = { decision: 'approved', by: 'bob', signed: leaf('y'), atMs: 61 } as const;
    await store.decide(next, yes, leaf('yes'));
    assert.equal(await store.begin(spending({ id: next, atMs: 62 })), 'begun');
    await store.addOperator(person('kim', 'admin'), leaf('+'), undefined);
    await store.revokeOperator({ name: 'bob', atMs: 63, entry: leaf('-') }, undefined);
    assert.equal(await store.begin(spending({ id: next, atMs: 64 })), 'approval-role-lost');
  });

  check('an act that was begun goes on until it is finished', async (stores) => {
    const store = await house(stores);
    await approve(store);
    const before = await stores.audit.countLeaves();
    assert.equal(await store.begin(spending()), 'begun');
    assert.equal(await store.begin(spending({ atMs: 60 })), 'resumed');
    assert.equal(await stores.audit.countLeaves(), before + 1);
    const order = stores.orders.createOrder(orderRow(1, 1), [], leaf('1'), spending());
    assert.equal(await order, 'approval-spent');
    await store.finish(id, 70);
    await store.finish(id, 80);
    assert.equal((await store.request(id))?.doneMs, 70);
    assert.equal(await store.begin(spending({ atMs: 90 })), 'approval-spent');
  });

  check('nobody approves a request of their own, whatever the program says', async (stores) => {
    const store = await house(stores);
    await assert.rejects(approve(store, 'eve'));
    assert.equal((await store.request(id))?.decision, undefined);
  });

  check('requests are known by their hash, and bounded', async (stores) => {
    const store = await house(stores);
    assert.equal(await store.addRequest(request('eve'), 9, leaf('?')), 'known');
    const next = (number: number): NewRequest =>
      request('eve', { id: bytesOf(`next ${number}`, 32) });
    assert.equal(await store.addRequest(next(1), 2, leaf('?')), 'added');
    assert.equal(await store.addRequest(next(2), 2, leaf('?')), 'too-many');
    // What is late waits for nobody.
    const late = request('eve', { id: bytesOf('late', 32), takenMs: 100, expiresMs: 200 });
    assert.equal(await store.addRequest(late, 2, leaf('?')), 'added');
    assert.deepEqual(
      (await store.requests(2)).map((record) => record.id),
      [late.id, next(1).id],
    );
    assert.deepEqual(
      (await store.requests(1, late.id)).map((record) => record.id),
      [next(1).id],
    );
    assert.deepEqual(await store.requests(9, bytesOf('none', 32)), []);
  });

  check('one signature is enough where the act says so', async (stores) => {
    const store = await house(stores);
    assert.equal(await store.begin(spending({ approvers: undefined })), 'begun');
  });

  check('the limit of one person changes with an approval', async (stores) => {
    const store = await house(stores);
    assert.equal(await store.saveMassLimit(5, leaf('5'), spending()), 'approval-missing');
    await approve(store);
    assert.equal(await store.saveMassLimit(5, leaf('5'), spending()), 'saved');
    assert.equal((await store.mode())?.massLimit, 5);
  });

  check(
    'what one person changes in a day is counted, and forgotten a day later',
    async (stores) => {
      assert.equal(await stores.approvals.soleChangesLeft(0), undefined);
      assert.equal(await stores.approvals.takeSoleChanges(0, 0, [leaf('alone')]), false);
      const store = await house(stores);
      const leaves = await stores.audit.countLeaves();
      const hourMs = 3_600_000;
      assert.equal(await store.takeSoleChanges(60, 0, [leaf('60')]), true);
      assert.equal(await store.takeSoleChanges(30, 10 * hourMs, [leaf('30')]), true);
      assert.equal(await store.takeSoleChanges(11, 20 * hourMs, [leaf('11')]), false);
      assert.equal(await store.soleChangesLeft(20 * hourMs), 10);
      // A clock that was put back frees nothing.
      assert.equal(await store.soleChangesLeft(0), 10);
      assert.equal(await store.soleChangesLeft(25 * hourMs), 70);
      assert.equal(await store.takeSoleChanges(70, 25 * hourMs, []), true);
      assert.equal(await store.soleChangesLeft(25 * hourMs), 0);
      assert.equal(await stores.audit.countLeaves(), leaves + 2);
    },
  );
});
