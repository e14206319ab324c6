/** T1 and T2: what is given is given once, whoever asks at the same time and whatever fails in between. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { issuingMigrations } from '../../src/drivers/store/postgres/issuingTables.ts';
import type { IntentOutcome } from '../../src/trust/ports/issuanceStore.ts';
import type { RevocationReason } from '../../src/wire/crl/reason.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { eui64Plus } from '../../src/wire/bytes/eui64.ts';
import {
  bytesOf,
  certificateIntent,
  type IssuingStores,
  issuingBackends,
  leaf,
  onPostgres,
  openTicket,
  orderRow,
  ticketRow,
  unitIntent,
} from '../support/issuingStores.ts';
import { postgresMissing } from '../support/postgres.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { contract, testServer } from '../support/storeBackends.ts';

const server = testServer();

function takenOf(
  outcomes: readonly IntentOutcome[],
): Array<Extract<IntentOutcome, { taken: number }>> {
  return outcomes.flatMap((outcome) => ('taken' in outcome ? [outcome] : []));
}

const completion = (id: number) => ({
  id,
  signature: bytesOf(`signature ${id}`, 32),
  entry: leaf(`issued ${id}`),
});

contract('issuance store', issuingBackends, (check) => {
  check('units get the addresses of their order, one after the other', async (stores) => {
    const ticket = await openTicket(stores, 3);
    const outcomes = takenOf(
      await stores.issuance.begin([1, 2, 3].map((number) => unitIntent(number, ticket))),
    );
    const { eui64First } = orderRow(1, 3);
    assert.deepEqual(
      outcomes.map(({ eui64 }) => eui64),
      [0, 1, 2].map((step) => eui64Plus(eui64First, step)),
    );
    const ids = outcomes.map(({ taken }) => taken);
    assert.deepEqual(
      ids,
      ids.toSorted((left, right) => left - right),
    );
    assert.equal((await stores.orders.ticket(ticket.ticketId))?.taken, 3);
    assert.deepEqual(await stores.issuance.begin([unitIntent(4, ticket)]), [
      { refused: 'quota-exhausted' },
    ]);
  });

  check(
    'what replaces something ends it in T1, and is refused when something came between',
    async (stores) => {
      const { issuance, audit } = stores;
      const holder = deviceIdOf(1);
      const own = { holder, notAfterMs: 9_000 };
      assert.deepEqual(await issuance.promisesTo(holder), {
        latest: 0,
        unsigned: [],
        certificates: [],
      });
      const intents = [1, 2].map((number) => certificateIntent(number, own));
      const ids = takenOf(await issuance.begin(intents)).map(({ taken }) => taken);
      const [first = 0, second = 0] = ids;
      await issuance.complete([completion(first)]);
      const serials = async (): Promise<readonly string[]> =>
        (await issuance.promisesTo(holder)).certificates.map(({ serialNumber }) =>
          toHex(serialNumber),
        );
      const serial = (number: number): Uint8Array => bytesOf(`serial ${number}`, 16);
      const half = await issuance.promisesTo(holder);
      assert.deepEqual([half.latest, half.unsigned], [second, [serial(2)]]);
      assert.deepEqual(await serials(), [toHex(serial(1))]);
      await issuance.complete([completion(second)]);
      const superseded = [
        {
          serialNumber: serial(1),
          code: 'superseded' as const,
          reason: 'renewed',
          atMs: 7_000,
          entry: leaf('superseded 1'),
        },
      ];
      const third = certificateIntent(3, { ...own, replaces: { latest: second, superseded } });
      const late = certificateIntent(4, { ...own, replaces: { latest: second, superseded: [] } });
      const stranger = certificateIntent(5, { replaces: { latest: 0, superseded: [] } });
      const outcomes = await issuance.begin([third, late, stranger]);
      assert.deepEqual(
        outcomes.map((outcome) => ('refused' in outcome ? outcome.refused : 'taken')),
        ['taken', 'overtaken', 'taken'],
      );
      assert.deepEqual(await serials(), [toHex(serial(2))]);
      const [ended] = await issuance.certificatesOf(holder);
      assert.deepEqual([ended?.serialNumber, ended?.revokedMs], [serial(1), 7_000]);
      const leaves = await audit.leaves(0, 100);
      assert.ok(leaves.some((one) => toHex(one) === toHex(leaf('superseded 1'))));
      assert.deepEqual(await issuance.begin([late]), [{ refused: 'overtaken' }]);
      assert.equal(await issuance.certificateBySerial(serial(4)), undefined);
    },
  );

  check('between T1 and T2 nothing is issued; after it everything is found', async (stores) => {
    const { issuance, orders, audit } = stores;
    const ticket = await openTicket(stores, 2);
    const intents = [unitIntent(1, ticket), certificateIntent(7), unitIntent(2, ticket)];
    const ids = takenOf(await issuance.begin(intents)).map(({ taken }) => taken);
    assert.deepEqual(await issuance.countCertificates(), { issued: 0, revoked: 0 });
    assert.equal(await issuance.certificateBySerial(bytesOf('serial 7', 16)), undefined);
    assert.deepEqual(await issuance.certificatesOf(deviceIdOf(1)), []);
    const [unit] = await orders.units('software', [bytesOf('uid 1', 9)]);
    assert.equal(unit?.signature, undefined);
    const unfinished = await issuance.unfinished(0, 10);
    assert.deepEqual(
      unfinished.map(({ id, holder, tbs, ticketId }) => ({ id, holder, tbs, ticketId })),
      intents.map(({ holder, tbs, unit: own }, index) => ({
        id: ids[index],
        holder,
        tbs,
        ticketId: own?.ticketId,
      })),
    );
    assert.deepEqual(
      (await issuance.unfinished(ids[0] ?? 0, 1)).map(({ id }) => id),
      [ids[1]],
    );
    await issuance.complete(ids.map(completion));
    assert.deepEqual(await issuance.unfinished(0, 10), []);
    assert.deepEqual(await issuance.certificateBySerial(bytesOf('serial 7', 16)), {
      issuer: 'operational',
      profile: 'ldevid@1',
      serialNumber: bytesOf('serial 7', 16),
      holder: 'holder-7',
      notAfterMs: 9_000_000_000_000,
      tbs: bytesOf('tbs 7', 32),
      signature: completion(ids[1] ?? 0).signature,
      revokedMs: undefined,
      held: false,
    });
    assert.equal((await issuance.certificatesOf(deviceIdOf(2))).length, 1);
    assert.equal(await issuance.holderOfKey(bytesOf('key 2', 20)), deviceIdOf(2));
    assert.equal(await issuance.holderOfKey(bytesOf('agree 2', 20)), deviceIdOf(2));
    assert.equal(await issuance.holderOfKey(bytesOf('key 7', 20)), 'holder-7');
    assert.equal(await issuance.holderOfKey(bytesOf('key 8', 20)), undefined);
    assert.deepEqual(await issuance.countCertificates(), { issued: 3, revoked: 0 });
    assert.deepEqual(
      await audit.leaves(2, 10),
      ids.map((id) => completion(id).entry),
    );
    assert.deepEqual(await orders.unitByDevice(deviceIdOf(1)), {
      ticketId: ticket.ticketId,
      uid: bytesOf('uid 1', 9),
      keyIdentifier: bytesOf('key 1', 20),
      agreeKey: bytesOf('point 1', 32),
      deviceId: deviceIdOf(1),
      eui64: orderRow(1, 1).eui64First,
      model: 'M',
      firmware: '1.0',
      proofLevel: 'line-anchored',
      state: 'endorsed',
      reason: '',
      endorsedMs: 5_001,
      serialNumber: bytesOf('serial 1', 16),
      tbs: bytesOf('tbs 1', 32),
      signature: completion(ids[0] ?? 0).signature,
    });
  });

  check('of a holder’s certificates those are told that are stopped', async ({ issuance }) => {
    const intents = [1, 2, 3].map((n) => ({ ...certificateIntent(n), holder: 'holder' }));
    await issuance.complete(
      takenOf(await issuance.begin(intents)).map(({ taken }) => completion(taken)),
    );
    const change = (n: number, code: RevocationReason) =>
      issuance.revoke([
        {
          serialNumber: bytesOf(`serial ${n}`, 16),
          code,
          reason: '',
          atMs: 7_000,
          entry: bytesOf('entry', 32),
        },
      ]);
    const stopped = async () =>
      (await issuance.stoppedOf('holder')).map(({ held, revokedMs }) => [held, revokedMs]);
    assert.deepEqual(await stopped(), []);
    await change(1, 'certificateHold');
    await change(3, 'keyCompromise');
    assert.deepEqual(await stopped(), [
      [true, undefined],
      [false, 7_000],
    ]);
    const [first, , third] = await issuance.certificatesOf('holder');
    assert.deepEqual(await issuance.stoppedOf('holder'), [first, third]);
    await change(1, 'removeFromCRL');
    assert.deepEqual(await stopped(), [[false, 7_000]]);
    assert.deepEqual(await issuance.stoppedOf('somebody'), []);
  });

  check('a second completion changes nothing, in another call or in the same', async (stores) => {
    const { issuance, audit } = stores;
    const [first, second] = takenOf(
      await issuance.begin([certificateIntent(1), certificateIntent(2)]),
    ).map(({ taken }) => taken);
    assert.ok(first !== undefined && second !== undefined);
    assert.deepEqual(await issuance.complete([completion(first)]), new Map());
    const other = (id: number) => ({ ...completion(id), signature: bytesOf('other', 32) });
    const standing = (id: number) => new Map([[id, completion(id).signature]]);
    // Whoever comes second is told what stands.
    assert.deepEqual(
      await Promise.all([
        issuance.complete([other(first)]),
        issuance.complete([completion(second)]),
        issuance.complete([other(second), other(second)]),
      ]),
      [standing(first), new Map(), standing(second)],
    );
    assert.deepEqual(
      await audit.leaves(0, 9),
      [first, second].map((id) => completion(id).entry),
    );
    const issued = await issuance.certificateBySerial(bytesOf('serial 1', 16));
    assert.deepEqual(issued?.signature, completion(first).signature);
  });

  check('what has to be unique is told by its name, and costs nothing', async (stores) => {
    const ticket = await openTicket(stores, 9);
    await stores.issuance.begin([unitIntent(1, ticket)]);
    const one = unitIntent(1, ticket);
    const clashes = [
      [unitIntent(2, ticket, { uid: bytesOf('uid 1', 9) }), 'uid'],
      [unitIntent(2, ticket, {}, { keyIdentifier: one.keyIdentifier }), 'key'],
      [unitIntent(2, ticket, {}, { keyIdentifier: bytesOf('agree 1', 20) }), 'key'],
      [unitIntent(2, ticket, {}, { keyIdentifier: bytesOf('agree 2', 20) }), 'key'],
      [unitIntent(2, ticket, {}, { holder: one.holder }), 'device-id'],
      [unitIntent(2, ticket, {}, { serialNumber: one.serialNumber }), 'serial'],
      [certificateIntent(2, { serialNumber: one.serialNumber }), 'serial'],
    ] as const;
    for (const [intent, conflict] of clashes) {
      const outcomes = await stores.issuance.begin([intent, intent]);
      assert.deepEqual(outcomes, [{ conflict }, { conflict }]);
    }
    assert.equal((await stores.orders.ticket(ticket.ticketId))?.taken, 1);
    const otherFamily = unitIntent(3, ticket, { family: 'other', uid: bytesOf('uid 1', 9) });
    const outcomes = await stores.issuance.begin([
      unitIntent(2, ticket),
      unitIntent(4, ticket, { uid: bytesOf('uid 2', 9) }),
      otherFamily,
    ]);
    const { eui64First } = orderRow(1, 9);
    assert.deepEqual(
      outcomes.map((outcome) => ('taken' in outcome ? outcome.eui64 : outcome)),
      [eui64Plus(eui64First, 1), { conflict: 'uid' }, eui64Plus(eui64First, 2)],
    );
  });

  check('an unknown ticket, and a closed one, give nothing', async (stores) => {
    const ticket = await openTicket(stores, 1);
    const unknown = { ticketId: bytesOf('nothing', 16) };
    const outcomes = await stores.issuance.begin([unitIntent(1, unknown), unitIntent(2, unknown)]);
    assert.deepEqual(outcomes, [{ refused: 'ticket-closed' }, { refused: 'ticket-closed' }]);
    const counts = { issued: 0, released: 0, scrapped: 0, returned: 0 };
    const { ticketId } = ticket;
    await stores.orders.closeTicket({ ticketId, counts, atMs: 1, entry: leaf('closed') });
    assert.deepEqual(await stores.issuance.begin([unitIntent(1, ticket)]), [
      { refused: 'ticket-closed' },
    ]);
    assert.deepEqual(await stores.issuance.begin([]), []);
  });

  check('many at once take the quota exactly, and each element once', async (stores) => {
    const ticket = await openTicket(stores, 40);
    await crowd([stores], ticket, 40);
  });

  check('what one caller breaks fails that caller alone', async (stores) => {
    const { issuance } = stores;
    const outcomes = await Promise.allSettled([
      issuance.begin([certificateIntent(1)]),
      issuance.begin([certificateIntent(2, { keyIdentifier: bytesOf('short', 3) })]),
      issuance.begin([certificateIntent(3)]),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    await assert.rejects(issuance.complete([completion(999)]));
    const holders = (await issuance.unfinished(0, 9)).map(({ holder }) => holder);
    assert.deepEqual(holders.sort(), ['holder-1', 'holder-3']);
    assert.equal(await stores.audit.countLeaves(), 0);
  });

  check('a secret is spent with its intent, once', async (stores) => {
    const { issuance, grants } = stores;
    const secret = {
      deviceId: deviceIdOf(1),
      product: 'sensor',
      profile: 'ldevid',
      createdMs: 1,
      expiresMs: 2,
    };
    const id = await grants.addSecret(secret, bytesOf('secret', 32), leaf('secret'));
    assert.ok(typeof id === 'number');
    const spend = (number: number) =>
      certificateIntent(number, { grants: [{ kind: 'secret', id }] });
    const outcomes = await Promise.all(
      [1, 2, 3].map((n) => issuance.begin([spend(n), spend(n + 10)])),
    );
    assert.equal(takenOf(outcomes.flat()).length, 1);
    assert.equal(outcomes.flat().filter((one) => 'refused' in one).length, 5);
    const spentOn = (await grants.secret(bytesOf('secret', 32)))?.spentOn;
    const [unfinished] = await issuance.unfinished(0, 9);
    assert.deepEqual(spentOn, unfinished?.serialNumber);
    assert.equal(await grants.voidSecret(id, 5, leaf('void')), false);
  });
});

test(
  'two processes on one PostgreSQL issue from one ticket',
  { skip: postgresMissing },
  async () => {
    const schema = server().newSchema();
    const open = () =>
      server().open({
        migrations: issuingMigrations,
        schema,
        use: 'shared',
        lockTimeoutMs: 10_000,
      });
    const stores = [onPostgres(await open()), onPostgres(await open())];
    const [first] = stores;
    assert.ok(first !== undefined);
    await crowd(stores, await openTicket(first, 60), 60);
  },
);
/** Everybody asks for the same elements and more of them than the quota allows, in calls of three. */
async function crowd(
  stores: readonly IssuingStores[],
  ticket: { readonly ticketId: Uint8Array },
  quota: number,
): Promise<void> {
  const elements = quota * 2;
  const calls = Array.from({ length: elements }, (_, index) =>
    stores.map(async ({ issuance }, asker) => {
      const intents = [0, 1, 2].map((step) => {
        const element = (index + step) % elements;
        const serialNumber = bytesOf(`serial ${element} ${index} ${asker}`, 16);
        const holder = deviceIdOf(element * 1_000 + index * 2 + asker);
        return unitIntent(element, ticket, {}, { serialNumber, holder });
      });
      const taken = takenOf(await issuance.begin(intents)).map(({ taken: id }) => id);
      await issuance.complete(taken.map(completion));
      return taken.length;
    }),
  ).flat();
  const given = (await Promise.all(calls)).reduce((total, count) => total + count, 0);
  assert.equal(given, quota);
  const [{ orders, audit, issuance }] = stores as [IssuingStores];
  const page = { state: 'endorsed', after: 0, limit: 1_000 } as const;
  const { units } = await orders.unitsOfBatch('order-1', page);
  assert.equal(new Set(units.map(({ uid }) => toHex(uid))).size, quota);
  assert.equal(new Set(units.map(({ eui64 }) => toHex(eui64))).size, quota);
  assert.equal((await orders.ticket(ticket.ticketId))?.taken, quota);
  assert.equal(await audit.countLeaves(), quota + 2);
  assert.equal((await audit.leaves(0, 1_000)).length, quota + 2);
  assert.deepEqual(await issuance.countCertificates(), { issued: quota, revoked: 0 });
  const extra = await orders.createTicket(ticketRow(9, 'order-1', 1), leaf('extra'));
  assert.equal(extra, 'batch-exhausted');
}
