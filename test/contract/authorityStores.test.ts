/** What the authority keeps beside T1 and T2: orders, the log, status and lists, elements of others, grants. */
import assert from 'node:assert/strict';
import { InvariantError } from '../../src/trust/ports/faults.ts';
import type { ForeignDevice } from '../../src/trust/ports/foreignStore.ts';
import type { Revocation } from '../../src/trust/ports/issuanceStore.ts';
import type { UnitState } from '../../src/trust/ports/orderStore.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { eui64Plus } from '../../src/wire/bytes/eui64.ts';
import { encodeRevokedEntry } from '../../src/wire/crl/certificateList.ts';
import {
  authorityKeyIdentifier,
  encodeExtension,
  subjectKeyIdentifier,
} from '../../src/wire/x509/extensions.ts';
import {
  bytesOf,
  certificateIntent,
  issuingBackends,
  type IssuingStores,
  leaf,
  openTicket,
  orderRow,
  ticketRow,
  unitIntent,
} from '../support/issuingStores.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { contract } from '../support/storeBackends.ts';

async function issue(
  { issuance }: IssuingStores,
  intents: Parameters<IssuingStores['issuance']['begin']>[0],
): Promise<readonly number[]> {
  const ids = (await issuance.begin(intents)).map((outcome) =>
    'taken' in outcome ? outcome.taken : 0,
  );
  const completions = ids.map((id) => ({
    id,
    signature: bytesOf(`s ${id}`, 32),
    entry: leaf('i'),
  }));
  await issuance.complete(completions);
  return ids;
}

const revocation = (number: number, changes: Partial<Revocation> = {}): Revocation => ({
  serialNumber: bytesOf(`serial ${number}`, 16),
  code: 'keyCompromise',
  reason: 'lost',
  atMs: 7_000_000,
  entry: leaf(`revoked ${number}`),
  ...changes,
});

