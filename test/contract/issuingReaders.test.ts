/** What is read of the authority's database at one moment, beside the process that writes it. */
import assert from 'node:assert/strict';
import { SnapshotCompromiseReader } from '../../src/drivers/store/compromiseReader.ts';
import { SnapshotIssuingReader } from '../../src/drivers/store/issuingReader.ts';
import { openPostgresSnapshot } from '../../src/drivers/store/postgres/snapshot.ts';
import type { Snapshot } from '../../src/drivers/store/snapshot.ts';
import { text } from '../../src/drivers/store/sqlite/rows.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import type { CompromiseReader } from '../../src/trust/ports/compromiseReader.ts';
import type { Intent, Revocation } from '../../src/trust/ports/issuanceStore.ts';
import type { IssuingReader, ListedCertificate } from '../../src/trust/ports/issuingReader.ts';
import type { OrderRecord, UnitState } from '../../src/trust/ports/orderStore.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { noExpirationMs } from '../../src/wire/der/time.ts';
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
import { type BackendParts, contract, testServer } from '../support/storeBackends.ts';

interface ReadStores extends IssuingStores {
  readonly snapshot: () => Promise<Snapshot>;
}

const { sqlite, postgres } = issuingBackends;
const server = testServer();
const backends: BackendParts<ReadStores> = {
  sqlite: {
    ...sqlite,
    stores: (database) => ({
      ...sqlite.stores(database),
      snapshot: async () => {
        const select = 'SELECT file FROM pragma_database_list';
        const row = await database.read((connection) => connection.prepare(select).get());
        return openSqliteSnapshot(text(row ?? {}, 'file'));
      },
    }),
  },
  postgres: {
    ...postgres,
    stores: (database) => ({
      ...postgres.stores(database),
      snapshot: async () => {
        const select = 'SELECT current_schema()::text AS schema';
        const row = await database.read((connection) => connection.first(select));
        const { address } = server();
        return openPostgresSnapshot({ address, schema: text(row ?? {}, 'schema') });
      },
    }),
  },
};

const nowMs = 1_000_000;

/** T1 and T2. */
async function issue({ issuance }: IssuingStores, intents: readonly Intent[]): Promise<void> {
  const outcomes = await issuance.begin(intents);
  await issuance.complete(
    outcomes.map((outcome) => {
      assert.ok('taken' in outcome);
      const id = outcome.taken;
      return { id, signature: bytesOf(`signature ${id}`, 32), entry: leaf('issued') };
    }),
  );
}

const change = (number: number, code: Revocation['code'] = 'keyCompromise'): Revocation => ({
  serialNumber: bytesOf(`serial ${number}`, 16),
  code,
  reason: 'lost',
  atMs: nowMs,
  entry: leaf('revoked'),
});

async function revoke({ issuance }: IssuingStores, ...numbers: readonly number[]): Promise<void> {
  await issuance.revoke(numbers.map((number) => change(number)));
}

/** Devices 1 to 4: two that are locked, one of them with its birth revoked, one endorsed, one of another maker. */
async function beBorn(stores: ReadStores): Promise<void> {
  const { orders, foreign } = stores;
  const { ticketId } = await openTicket(stores, 3);
  await issue(
    stores,
    [1, 2, 3].map((number) => unitIntent(number, { ticketId })),
  );
  const lock = (number: number) => ({
    uid: bytesOf(`uid ${number}`, 9),
    from: ['endorsed'] as const,
    to: 'locked' as UnitState,
    reason: '',
    atMs: 5,
    revocation: undefined,
  });
  assert.deepEqual(await orders.changeUnits(ticketId, [lock(1), lock(2)]), ['done', 'done']);
  await revoke(stores, 2);
  const sha256 = bytesOf('anchor', 32);
  const anchor = { product: 'meter', certificate: leaf('anchor'), sha256, count: 1, pinnedMs: 1 };
  await foreign.pin(anchor, leaf('pinned'));
  const device = {
    deviceId: deviceIdOf(4),
    product: 'meter',
    certificateSha256: bytesOf('certificate 4', 32),
    keyIdentifier: bytesOf('foreign 4', 20),
    boundMs: 3,
  };
  assert.equal(await foreign.bind(device, sha256, leaf('bound')), 'bound');
}

