/** Two persons: what is refused, and that what is approved is done once, as it was approved. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { encodeParameters } from '../../../src/trust/approvals/acts.ts';
import {
  encodeDecision,
  encodeRequest,
  signDocument,
} from '../../../src/trust/approvals/documents.ts';
import { Approved, Begun, Permissions } from '../../../src/trust/approvals/permissions.ts';
import { switchToTwoPersons } from '../../../src/trust/approvals/twoPersons.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { OrderRequest } from '../../../src/trust/ports/operatorAuthority.ts';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import { testSigner } from '../../support/issuing/world.ts';
import {
  hourMs,
  p384Request,
  requestOf,
  type TwoPersonHouse,
  twoPersonHouse,
} from '../../support/twoPersons.ts';

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

const code = (outcome: unknown): string => (isRefusal(outcome) ? outcome.refused : 'allowed');

/** What comes of ordering under that approval. */
async function place(
  { permissions, authority }: TwoPersonHouse,
  id: Uint8Array | undefined,
  request = order,
): Promise<string> {
  const approved = await permissions.allow('order.create', request, id);
  return code(isRefusal(approved) ? approved : await authority.orders.create(approved));
}

test('an order is placed by one and approved by another, and placed once', async (context) => {
  const house = await twoPersonHouse(context);
  assert.equal(await place(house, undefined), 'approval-needed');
  const id = await house.approved('order.create', order);
  assert.equal(await place(house, id), 'allowed');
  assert.equal(await place(house, id), 'approval-spent');
  assert.equal(await place(house, id, { ...order, order: 'order-2' }), 'other-bytes');
});

test('the log holds request, approval and use, and the act behind it', async (context) => {
  const house = await twoPersonHouse(context);
  const { auditStore } = house.authority;
  const before = await auditStore.countLeaves();
  const id = await house.approved('order.create', order);
  await place(house, id);
  const entries = (await auditStore.leaves(before, 9)).map(readAuditEntry);
  assert.deepEqual(
    entries.map(({ kind }) => kind),
    ['approval-requested', 'approval-decided', 'approval-used', 'ordered'],
  );
  const [asked, decided, used] = entries;
  const record = await house.store.request(id);
  assert.ok(asked?.kind === 'approval-requested' && decided?.kind === 'approval-decided');
  assert.deepEqual([asked.request, asked.signed], [id, record?.signed]);
  assert.deepEqual([decided.request, decided.signed], [id, record?.decision?.signed]);
  assert.ok(used?.kind === 'approval-used' && used.act === 'order.create');
});

test('every other order than the approved one is another one', async (context) => {
  const house = await twoPersonHouse(context);
  const id = await house.approved('order.create', order);
  const others: ReadonlyArray<Partial<OrderRequest>> = [
    { quantity: 11 },
    { product: 'other' },
    { leastProof: 'possession' },
    { serverIdentity: Uint8Array.of(0xa1, 1, 3) },
    { eui64First: new Uint8Array(8) },
    { batches: [{ batch: 'a', quantity: 10 }] },
  ];
  for (const change of others) {
    assert.equal(await place(house, id, { ...order, ...change }), 'other-bytes');
  }
  const close = await house.permissions.allow('batch.close', { batch: 'order-1' }, id);
  assert.equal(code(close), 'other-bytes');
  assert.equal(await place(house, id), 'allowed');
});

test('nobody approves for themselves, without the role, twice, or late', async (context) => {
  const house = await twoPersonHouse(context);
  const asked = await house.ask('eve', 'order.create', order);
  assert.ok(!isRefusal(asked));
  assert.equal(await place(house, asked.id), 'approval-missing');
  assert.equal(code(await house.decide('eve', asked.id, 'approved')), 'same-person');
  assert.equal(code(await house.decide('kim', asked.id, 'withdrawn')), 'wrong-role');
  const unknown = new Uint8Array(32);
  assert.equal(code(await house.decide('kim', unknown, 'approved')), 'approval-unknown');
  assert.equal(await place(house, unknown), 'approval-unknown');
  const role = await house.ask('ada', 'operator.grant', { name: 'eve', role: 'admin' });
  assert.ok(!isRefusal(role));
  assert.equal(code(await house.decide('kim', role.id, 'approved')), 'wrong-role');
  const byEve = await house.ask('eve', 'operator.grant', { name: 'eve', role: 'admin' });
  assert.equal(code(byEve), 'wrong-role');
  house.world.nowMs += hourMs;
  assert.equal(code(await house.decide('kim', asked.id, 'approved')), 'approval-expired');
});

