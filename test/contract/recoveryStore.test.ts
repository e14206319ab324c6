/** What a restored database learns again, on every store: addresses, anchors, profiles, cases, roles. */
import assert from 'node:assert/strict';
import { skippedAddresses } from '../../src/apps/store/relearn.ts';
import { settledCase } from '../../src/apps/store/restoredAuthorities.ts';
import { type AuthorityRecord, defaultBook } from '../../src/apps/authority/book.ts';
import { type AuditEntry, encodeAuditEntry, readAuditEntry } from '../../src/trust/audit/entry.ts';
import { caseDocument, type LossCase, parseCase } from '../../src/trust/ports/lossCase.ts';
import type { Lesson } from '../../src/trust/ports/recoveryStore.ts';
import type { LedgerLine } from '../../src/trust/ports/ticketLedger.ts';
import { eui64Plus } from '../../src/wire/bytes/eui64.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { issuingBackends, type IssuingStores, leaf, orderRow } from '../support/issuingStores.ts';
import { sha256Of } from '../support/registrySamples.ts';
import { closing, decision, learn, nobody, nowMs } from '../support/relearning.ts';
import { contract } from '../support/storeBackends.ts';

const base = Uint8Array.of(2, 0, 0, 1, 0, 0, 0, 0);
const certificate = Uint8Array.of(1, 2, 3);
const sha256 = sha256Of(certificate);

const anchor = (product: string, count: number): AuditEntry => ({
  kind: 'foreign-anchor',
  product,
  certificateSha256: sha256,
  count,
  atMs: 500,
});

async function anchorsOf({ foreign }: IssuingStores): Promise<readonly unknown[]> {
  return (await foreign.anchors()).map(
    ({ product, certificate: { length }, count, taken, retiredMs }) => [
      product,
      length,
      count,
      taken,
      retiredMs,
    ],
  );
}