contract('authority stores', issuingBackends, (check) => {
  check(
    'an order comes back as it was given, and its name and addresses are its own',
    async (s) => {
      const { orders } = s;
      assert.equal(await orders.eui64After(), undefined);
      const order = orderRow(1, 10);
      const batches = ['a', 'b'].map((batch) => ({
        batch,
        order: order.order,
        quantity: 5,
        closedMs: undefined,
      }));
      assert.equal(await orders.createOrder(order, batches, leaf('1')), 'created');
      assert.deepEqual(await orders.order(order.order), order);
      assert.deepEqual(await orders.batches(order.order), batches);
      assert.deepEqual(await orders.batch('b'), batches[1]);
      assert.equal(await orders.batch('c'), undefined);
      assert.equal(await orders.order('nothing'), undefined);
      assert.deepEqual(await orders.eui64After(), eui64Plus(order.eui64First, 10));
      const next = { ...orderRow(2, 1), eui64First: eui64Plus(order.eui64First, 9) ?? leaf('') };
      assert.equal(await orders.createOrder(order, [], leaf('2')), 'order-exists');
      assert.equal(await orders.createOrder(next, batches, leaf('2')), 'batch-exists');
      assert.equal(await orders.createOrder(next, [], leaf('2')), 'eui64-overlap');
      assert.equal(await orders.createOrder(orderRow(2, 1), [], leaf('2')), 'created');
      assert.equal((await orders.orders(1))[0]?.order, 'order-2');
      assert.deepEqual(await orders.orders(9, 'order-2'), [order]);
      assert.deepEqual(await orders.orders(9, 'none'), []);
      assert.deepEqual(await s.audit.leaves(0, 9), [leaf('1'), leaf('2')]);
    },
  );

  check('tickets share out their batch, and keep the first key they are opened with', async (s) => {
    const { orders } = s;
    const first = await openTicket(s, 5);
    const outcomes = await Promise.all(
      [ticketRow(2, 'order-1', 1), ticketRow(3, 'none', 1)].map((one) =>
        orders.createTicket(one, leaf('x')),
      ),
    );
    assert.deepEqual(outcomes, ['batch-exhausted', 'unknown-batch']);
    const key = { sealedPrivateKey: bytesOf('sealed', 32), publicKey: bytesOf('public', 32) };
    const other = { sealedPrivateKey: bytesOf('s', 32), publicKey: bytesOf('p', 32) };
    const opened = await orders.openTicket(first.ticketId, key);
    assert.deepEqual(opened, { ...first, agreeKey: key });
    assert.deepEqual(await orders.openTicket(first.ticketId, other), opened);
    assert.equal(await orders.openTicket(bytesOf('none', 16), key), undefined);
    assert.deepEqual(await orders.tickets('order-1'), [opened]);
    await orders.saveSetting('name', leaf('a'));
    await orders.saveSetting('name', leaf('b'));
    assert.deepEqual(await orders.setting('name'), leaf('b'));
    assert.equal(await orders.setting('other'), undefined);
  });

  check('a batch from its first unit to its close', async (s) => {
    const { orders, audit } = s;
    const { ticketId } = await openTicket(s, 4);
    await issue(
      s,
      [1, 2, 3].map((number) => unitIntent(number, { ticketId })),
    );
    const change = (number: number, to: UnitState, extra: object = {}) => ({
      uid: bytesOf(`uid ${number}`, 9),
      from: ['endorsed', 'verified'] as const,
      to,
      reason: '',
      atMs: 5,
      revocation: undefined,
      ...extra,
    });
    const before = await audit.countLeaves();
    const outcomes = await orders.changeUnits(ticketId, [
      change(1, 'locked'),
      change(2, 'scrapped', { reason: 'broken', revocation: revocation(2) }),
      change(9, 'locked'),
      change(1, 'returned'),
      change(1, 'locked'),
    ]);
    assert.deepEqual(outcomes, ['done', 'done', 'unknown-unit', 'wrong-state', 'done']);
    assert.equal(await audit.countLeaves(), before + 1);
    const counts = { issued: 3, released: 1, scrapped: 1, returned: 0 };
    assert.deepEqual(await orders.countTicket(ticketId), counts);
    const close = { ticketId, counts, atMs: 6, entry: leaf('closed') };
    assert.deepEqual(await orders.closeTicket(close), { closed: false, counts });
    await orders.changeUnits(ticketId, [change(3, 'returned')]);
    const all = { ...counts, returned: 1 };
    for (let again = 0; again < 2; again++) {
      const closed = await orders.closeTicket({ ...close, counts: all });
      assert.deepEqual(closed, { closed: true, counts: all });
    }
    assert.equal(await audit.countLeaves(), before + 2);
    assert.deepEqual(await orders.countBatch('order-1'), { ...all, openTickets: 0 });
    const locked = { state: 'locked', after: 0, limit: 1 } as const;
    const page = await orders.unitsOfBatch('order-1', locked);
    assert.deepEqual(
      page.units.map(({ deviceId, state }) => [deviceId, state]),
      [[deviceIdOf(1), 'locked']],
    );
    const rest = await orders.unitsOfBatch('order-1', { ...locked, after: page.next ?? 0 });
    assert.deepEqual(rest, { units: [], next: undefined });
    await openTicket(s, 1, 2);
    for (const batch of ['order-2', 'order-1', 'order-1']) {
      assert.equal(await orders.closeBatch({ batch, atMs: 9, entry: leaf(batch) }), 'closed');
    }
    const none = { batch: 'none', atMs: 9, entry: leaf('x') };
    assert.equal(await orders.closeBatch(none), 'unknown-batch');
    assert.deepEqual(await orders.closedBatches(0, 9), [
      { sequence: 1, batch: 'order-2' },
      { sequence: 2, batch: 'order-1' },
    ]);
    assert.equal((await orders.closedBatches(1, 9)).length, 1);
    assert.equal(await orders.createTicket(ticketRow(8, 'order-1', 1), leaf('x')), 'batch-closed');
    assert.equal((await orders.units('software', [bytesOf('uid 2', 9)]))[0]?.reason, 'broken');
  });

  check('leaves have no gap, whoever writes them; nobody stores two histories', async (s) => {
    const { audit } = s;
    await Promise.allSettled([
      audit.append([leaf('a'), leaf('b')]),
      s.issuance.revoke([revocation(1)]),
      openTicket(s, 3),
      audit.append([]),
      s.grants.savePolicy(
        { profile: 'p', approval: 'none', afterExpiry: { kind: 'never' } },
        leaf('policy'),
      ),
    ]);
    const count = await audit.countLeaves();
    assert.equal(count, 5);
    const all = await audit.leaves(0, 9);
    assert.equal(all.length, 5);
    assert.deepEqual(await audit.leaves(2, 2), all.slice(2, 4));
    assert.equal(await audit.head(), undefined);
    const head = (treeSize: number, root: string) => ({
      treeSize,
      root: bytesOf(root, 32),
      subtrees: [bytesOf(`${root} left`, 32), bytesOf(`${root} right`, 32)],
      atMs: 77,
    });
    await audit.saveHead(head(3, 'three'));
    await audit.saveHead(head(5, 'five'));
    await audit.saveHead(head(5, 'five'));
    await audit.saveHead(head(3, 'three'));
    assert.deepEqual(await audit.head(), head(5, 'five'));
    assert.deepEqual(await audit.rootAt(3), bytesOf('three', 32));
    assert.equal(await audit.rootAt(4), undefined);
    await assert.rejects(audit.saveHead(head(5, 'other')), InvariantError);
    await assert.rejects(audit.saveHead(head(4, 'four')), InvariantError);
  });

  check('status: what follows what, and which list has to show it', async (s) => {
    const { issuance, status } = s;
    const lists = { authority: 'operational', shards: 4, baseUrl: 'http://crl.example' };
    assert.deepEqual(await status.createLists(lists), lists);
    assert.deepEqual(await status.createLists({ ...lists, shards: 1 }), lists);
    assert.deepEqual(await status.authorityLists(), [lists]);
    await issue(s, [certificateIntent(1), certificateIntent(2)]);
    const change = async (...changes: Array<Partial<Revocation>>) =>
      issuance.revoke(changes.map((one) => revocation(1, one)));
    const statusNow = async () => (await status.statusOf(bytesOf('serial 1', 16)))?.status;
    assert.deepEqual(await statusNow(), { kind: 'good' });
    assert.equal(await change({ code: 'removeFromCRL' }), 0);
    assert.equal(await change({ code: 'certificateHold' }, { code: 'certificateHold' }), 1);
    assert.equal((await issuance.certificatesOf('holder-1'))[0]?.held, true);
    assert.equal(await change({ code: 'removeFromCRL' }), 1);
    assert.deepEqual(await statusNow(), { kind: 'good' });
    assert.equal(await change({}, {}), 1);
    assert.equal(await change({ code: 'certificateHold' }, { code: 'removeFromCRL' }), 0);
    assert.deepEqual(await statusNow(), {
      kind: 'revoked',
      revokedAtMs: 7_000_000,
      reason: 'keyCompromise',
    });
    assert.deepEqual(await issuance.countCertificates(), { issued: 2, revoked: 1 });
    const notes = await status.changesAfter(0, 9);
    assert.deepEqual(notes, [{ change: await status.lastChange(), holder: 'holder-1' }]);
    assert.equal(await status.statusOf(bytesOf('unknown', 16)), undefined);
    const before = await s.audit.countLeaves();
    await assert.rejects(issuance.revoke([revocation(2), revocation(9)]), InvariantError);
    assert.equal(await s.audit.countLeaves(), before);
    assert.equal((await issuance.certificatesOf('holder-2'))[0]?.revokedMs, undefined);
  });

  check('an authority of before keys were told apart gets what its key has issued', async (s) => {
    const { issuance, status } = s;
    const lists = { authority: 'operational', shards: 4, baseUrl: 'http://crl.example' };
    await status.createLists(lists);
    const keyIdentifier = bytesOf('key 2', 20);
    const byOther = encodeExtension(authorityKeyIdentifier(bytesOf('key 1', 20)));
    const byIt = encodeExtension(authorityKeyIdentifier(keyIdentifier));
    const itself = encodeExtension(subjectKeyIdentifier(keyIdentifier));
    const natively = concat(Uint8Array.of(0x58, 0x20, 0x54), keyIdentifier);
    await issue(s, [
      certificateIntent(1, { tbs: byIt }),
      // Its own certificate, by the other key.
      certificateIntent(2, { tbs: concat(itself, byOther) }),
      certificateIntent(3, { tbs: byIt }),
      certificateIntent(4, { tbs: byOther }),
      certificateIntent(5, { tbs: natively }),
      certificateIntent(6, { tbs: byIt, issuer: 'server' }),
    ]);
    await issuance.revoke([2, 3, 4, 5].map((number) => revocation(number)));
    const before = new Map<number, number>();
    for (const { id, revision } of await status.pendingLists(['operational'], 0)) {
      before.set(id, revision);
    }
    const [one] = await status.pendingLists(['operational'], 0);
    assert.ok(one);
    await status.takeNumber(one.id);
    const inheritance = { from: 'operational', keyIdentifier };
    const next = { ...lists, authority: 'operational-2' };
    assert.deepEqual(await status.createLists(next, inheritance), next);
    assert.deepEqual(await status.createLists({ ...next, shards: 1 }, inheritance), next);
    const owner = async (number: number) =>
      (await status.statusOf(bytesOf(`serial ${number}`, 16)))?.authority;
    // The first is older than the key's own certificate, so it cannot be by that key.
    assert.deepEqual(await Promise.all([1, 2, 3, 4, 5, 6].map(owner)), [
      'operational',
      'operational',
      'operational-2',
      'operational',
      'operational-2',
      'server',
    ]);
    const counts = new Map<string, number>();
    for (const { id, authority, revision } of await status.pendingLists(
      ['operational', 'operational-2'],
      0,
    )) {
      const { count } = await status.entries(id, 0, 9);
      counts.set(authority, (counts.get(authority) ?? 0) + count);
      // What it lost has to be shown, too.
      assert.ok(revision > (before.get(id) ?? 0));
    }
    assert.deepEqual(Object.fromEntries(counts), { operational: 2, 'operational-2': 2 });
    const heir = (await status.pendingLists(['operational-2'], 0)).find(
      ({ shard }) => shard === one.shard,
    );
    assert.equal(await status.takeNumber(heir?.id ?? 0), 2);
    const unknown = { from: 'operational', keyIdentifier: bytesOf('key 9', 20) };
    await status.createLists({ ...lists, authority: 'operational-3' }, unknown);
    assert.equal(await owner(3), 'operational-2');
  });

  check(
    'lists: numbers go up, entries come in pages, what is regular drops the expired',
    async (s) => {
      const { issuance, status, audit } = s;
      await issue(s, [
        certificateIntent(1),
        certificateIntent(2, { notAfterMs: 10 }),
        certificateIntent(3),
      ]);
      await issuance.revoke([1, 2, 3].map((number) => revocation(number)));
      const [pending, ...others] = await status.pendingLists(['operational'], 50);
      assert.ok(pending !== undefined && others.length === 0);
      assert.deepEqual(await status.pendingLists(['factory'], 50), []);
      const entry = (number: number) =>
        encodeRevokedEntry({
          serialNumber: bytesOf(`serial ${number}`, 16),
          revokedAtMs: 7_000_000,
          reason: 'keyCompromise',
        });
      const page = await status.entries(pending.id, 0, 2);
      assert.deepEqual([page.entries, page.count], [concat(entry(1), entry(2)), 2]);
      const rest = await status.entries(pending.id, page.next ?? 0, 2);
      assert.deepEqual(rest, { entries: entry(3), count: 1, next: undefined });
      const numbers = await Promise.all([1, 2, 3].map(() => status.takeNumber(pending.id)));
      assert.deepEqual(numbers, [1, 2, 3]);
      const list = {
        ...pending,
        number: 3,
        thisUpdateMs: 100,
        nextUpdateMs: 900,
        nextRegularMs: 500,
        lastChange: await status.lastChange(),
        count: 3,
        der: bytesOf('list', 32),
        entry: leaf('list'),
      };
      await status.saveList(list);
      await assert.rejects(status.saveList({ ...list, number: 2 }), InvariantError);
      assert.deepEqual(await status.pendingLists(['operational'], 499), []);
      assert.equal((await status.pendingLists(['operational'], 500))[0]?.regular, true);
      assert.equal((await status.entries(pending.id, 0, 9)).count, 2);
      const summary = {
        authority: 'operational',
        shard: 0,
        number: 3,
        thisUpdateMs: 100,
        nextUpdateMs: 900,
        count: 3,
        publication: 1,
      };
      assert.deepEqual(await status.list(pending), { ...summary, der: list.der });
      assert.deepEqual(await status.listsAfter(0, 9), [summary]);
      assert.deepEqual(await status.listsAfter(await status.lastPublication(), 9), []);
      assert.equal(await status.list({ authority: 'operational', shard: 1 }), undefined);
      assert.deepEqual(await audit.leaves((await audit.countLeaves()) - 1, 1), [leaf('list')]);
      assert.equal((await status.entries(99, 0, 9)).count, 0);
    },
  );

  check('elements of others are bound once, and no more than was decided', async (s) => {
    const { foreign, audit } = s;
    const anchor = {
      product: 'sensor',
      certificate: leaf('anchor'),
      sha256: bytesOf('anchor', 32),
      count: 2,
      pinnedMs: 1,
    };
    const device = (number: number): Omit<ForeignDevice, 'revokedMs'> => ({
      deviceId: deviceIdOf(number),
      product: 'sensor',
      certificateSha256: bytesOf(`certificate ${number}`, 32),
      keyIdentifier: bytesOf(`key ${number}`, 20),
      boundMs: 3,
    });
    const bind = (one: Omit<ForeignDevice, 'revokedMs'>) =>
      foreign.bind(one, anchor.sha256, leaf('bound'));
    assert.equal(await bind(device(1)), 'no-anchor');
    await foreign.pin(anchor, leaf('pinned'));
    assert.deepEqual(await Promise.all([1, 1, 2, 3].map((number) => bind(device(number)))), [
      'bound',
      'known',
      'bound',
      'quota-exhausted',
    ]);
    assert.equal(await bind({ ...device(1), certificateSha256: bytesOf('x', 32) }), 'taken');
    assert.equal(await bind({ ...device(4), keyIdentifier: device(1).keyIdentifier }), 'taken');
    await foreign.pin({ ...anchor, count: 3 }, leaf('more'));
    assert.equal(await bind(device(3)), 'bound');
    assert.deepEqual(await foreign.anchors(), [
      { ...anchor, count: 3, taken: 3, retiredMs: undefined },
    ]);
    assert.equal(await foreign.deviceOfKey(bytesOf('key 2', 20)), deviceIdOf(2));
    assert.equal(await foreign.deviceOfCertificate(bytesOf('certificate 2', 32)), deviceIdOf(2));
    assert.equal(await foreign.deviceOfCertificate(bytesOf('none', 32)), undefined);
    const revoke = () => foreign.revoke(deviceIdOf(2), 8, leaf('revoked'));
    assert.deepEqual([await revoke(), await revoke()], [true, false]);
    assert.equal((await foreign.device(deviceIdOf(2)))?.revokedMs, 8);
    const retirement = {
      product: 'sensor',
      sha256: anchor.sha256,
      atMs: 9,
      entry: leaf('retired'),
    };
    const retire = () => foreign.retire(retirement);
    assert.deepEqual([await retire(), await retire()], ['retired', 'unknown']);
    assert.equal(await bind(device(5)), 'no-anchor');
    assert.equal(await audit.countLeaves(), 7);
  });

  check('approvals and policies', async (s) => {
    const { grants, audit } = s;
    const request = {
      deviceId: deviceIdOf(1),
      keyIdentifier: bytesOf('key', 20),
      profile: 'ldevid',
      cause: 'first',
      requestedMs: 4,
    } as const;
    const other = { ...request, keyIdentifier: bytesOf('other', 20) };
    const asked = [request, other, { ...request, profile: 'x' }].map((one) =>
      grants.askApproval(one, 2),
    );
    assert.deepEqual(await Promise.all(asked), [true, true, false]);
    const [first, second] = await grants.approvals(9);
    assert.ok(first !== undefined && second !== undefined);
    const decide = () => grants.decide(first.id, 'approved', 'anna', 5, leaf('decided'));
    assert.deepEqual([await decide(), await decide()], [true, false]);
    const approval = await grants.approval(request);
    assert.deepEqual(approval, {
      ...request,
      id: first.id,
      decision: 'approved',
      decidedBy: 'anna',
      decidedMs: 5,
      spentOn: undefined,
    });
    const intents = [first, second].map(({ id }, index) =>
      certificateIntent(index, { grants: [{ kind: 'approval', id }] }),
    );
    const outcomes = await s.issuance.begin(intents);
    assert.deepEqual(
      outcomes.map((outcome) => 'taken' in outcome),
      [true, false],
    );
    assert.deepEqual((await grants.approval(request))?.spentOn, bytesOf('serial 0', 16));
    const policy = {
      profile: 'ldevid',
      approval: 'first',
      afterExpiry: { kind: 'never' },
    } as const;
    const within = { ...policy, afterExpiry: { kind: 'within', days: 9 } } as const;
    await grants.savePolicy(policy, leaf('policy'));
    await grants.savePolicy(within, leaf('policy'));
    assert.deepEqual(await grants.policies(), [within]);
    const secret = {
      deviceId: deviceIdOf(1),
      product: 'p',
      profile: 'x',
      createdMs: 1,
      expiresMs: 2,
    };
    const id = await grants.addSecret(secret, bytesOf('secret', 32), leaf('secret'));
    assert.ok(typeof id === 'number');
    const keys = [bytesOf('a', 20), bytesOf('b', 20)].map((key) => grants.bindSecret(id, key));
    assert.deepEqual(await Promise.all(keys), [bytesOf('a', 20), bytesOf('a', 20)]);
    assert.equal(await grants.voidSecret(id, 3, leaf('void')), true);
    assert.equal((await grants.secrets(9))[0]?.voidedMs, 3);
    assert.equal(await audit.countLeaves(), 5);
  });
});