test('two that use one approval at a time: the act happens once', async (context) => {
  const house = await twoPersonHouse(context);
  const station = { name: 'line-1', key: testSigner().publicKeySpki };
  const id = await house.approved('station.enrol', station);
  const acts: string[] = [];
  const done = async (permissions: Permissions, who: string): Promise<unknown> =>
    permissions.carryOut('station.enrol', station, id, async () => acts.push(who));
  const { store, world } = house;
  // Between the check of the second and its beginning, the first does it all.
  const late = new Permissions({
    crypto: nodeCrypto,
    clock: world.clock,
    store: {
      mode: () => store.mode(),
      operators: () => store.operators(),
      request: (of) => store.request(of),
      finish: (of, atMs) => store.finish(of, atMs),
      begin: async (spending) => {
        await done(house.permissions, 'first');
        return store.begin(spending);
      },
    },
  });
  assert.equal(code(await done(late, 'second')), 'approval-spent');
  assert.deepEqual(acts, ['first']);
});

test('one person has so many requests waiting, and no more', async (context) => {
  const house = await twoPersonHouse(context);
  for (let number = 1; number <= 100; number++) {
    const asked = await house.ask('eve', 'order.create', { ...order, order: `order-${number}` });
    assert.ok(!isRefusal(asked), String(number));
  }
  assert.equal(code(await house.ask('eve', 'order.create', order)), 'too-many');
  assert.ok(!isRefusal(await house.ask('ada', 'operator.revoke', { name: 'eve' })));
});

test('rejected or withdrawn is the end of a request', async (context) => {
  const house = await twoPersonHouse(context);
  for (const [by, decision] of [
    ['kim', 'rejected'],
    ['eve', 'withdrawn'],
  ] as const) {
    const asked = await house.ask('eve', 'order.create', order);
    assert.ok(!isRefusal(asked));
    assert.equal(code(await house.decide(by, asked.id, decision)), 'allowed');
    assert.equal(code(await house.decide('kim', asked.id, 'approved')), 'decided');
    assert.equal(await place(house, asked.id), 'approval-missing');
  }
});

test('an approval is void when it is late', async (context) => {
  const house = await twoPersonHouse(context);
  const id = await house.approved('order.create', order);
  house.world.nowMs += hourMs - 1;
  const inTime = await house.permissions.allow('order.create', order, id);
  house.world.nowMs += 1;
  assert.equal(await place(house, id), 'approval-expired');
  // Allowed a moment before, and done a moment later: what counts is when it was allowed.
  assert.ok(!isRefusal(inTime));
  assert.equal(code(await house.authority.orders.create(inTime)), 'allowed');
});

test('an approval is void when one of the two has lost the role since', async (context) => {
  for (const loser of ['eve', 'kim'] as const) {
    const house = await twoPersonHouse(context);
    const id = await house.approved('order.create', order);
    const approved = await house.permissions.allow('order.create', order, id);
    assert.ok(!isRefusal(approved));
    const role = { name: loser, role: 'operator' } as const;
    const asked = await house.ask('ada', 'operator.withdraw', role);
    assert.ok(!isRefusal(asked));
    const withdraw = await house.permissions.allow('operator.withdraw', role, asked.id);
    assert.ok(!isRefusal(withdraw));
    assert.equal(await house.operators.changeRole(withdraw), undefined);
    assert.equal(await place(house, id), 'approval-role-lost');
    // Between the check and the transaction the transaction decides.
    assert.equal(code(await house.authority.orders.create(approved)), 'approval-role-lost');
  }
});