contract('recovery', issuingBackends, (check) => {
  check('it is demanded, learnt, ready, and over with a leaf', async (stores) => {
    const { recovery, audit } = stores;
    assert.equal(await recovery.recovery(), undefined);
    await recovery.demand();
    assert.deepEqual(await recovery.recovery(), { phase: 'demanded', report: {} });
    const report = await learn(stores, []);
    await recovery.demand();
    assert.deepEqual(await recovery.recovery(), { phase: 'learnt', report });
    await recovery.finish();
    assert.deepEqual(await recovery.recovery(), { phase: 'ready', report });
    await recovery.release(encodeAuditEntry(decision('released', 'recovery', '')));
    assert.equal(await recovery.recovery(), undefined);
    const leaves = (await audit.leaves(0, 10)).map((leaf) => readAuditEntry(leaf));
    assert.deepEqual(
      leaves.map((entry) => entry.kind === 'decision' && entry.act),
      ['new-log', 'released'],
    );
  });

  check(
    'without a ledger addresses are left out, also of before the first order',
    async (stores) => {
      const ledger = [skippedAddresses(base, 1_000, nowMs)];
      assert.equal((await learn(stores, [], { ledger })).lostOrders, 1);
      const next = await stores.orders.eui64After();
      assert.deepEqual(next, Uint8Array.of(2, 0, 0, 1, 0, 0, 0x03, 0xe8));
      const last = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe);
      assert.throws(() => skippedAddresses(last, 1_000, nowMs), /leave the address space/);
    },
  );

  check(
    'addresses by which an order was raised after the backup are not given again',
    async (s) => {
      const order = orderRow(1, 5);
      const batch = { batch: 'order-1', order: 'order-1', quantity: 5, closedMs: undefined };
      await s.orders.createOrder(order, [batch], leaf('ordered'));
      const line = (quantity: number): LedgerLine => {
        const batches = [{ batch: 'order-1', quantity }];
        return { kind: 'order', order: { ...order, quantity }, batches };
      };
      assert.equal((await learn(s, [], { ledger: [line(5), line(8)] })).lostOrders, 0);
      assert.deepEqual(await s.orders.eui64After(), eui64Plus(order.eui64First, 8));
      assert.equal((await s.orders.batch('order-1'))?.quantity, 8);
      assert.equal((await s.orders.order('order-1'))?.quantity, 8);
    },
  );

  check('an anchor that was retired stays retired, and a count what it became', async (stores) => {
    for (const product of ['gone', 'more']) {
      const pinned = { product, certificate, sha256, count: 10, pinnedMs: 1 };
      await stores.foreign.pin(pinned, encodeAuditEntry(anchor(product, 10)));
    }
    const report = await learn(stores, [anchor('gone', 0), anchor('more', 20)]);
    assert.equal(report.unpinnedAnchors, 0);
    assert.deepEqual(await anchorsOf(stores), [
      ['gone', 3, 10, 0, 500],
      ['more', 3, 20, 0, undefined],
    ]);
  });

  check(
    'an anchor of after the backup is pinned with its certificate, and retired without',
    async (stores) => {
      const device = {
        kind: 'foreign-device',
        deviceId: '0123456789abcdef',
        certificateSha256: sha256Of(Uint8Array.of(7)),
        anchorSha256: sha256,
        atMs: 600,
      } as const;
      const revoked = {
        kind: 'foreign-revoked',
        deviceId: device.deviceId,
        reason: 'x',
        atMs: 700,
      } as const;
      const report = await learn(stores, [
        anchor('meter', 10),
        device,
        revoked,
        anchor('meter', 20),
      ]);
      assert.equal(report.unpinnedAnchors, 1);
      assert.deepEqual(await anchorsOf(stores), [['meter', 0, 20, 1, 500]]);
      assert.equal((await stores.foreign.device(device.deviceId))?.revokedMs, 700);
      // A person pins it: it counts again, and what is revoked below it stays so.
      const pinned = { product: 'meter', certificate, sha256, count: 20, pinnedMs: 800 };
      await stores.foreign.pin(pinned, encodeAuditEntry(anchor('meter', 20)));
      assert.deepEqual(await anchorsOf(stores), [['meter', 3, 20, 1, undefined]]);
      assert.equal((await stores.foreign.device(device.deviceId))?.revokedMs, 700);
      const certificates = new Map([[toHex(sha256), certificate]]);
      assert.equal((await learn(stores, [anchor('pump', 5)], { certificates })).unpinnedAnchors, 0);
      assert.deepEqual((await anchorsOf(stores))[1], ['pump', 3, 5, 0, undefined]);
    },
  );

  check('the number of a version of a profile stays taken', async (stores) => {
    const text = toHex(sha256);
    const report = await learn(stores, [decision('profile', 'meter@1', text)]);
    assert.equal(report.lostProfiles, 1);
    const record = { name: 'meter', version: 1, sha256, text: '{}', addedMs: 1 };
    assert.equal(await stores.profiles.addProfile(record, Uint8Array.of(0)), 'taken');
  });

  check('the case of an authority that is believed again begins again', async (stores) => {
    const done = { doneMs: 600, detail: 'done' };
    const one: LossCase = {
      name: 'operational',
      kind: 'authority',
      subject: 'operational',
      successor: 'operational-2',
      reason: 'stolen',
      openedMs: 500,
      steps: [{ name: 'successor', ...done }, { name: 'replaced' }],
      closedMs: 700,
    };
    const settle = (book: readonly AuthorityRecord[]) => (each: LossCase) =>
      settledCase(each, book, nowMs);
    const entries = [decision('case-closed', 'operational', caseDocument(one))];
    await learn(stores, entries, { settle: settle(defaultBook) });
    const read = async (): Promise<LossCase> =>
      parseCase((await stores.cases.cases())[0]?.document ?? '');
    const { closedMs: _, ...open } = one;
    assert.deepEqual(await read(), {
      ...open,
      steps: [{ name: 'successor' }, { name: 'replaced' }],
    });
    // Its key is not here: nothing is left to be done, and nothing is waited for.
    const removed = defaultBook.map((record) => ({ ...record, state: 'removed' as const }));
    await learn(stores, entries, { settle: settle(removed) });
    assert.deepEqual(
      (await read()).steps.map(({ doneMs }) => doneMs),
      [600, nowMs],
    );
  });

  check(
    'roles, requests and their use are what they became, and what is open is over',
    async (stores) => {
      const { recovery, approvals } = stores;
      const atMs = 500;
      const operator = (name: string, at: number, role = 'admin'): Lesson => ({
        kind: 'operator',
        name,
        // 0: nobody has brought it.
        certificate: at === 0 ? new Uint8Array(0) : Uint8Array.of(at),
        keyIdentifier: new Uint8Array(20).fill(at),
        role,
        atMs,
      });
      const id = (at: number): Uint8Array => new Uint8Array(32).fill(at);
      const request = (at: number): Lesson => ({
        kind: 'request',
        id: id(at),
        act: 'batch.close',
        requester: 'ada',
        signed: Uint8Array.of(at),
        atMs,
        expiresMs: 9_000,
      });
      const said = { kind: 'request-decided', id: id(1), decision: 'approved', by: 'bob' } as const;
      const lessons: readonly Lesson[] = [
        { kind: 'two-persons', installation: new Uint8Array(16).fill(1), massLimit: 5, atMs },
        operator('ada', 1),
        operator('bob', 2),
        operator('eve', 0, 'auditor'),
        { kind: 'mass-limit', devices: 100 },
        { kind: 'sole-changes', devices: 3, atMs },
        { kind: 'role-granted', name: 'bob', role: 'operator', atMs },
        { kind: 'role-withdrawn', name: 'bob', role: 'operator', atMs: 600 },
        { kind: 'operator-certificate', name: 'ada', certificate: Uint8Array.of(7) },
        request(1),
        request(2),
        { ...said, signed: Uint8Array.of(9), atMs: 600 },
        { kind: 'request-used', id: id(1), atMs: 700 },
      ];
      const ending = { nowMs, roots: nobody, offline: nobody, closing };
      await assert.rejects(
        recovery.learn(() => lessons.slice(0, 1), ending),
        /--operator/,
      );
      assert.equal(await approvals.mode(), undefined);
      // What is learnt twice is what it was.
      for (const voided of [1, 0]) {
        assert.equal((await recovery.learn(() => lessons, ending)).voidApprovals, voided);
      }
      assert.equal((await approvals.mode())?.massLimit, 100);
      const states = (await approvals.operators()).map(
        ({ name, roles, revokedMs, certificate: der }) => {
          return [name, roles.map(({ role }) => role).join(), revokedMs, der.length];
        },
      );
      assert.deepEqual(states, [
        ['ada', 'admin', undefined, 1],
        ['bob', 'admin', undefined, 1],
        ['eve', 'auditor', 500, 0],
      ]);
      const [used, open] = [await approvals.request(id(1)), await approvals.request(id(2))];
      assert.deepEqual([used?.decision?.by, used?.doneMs], ['bob', 700]);
      assert.equal(open?.expiresMs, nowMs);
    },
  );
});