/** An LDevID, whose serial number is by 10 above the device's. */
const ldevid = (device: number, changes: Partial<Intent> = {}): Intent =>
  certificateIntent(10 + device, { holder: deviceIdOf(device), ...changes });

interface Readers {
  readonly loss: CompromiseReader;
  readonly all: IssuingReader;
}

async function reading<Result>(
  { snapshot: open }: ReadStores,
  read: (readers: Readers) => Promise<Result>,
): Promise<Result> {
  const snapshot = await open();
  try {
    return await read({
      loss: new SnapshotCompromiseReader(snapshot),
      all: new SnapshotIssuingReader(snapshot),
    });
  } finally {
    await snapshot.close();
  }
}

async function hexOf(serials: AsyncIterable<Uint8Array>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const serial of serials) found.push(toHex(serial));
  return found.sort();
}

const serialsOf = (...numbers: readonly number[]): readonly string[] =>
  numbers.map((number) => toHex(bytesOf(`serial ${number}`, 16))).sort();

/** Of devices, one of them added by a person. */
const profiles = ['ldevid', 'meter2'];

contract('issuing readers', backends, (check) => {
  check(
    'what is revoked with a key is counted by profile, of the issuers that are asked',
    async (s) => {
      await issue(s, [
        ldevid(1),
        ldevid(2),
        ldevid(3, { profile: 'ldevid@2' }),
        ldevid(4, { notAfterMs: nowMs }),
        ldevid(5),
        ldevid(6, { issuer: 'server', profile: 'server@1' }),
        ldevid(7, { issuer: 'root', profile: 'issuing@1' }),
        ldevid(9, { profile: 'link-operational@1' }),
      ]);
      await revoke(s, 15);
      // T1 alone: never signed.
      await s.issuance.begin([ldevid(8)]);
      const counts = await reading(s, ({ loss }) =>
        loss.countLeaves(['operational', 'server', 'none'], nowMs),
      );
      assert.deepEqual(Object.fromEntries(counts), { 'ldevid@1': 2, 'ldevid@2': 1, 'server@1': 1 });
    },
  );

  check('enrolled devices: who has an identity from birth to come back with', async (s) => {
    await beBorn(s);
    await issue(s, [
      ...[1, 2, 3, 4, 5].map((device) => ldevid(device)),
      // The same devices are not counted twice.
      ldevid(1, { serialNumber: bytesOf('again', 16), profile: 'ldevid@2' }),
      ldevid(6, { notAfterMs: nowMs }),
      ldevid(7, { issuer: 'server' }),
      // What is under the same key and no device's.
      ldevid(8, { profile: 'ocsp-operational@1', holder: 'OCSP operational' }),
      ldevid(9, { profile: 'link-operational@1', holder: 'Maker Operational' }),
    ]);
    const behind = [2, 3, 5].map(deviceIdOf).sort();
    const enrolled = (limit: number) =>
      reading(s, ({ loss }) =>
        loss.enrolled({ issuers: ['self', 'operational'], profiles }, nowMs, limit),
      );
    assert.deepEqual(await enrolled(9), { devices: 5, behind: 3, firstBehind: behind });
    assert.deepEqual((await enrolled(2)).firstBehind, behind.slice(0, 2));
    assert.equal(await s.foreign.revoke(deviceIdOf(4), 8, leaf('revoked')), true);
    assert.equal((await enrolled(9)).behind, 4);
  });

  check('born devices: none of them comes back by itself', async (s) => {
    await beBorn(s);
    const born = (issuer: string) => reading(s, ({ loss }) => loss.born([issuer], 1));
    const [first] = [1, 3].map(deviceIdOf).sort();
    assert.deepEqual(await born('factory'), { devices: 2, behind: 2, firstBehind: [first] });
    assert.deepEqual(await born('operational'), { devices: 0, behind: 0, firstBehind: [] });
  });

  check('fallen devices: who has a certificate of the next key', async (s) => {
    await issue(s, [
      ...[1, 2, 3].map((device) => ldevid(device)),
      ldevid(4, { profile: 'server@1' }),
      ldevid(5),
      ldevid(6, { profile: 'meter2@1' }),
      ldevid(7, { profile: 'meter@1' }),
    ]);
    await revoke(s, 11, 12, 13, 14, 16, 17);
    await issue(s, [
      certificateIntent(30, { issuer: 'operational-2', holder: deviceIdOf(2) }),
      certificateIntent(31, { issuer: 'server', holder: deviceIdOf(3) }),
    ]);
    await s.issuance.begin([
      certificateIntent(32, { issuer: 'operational-2', holder: deviceIdOf(1) }),
    ]);
    const fallen = (sinceMs: number, limit = 9) => {
      const since = { successor: 'operational-2', sinceMs };
      return reading(s, ({ loss }) =>
        loss.fallen({ issuers: ['operational'], profiles }, since, limit),
      );
    };
    const behind = [1, 3, 6].map(deviceIdOf).sort();
    assert.deepEqual(await fallen(nowMs), { devices: 4, behind: 3, firstBehind: behind });
    assert.deepEqual((await fallen(nowMs, 1)).firstBehind, behind.slice(0, 1));
    assert.deepEqual(await fallen(nowMs + 1), { devices: 0, behind: 0, firstBehind: [] });
  });

  check('serial numbers of what is revoked with a key, and of responders', async (s) => {
    const { ticketId } = await openTicket(s, 1);
    await issue(s, [
      unitIntent(1, { ticketId }),
      certificateIntent(2, { issuer: 'factory' }),
      certificateIntent(3, { issuer: 'factory', profile: 'link-new-with-old' }),
      certificateIntent(4, { issuer: 'factory', notAfterMs: nowMs }),
      certificateIntent(5, { issuer: 'factory' }),
      certificateIntent(6, { issuer: 'factory', profile: 'ocsp-factory@1' }),
      certificateIntent(7, { profile: 'ocsp-operational@1' }),
      certificateIntent(8, { profile: 'ocsp-operational@1' }),
    ]);
    await revoke(s, 5, 8);
    await s.issuance.begin([certificateIntent(9, { issuer: 'factory' })]);
    await reading(s, async ({ loss }) => {
      assert.deepEqual(await hexOf(loss.liveLeaves(['factory'], nowMs)), serialsOf(2, 6));
      assert.deepEqual(await hexOf(loss.liveResponders(nowMs)), serialsOf(6, 7));
    });
  });

  check('leaves of the log, in pages', async (s) => {
    const entries = ['a', 'b', 'c', 'd'].map(leaf);
    await s.audit.append(entries);
    await reading(s, async ({ all }) => {
      assert.deepEqual(await all.leaves(0, 9), entries);
      assert.deepEqual(await all.leaves(1, 2), entries.slice(1, 3));
      assert.deepEqual(await all.leaves(4, 2), []);
    });
  });

  check('a reader sees one moment, whatever is written meanwhile', async (s) => {
    await s.audit.append([leaf('before')]);
    await reading(s, async ({ all }) => {
      assert.equal((await all.leaves(0, 9)).length, 1);
      await s.audit.append([leaf('after')]);
      assert.deepEqual(await all.leaves(0, 9), [leaf('before')]);
    });
    await reading(s, async ({ all }) => assert.equal((await all.leaves(0, 9)).length, 2));
  });

  check('profiles, and when certificates end that have an end', async (s) => {
    const version = (number: number) => ({
      name: 'meter',
      version: number,
      sha256: bytesOf(`profile ${number}`, 32),
      text: `{"version":${number}}`,
      addedMs: number,
    });
    await s.profiles.addProfile(version(1), leaf('profile'));
    await s.profiles.addProfile(version(2), leaf('profile'));
    await issue(s, [
      ldevid(1, { notAfterMs: nowMs + 3 }),
      ldevid(2, { notAfterMs: nowMs + 1 }),
      ldevid(3, { notAfterMs: nowMs + 2 }),
      ldevid(4, { notAfterMs: nowMs }),
      ldevid(5, { notAfterMs: nowMs + 9 }),
      ldevid(6, { profile: 'server@1', notAfterMs: nowMs + 4 }),
      ldevid(7, { profile: 'idevid@1', notAfterMs: noExpirationMs }),
    ]);
    await revoke(s, 15);
    await s.issuance.begin([ldevid(8, { notAfterMs: nowMs + 7 })]);
    await reading(s, async ({ all }) => {
      const texts = (await all.profiles()).map((profile) => profile.text);
      assert.deepEqual(texts.toSorted(), [version(1).text, version(2).text]);
      const ends = await all.certificateEnds(nowMs);
      assert.deepEqual(
        ends.toSorted((left, right) => left.count - right.count),
        [
          { profile: 'server@1', count: 1, firstMs: nowMs + 4, lastMs: nowMs + 4 },
          { profile: 'ldevid@1', count: 3, firstMs: nowMs + 1, lastMs: nowMs + 3 },
        ],
      );
    });
  });

  check('when lists end, and whom the next ones have to name', async (s) => {
    const { issuance, status } = s;
    await status.createLists({ authority: 'operational', shards: 2, baseUrl: 'http://crl' });
    await issue(s, [
      ...[1, 2, 3].map((number) => certificateIntent(number)),
      certificateIntent(4, { issuer: 'server' }),
    ]);
    await issuance.revoke([change(2), change(1, 'superseded'), change(4)]);
    await issuance.revoke([change(3, 'certificateHold')]);
    await issuance.revoke([change(3, 'removeFromCRL')]);
    await reading(s, async ({ all }) => {
      assert.deepEqual(await all.dueLists(nowMs), ['operational', 'server']);
    });
    const pending = await status.pendingLists(['operational'], nowMs);
    assert.equal(pending.length, 2);
    for (const [index, { id, revision }] of pending.entries()) {
      await status.saveList({
        id,
        revision,
        number: await status.takeNumber(id),
        thisUpdateMs: nowMs,
        nextUpdateMs: nowMs + 10 + index,
        nextRegularMs: nowMs + 5,
        lastChange: await status.lastChange(),
        count: 0,
        der: leaf('list'),
        entry: leaf('signed'),
      });
    }
    await reading(s, async ({ all }) => {
      assert.deepEqual(await all.listEnds(), [
        { authority: 'operational', count: 2, firstMs: nowMs + 10 },
      ]);
      assert.deepEqual(await all.dueLists(nowMs + 4), ['server']);
      assert.deepEqual(await all.dueLists(nowMs + 5), ['operational', 'server']);
      const found: ListedCertificate[] = [];
      for await (const one of all.listed('operational')) found.push(one);
      const named = (number: number, code: number): ListedCertificate => ({
        serialNumber: bytesOf(`serial ${number}`, 16),
        keyIdentifier: bytesOf(`key ${number}`, 20),
        code,
        atMs: nowMs,
      });
      assert.deepEqual(found, [named(1, 4), named(2, 1)]);
    });
  });

  check('orders and tickets as lines of a ledger that begins later', async (s) => {
    const [one, two] = [orderRow(1, 5), orderRow(2, 3)];
    const batch = (name: string, quantity: number) => ({ batch: name, quantity });
    const place = (order: OrderRecord, batches: readonly ReturnType<typeof batch>[]) => {
      const open = { order: order.order, closedMs: undefined };
      const records = batches.map((each) => ({ ...each, ...open }));
      return s.orders.createOrder(order, records, leaf('order'));
    };
    await place(one, [batch('b', 2), batch('a', 3)]);
    await place(two, [batch('c', 3)]);
    const tickets = [
      { ...ticketRow(1, 'c', 2), order: 'order-2' },
      { ...ticketRow(2, 'b', 1), order: 'order-1' },
    ];
    for (const ticket of tickets) {
      assert.equal(await s.orders.createTicket(ticket, leaf('ticket')), 'created');
    }
    assert.deepEqual(await reading(s, ({ all }) => all.ledgerLines()), [
      { kind: 'order', order: one, batches: [batch('b', 2), batch('a', 3)] },
      { kind: 'order', order: two, batches: [batch('c', 3)] },
      ...tickets.map(({ ticketId, batch: name, count, notAfterMs }) => {
        return { kind: 'ticket', ticketId, batch: name, count, notAfterMs };
      }),
    ]);
  });
});