test('who is revoked signs nothing, and what they signed is void', async (context) => {
  const house = await twoPersonHouse(context);
  const id = await house.approved('order.create', order);
  const asked = await house.ask('bob', 'operator.revoke', { name: 'kim' });
  assert.ok(!isRefusal(asked));
  const revoke = await house.permissions.allow('operator.revoke', { name: 'kim' }, asked.id);
  assert.ok(!isRefusal(revoke));
  assert.equal(await house.operators.revoke(revoke), undefined);
  assert.equal(await place(house, id), 'approval-role-lost');
  assert.equal(code(await house.ask('kim', 'order.create', order)), 'unknown-operator');
  const [certificate] = await house.authority.issuanceStore.certificatesOf('kim');
  assert.notEqual(certificate?.revokedMs, undefined);
});

test('a signature of somebody else, over something else, or of no form is none', async (context) => {
  const house = await twoPersonHouse(context);
  const mode = await house.store.mode();
  assert.ok(mode);
  const document = encodeRequest({
    installation: mode.installation,
    act: 'order.create',
    parameters: encodeParameters(order),
    requester: 'eve',
    requestedMs: house.world.nowMs,
    expiresMs: house.world.nowMs + hourMs,
    nonce: nodeCrypto.random(16),
  });
  const signed = await signDocument(house.signers.kim, document);
  assert.equal(code(await house.desk.submit(signed)), 'bad-signature');
  assert.equal(code(await house.desk.submit(signed.subarray(1))), 'malformed');
  const good = await signDocument(house.signers.eve, document);
  const changed = good.slice();
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  assert.equal(code(await house.desk.submit(changed)), 'bad-signature');
  assert.equal(code(await house.desk.submit(good)), 'allowed');
  assert.equal(code(await house.desk.submit(good)), 'allowed', 'the same once more is the same');
  assert.equal(
    (await house.desk.requests(9)).filter(({ act }) => act === 'order.create').length,
    1,
  );
  const elsewhere = { installation: new Uint8Array(16) };
  assert.equal(
    code(await house.ask('eve', 'order.create', order, elsewhere)),
    'other-installation',
  );
  // A request is no decision, whoever signed it.
  assert.equal(code(await house.desk.decide(good)), 'malformed');
  assert.ok(house.notes.length >= 5);
  assert.ok(house.notes.every(({ door }) => door === 'approvals'));
});

test('times that cannot be are refused', async (context) => {
  const house = await twoPersonHouse(context);
  const { nowMs } = house.world;
  const times = [
    [{ requestedMs: nowMs + hourMs, expiresMs: nowMs + 2 * hourMs }, 'bad-time'],
    [{ expiresMs: nowMs + 31 * 24 * hourMs }, 'bad-time'],
    [{ requestedMs: nowMs - 2 * hourMs, expiresMs: nowMs - hourMs }, 'approval-expired'],
    [{ expiresMs: nowMs }, 'bad-time'],
  ] as const;
  for (const [changes, refused] of times) {
    assert.equal(code(await house.ask('eve', 'order.create', order, changes)), refused);
  }
  const asked = await house.ask('eve', 'order.create', order);
  assert.ok(!isRefusal(asked));
  const mode = await house.store.mode();
  assert.ok(mode);
  const said = { installation: mode.installation, request: asked.id, by: 'kim' } as const;
  const early = encodeDecision({ ...said, decision: 'approved', atMs: nowMs + hourMs });
  const signed = await signDocument(house.signers.kim, early);
  assert.equal(code(await house.desk.decide(signed)), 'bad-time');
});

test('a certificate that has ended signs no more, until it is renewed', async (context) => {
  const house = await twoPersonHouse(context);
  house.world.nowMs += 366 * 24 * hourMs;
  assert.equal(code(await house.ask('eve', 'order.create', order)), 'operator-expired');
  const other = requestOf(testSigner());
  assert.equal(code(await house.operators.renew('eve', other)), 'key-taken');
  assert.equal(code(await house.operators.renew('nobody', other)), 'unknown');
  assert.ok(!isRefusal(await house.operators.renew('eve', requestOf(house.signers.eve))));
  assert.equal(code(await house.ask('eve', 'order.create', order)), 'allowed');
});

test('rows that somebody else wrote are no approval', async (context) => {
  const house = await twoPersonHouse(context);
  const asked = await house.ask('eve', 'order.create', order);
  const other = await house.approved('order.create', { ...order, order: 'order-2' });
  assert.ok(!isRefusal(asked));
  house.authority.database
    .prepare(
      `UPDATE approvals SET decision = 'approved', decided_ms = 1e15,
         decided_by = (SELECT id FROM operators WHERE name = 'kim'),
         decision_signed = (SELECT decision_signed FROM approvals WHERE sha256 = ?)
       WHERE sha256 = ?`,
    )
    .run(other, asked.id);
  assert.equal(await place(house, asked.id), 'bad-signature');
});

test('operators are added with a key of their own, and roles exclude each other', async (context) => {
  const house = await twoPersonHouse(context);
  const add = async (name: string, request: Uint8Array, key: Uint8Array): Promise<string> => {
    const operator = { name, role: 'auditor', key } as const;
    const id = await house.approved('operator.add', operator, 'ada', 'bob');
    const approved = await house.permissions.allow('operator.add', operator, id);
    return code(isRefusal(approved) ? approved : await house.operators.add(approved, request));
  };
  const signer = testSigner();
  const { publicKeySpki } = signer;
  assert.equal(await add('lea', requestOf(testSigner()), publicKeySpki), 'other-bytes');
  assert.equal(await add('eve', requestOf(signer), publicKeySpki), 'taken');
  assert.equal(await add('no name', requestOf(signer), publicKeySpki), 'invalid');
  const kim = house.signers.kim;
  assert.equal(await add('lea', requestOf(kim), kim.publicKeySpki), 'key-taken');
  assert.equal(await add('lea', p384Request(), publicKeySpki), 'other-bytes');
  assert.equal(await add('lea', requestOf(signer), publicKeySpki), 'allowed');
  const role = { name: 'lea', role: 'admin' } as const;
  const id = await house.approved('operator.grant', role, 'ada', 'bob');
  const grant = await house.permissions.allow('operator.grant', role, id);
  assert.ok(!isRefusal(grant));
  assert.equal(code(await house.operators.changeRole(grant)), 'excluded');
  // What was refused has spent nothing.
  assert.equal((await house.store.request(id))?.spentMs, undefined);
});

test('there is no way back, and no way there with one person', async (context) => {
  const house = await twoPersonHouse(context);
  const shared = { store: house.store, crypto: nodeCrypto, clock: house.world.clock };
  const [ada, bob] = await house.operators.operators();
  assert.ok(ada && bob);
  assert.equal(code(await switchToTwoPersons(shared, [ada, bob], 5)), 'already-on');
  assert.equal((await house.store.mode())?.massLimit, 100);
  for (const admins of [
    [],
    [ada],
    [ada, { ...ada, name: 'bob' }],
    [ada, { ...bob, name: 'ada' }],
  ]) {
    assert.equal(code(await switchToTwoPersons(shared, admins, 5)), 'too-few-admins');
  }
});

test('nobody makes a permission but the check', async (context) => {
  const house = await twoPersonHouse(context);
  const id = await house.approved('order.create', order);
  const approved = await house.permissions.allow('order.create', order, id);
  assert.ok(!isRefusal(approved));
  const begun = await house.permissions.begin(approved);
  assert.ok(!isRefusal(begun));
  const forged: unknown[] = [Symbol('checked'), undefined, {}];
  for (const token of forged) {
    assert.throws(() => Reflect.construct(Approved, [token, 'order.create', order, 0]), TypeError);
    assert.throws(() => Reflect.construct(Begun, [token, approved, false]), TypeError);
  }
});
