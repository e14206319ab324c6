/** The contract of the session store, on memory, SQLite and PostgreSQL alike. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import * as postgresTables from '../../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresSessionStore } from '../../../src/drivers/store/postgres/sessionStore.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../../../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteSessionStore } from '../../../src/drivers/store/sqlite/sessionStore.ts';
import type {
  SessionStore,
  StoredHandshake,
  StoredResumption,
  StoredSession,
} from '../../../src/trust/ports/sessionStore.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { Field, roughAir } from '../../support/field.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';
import { postgresMissing } from '../../support/postgres.ts';
import { testServer } from '../../support/storeBackends.ts';

let folder = '';
const open = new Set<SqliteDatabase>();

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'birthmark-sessions-'));
});

after(() => {
  for (const database of open) database.close();
  rmSync(folder, { recursive: true, force: true });
});

function openDatabase(name: string): SqliteDatabase {
  const path = join(folder, name);
  const database = new SqliteDatabase({ path, migrations: provisionerMigrations });
  open.add(database);
  return database;
}

let number = 0;
const server = testServer();
const stores: ReadonlyArray<readonly [string, () => Promise<SessionStore>, string | false]> = [
  ['memory', async () => new MemorySessionStore(), false],
  [
    'sqlite',
    async () => new SqliteSessionStore(openDatabase(`contract-${++number}.sqlite`)),
    false,
  ],
  [
    'postgres',
    async () => new PostgresSessionStore(await server().open(onServer)),
    postgresMissing,
  ],
];
const onServer = { migrations: postgresTables.provisionerMigrations };

const endpoint = { ingress: 'gateway', linkAddress: fromHex('0102') };
const elsewhere = { ingress: 'gateway', linkAddress: fromHex('0103') };
const limits = { perEndpoint: 3, perIngress: 5 };

function handshake(id: string, changes: Partial<StoredHandshake> = {}): StoredHandshake {
  return {
    id,
    ...endpoint,
    connectionId: Uint8Array.of(Number.parseInt(id, 16)),
    beganMs: 1000,
    version: 1,
    keys: fromHex('aa'),
    state: fromHex('bb'),
    ...changes,
  };
}

function session(
  id: string,
  deviceId: string,
  changes: Partial<StoredSession> = {},
): StoredSession {
  return { ...handshake(id), deviceId, standing: 'fresh', ...changes };
}

function resumption(sessionId: string, deviceId: string): StoredResumption {
  const { linkAddress } = endpoint;
  const kid = fromHex('0a0b');
  return { sessionId, deviceId, linkAddress, kid, authenticatedMs: 3, key: fromHex('ee') };
}

/** Handshake, message_3, and a first message under the new keys when `confirmedMs` is given. */
async function begin(
  store: SessionStore,
  id: string,
  deviceId: string,
  { confirmedMs, at = endpoint }: { confirmedMs?: number; at?: typeof endpoint } = {},
): Promise<string> {
  await store.addHandshake(handshake(id, at), limits);
  const outcome = await store.promote(
    { id, version: 1 },
    session(id, deviceId, at),
    resumption(id, deviceId),
    { maximumPerEndpoint: 8 },
  );
  if (confirmedMs !== undefined) {
    assert.equal(await store.updateSession(id, 1, { state: fromHex('02'), confirmedMs }), true);
  }
  return outcome;
}

const telemetry = {
  sessionId: '1',
  sequenceNumber: 7,
  deviceId: 'device',
  ...endpoint,
  receivedMs: 5,
  payload: fromHex('cc'),
};

for (const [name, create, skip] of stores) {
  test(
    `${name}: handshakes are kept, changed by version, and given up by age`,
    { skip },
    async () => {
      const store = await create();
      assert.deepEqual(await store.addHandshake(handshake('1'), limits), { evicted: 0 });
      assert.deepEqual(await store.handshakes(endpoint), [handshake('1')]);
      assert.deepEqual(await store.handshakes(elsewhere), []);
      assert.deepEqual(await store.handshakes({ ...endpoint, ingress: 'other' }), []);
      assert.equal(await store.updateHandshake('1', 2, fromHex('dd')), false);
      assert.equal(await store.updateHandshake('1', 1, fromHex('dd')), true);
      const [changed] = await store.handshakes(endpoint);
      assert.deepEqual(changed, handshake('1', { version: 2, keys: fromHex('dd') }));
      await store.addHandshake(handshake('2', { beganMs: 2000 }), limits);
      await store.addHandshake(handshake('3', { linkAddress: fromHex('03') }), limits);
      assert.equal(await store.removeHandshakesBefore(1000, 1001), 1);
      assert.equal(await store.removeHandshakesBefore(2000, 2000), 1);
      await store.removeHandshake('2');
      assert.deepEqual(await store.handshakes(endpoint), []);
    },
  );

  test(`${name}: where a limit is reached the newest makes room`, { skip }, async () => {
    const store = await create();
    for (const id of ['1', '2', '3']) await store.addHandshake(handshake(id), limits);
    assert.deepEqual(await store.addHandshake(handshake('4'), limits), { evicted: 1 });
    const ids = (await store.handshakes(endpoint)).map(({ id }) => id);
    assert.deepEqual(ids, ['1', '2', '4']);
    for (const id of ['5', '6']) await store.addHandshake(handshake(id, elsewhere), limits);
    assert.deepEqual(await store.addHandshake(handshake('7', elsewhere), limits), { evicted: 1 });
    assert.deepEqual(
      (await store.handshakes(elsewhere)).map(({ id }) => id),
      ['5', '7'],
    );
  });

  test(`${name}: a connection identifier is used once at an endpoint`, { skip }, async () => {
    const store = await create();
    await store.addHandshake(handshake('1'), limits);
    assert.equal(
      await store.addHandshake(handshake('a', { connectionId: fromHex('01') }), limits),
      'taken',
    );
    await store.promote(
      { id: '1', version: 1 },
      session('1', 'device'),
      resumption('1', 'device'),
      { maximumPerEndpoint: 8 },
    );
    assert.equal(
      await store.addHandshake(handshake('a', { connectionId: fromHex('01') }), limits),
      'taken',
    );
    assert.deepEqual(await store.connectionIds(endpoint), [fromHex('01')]);
    const other = handshake('a', { connectionId: fromHex('01'), ...elsewhere });
    assert.deepEqual(await store.addHandshake(other, limits), { evicted: 0 });
  });

  test(
    `${name}: promotion consumes the handshake and ends what the device never used`,
    { skip },
    async () => {
      const store = await create();
      await store.addHandshake(handshake('1'), limits);
      assert.equal(
        await store.promote(
          { id: '1', version: 2 },
          session('1', 'device'),
          resumption('1', 'device'),
          { maximumPerEndpoint: 8 },
        ),
        'gone',
      );
      assert.equal(
        await store.promote(
          { id: '9', version: 1 },
          session('9', 'device'),
          resumption('9', 'device'),
          { maximumPerEndpoint: 8 },
        ),
        'gone',
      );
      assert.equal(
        await store.promote(
          { id: '1', version: 1 },
          session('1', 'device'),
          resumption('1', 'device'),
          { maximumPerEndpoint: 8 },
        ),
        'promoted',
      );
      assert.deepEqual(await store.session(endpoint, fromHex('01')), session('1', 'device'));
      assert.deepEqual(await store.handshakes(endpoint), []);
      assert.equal(
        await store.promote(
          { id: '1', version: 1 },
          session('1', 'device'),
          resumption('1', 'device'),
          { maximumPerEndpoint: 8 },
        ),
        'gone',
      );

      await store.addHandshake(handshake('2', elsewhere), limits);
      const moved = session('2', 'device', elsewhere);
      assert.equal(
        await store.promote({ id: '2', version: 1 }, moved, resumption('2', 'device'), {
          maximumPerEndpoint: 8,
        }),
        'promoted',
      );
      assert.equal(await store.session(endpoint, fromHex('01')), undefined);
      assert.deepEqual(await store.session(elsewhere, fromHex('02')), moved);
      assert.equal(await store.countSessions(), 0);
    },
  );

  test(
    `${name}: a live session stays until a message comes under the new keys, and is then superseded`,
    { skip },
    async () => {
      const store = await create();
      await begin(store, '1', 'device', { confirmedMs: 10 });
      await begin(store, '2', 'device', { at: elsewhere });
      const both = [await store.session(endpoint, fromHex('01'))];
      both.push(await store.session(elsewhere, fromHex('02')));
      assert.deepEqual(
        both.map((one) => one?.standing),
        ['live', 'fresh'],
      );
      assert.equal(await store.countSessions(), 1);
      await store.updateSession('2', 1, { state: fromHex('03'), confirmedMs: 20 });
      assert.equal(await store.session(endpoint, fromHex('01')), undefined);
      const [superseded, ...more] = await store.superseded(endpoint, fromHex('01'));
      assert.deepEqual(more, []);
      assert.equal(superseded?.standing, 'superseded');
      assert.equal((await store.session(elsewhere, fromHex('02')))?.standing, 'live');
      assert.equal(await store.updateSession('1', 2, { state: fromHex('04') }), false);
      assert.equal(await store.removeSupersededBefore(20), 0);
      assert.equal(await store.removeSupersededBefore(21), 1);
      assert.deepEqual(await store.superseded(endpoint, fromHex('01')), []);
    },
  );

  test(
    `${name}: of the superseded ones the two latest are kept, retired keys among them`,
    { skip },
    async () => {
      const store = await create();
      await begin(store, '1', 'device', { confirmedMs: 10 });
      for (const [version, id] of [
        [2, 'a'],
        [3, 'b'],
        [4, 'c'],
      ] as const) {
        const retired = session(id, 'device', {
          standing: 'superseded',
          connectionId: fromHex('01'),
        });
        const change = { state: fromHex('05'), keys: fromHex('06') };
        assert.ok(
          await store.updateSession('1', version, {
            ...change,
            retired: { session: retired, atMs: 10 + version },
          }),
        );
      }
      const kept = await store.superseded(endpoint, fromHex('01'));
      assert.deepEqual(
        kept.map(({ id }) => id),
        ['c', 'b'],
      );
      assert.deepEqual((await store.session(endpoint, fromHex('01')))?.keys, fromHex('06'));
      assert.deepEqual(
        await store.connectionIds(endpoint),
        [1, 1, 1].map(() => fromHex('01')),
      );
    },
  );

  test(`${name}: resumption keys follow the sessions that they come from`, { skip }, async () => {
    const store = await create();
    const { linkAddress } = endpoint;
    const owners = async (): Promise<readonly string[]> =>
      (await store.resumptions(linkAddress, fromHex('0a0b'), 16)).map(({ sessionId }) => sessionId);
    await begin(store, '1', 'device', { confirmedMs: 10 });
    await begin(store, '2', 'device');
    assert.deepEqual(await owners(), ['2', '1']);
    // The device never used it: another handshake replaces it.
    await begin(store, '3', 'device');
    assert.deepEqual(await owners(), ['3', '1']);
    await store.updateSession('3', 1, { state: fromHex('02'), confirmedMs: 20 });
    assert.deepEqual(await owners(), ['3', '1']);
    await store.updateSession('3', 2, { state: fromHex('02'), settled: true });
    assert.deepEqual(await owners(), ['3']);
    await begin(store, '4', 'other', { confirmedMs: 30 });
    assert.deepEqual(await store.resumptions(linkAddress, fromHex('0a0b'), 1), [
      resumption('4', 'other'),
    ]);
    assert.deepEqual(await store.resumptions(linkAddress, fromHex('0a0c'), 16), []);
    assert.deepEqual(await store.resumptions(fromHex('0103'), fromHex('0a0b'), 16), []);
    // Whoever resumes with a key has it: what came before that key is gone.
    await begin(store, '5', 'other');
    await store.addHandshake(handshake('6'), limits);
    const used = { maximumPerEndpoint: 8, usedKeyOf: '4' };
    await store.promote(
      { id: '6', version: 1 },
      session('6', 'other'),
      resumption('6', 'other'),
      used,
    );
    assert.deepEqual(await owners(), ['6', '4', '3']);
    await store.removeSessionsOf(['other']);
    await begin(store, '4', 'other', { confirmedMs: 30 });
    // A worn-out session can be resumed, a revoked device cannot.
    await store.removeSession('3');
    assert.deepEqual(await owners(), ['4', '3']);
    await store.removeSessionsOf(['device']);
    assert.deepEqual(await owners(), ['4']);
  });

  test(
    `${name}: an endpoint holds so many devices, and always the one that renews`,
    { skip },
    async () => {
      const store = await create();
      for (const [id, limit, outcome] of [
        ['1', 2, 'promoted'],
        ['2', 2, 'promoted'],
        ['3', 2, 'endpoint-full'],
      ] as const) {
        await store.addHandshake(handshake(id), limits);
        assert.equal(
          await store.promote(
            { id, version: 1 },
            session(id, `device ${id}`),
            resumption(id, `device ${id}`),
            { maximumPerEndpoint: limit },
          ),
          outcome,
        );
      }
      await store.addHandshake(handshake('4'), limits);
      assert.equal(
        await store.promote(
          { id: '4', version: 1 },
          session('4', 'device 2'),
          resumption('4', 'device 2'),
          { maximumPerEndpoint: 2 },
        ),
        'promoted',
      );
    },
  );

  test(
    `${name}: a session goes on from the version that it was read at, with what it accepted`,
    { skip },
    async () => {
      const store = await create();
      await store.addHandshake(handshake('1'), limits);
      await store.promote(
        { id: '1', version: 1 },
        session('1', 'device'),
        resumption('1', 'device'),
        { maximumPerEndpoint: 8 },
      );
      assert.equal(
        await store.updateSession('1', 1, { state: fromHex('01'), accepted: telemetry }),
        true,
      );
      assert.equal(
        await store.updateSession('1', 1, {
          state: fromHex('02'),
          accepted: { ...telemetry, sequenceNumber: 8 },
        }),
        false,
      );
      assert.equal(await store.updateSession('9', 1, { state: fromHex('02') }), false);
      const stored = await store.session(endpoint, fromHex('01'));
      assert.deepEqual(stored, session('1', 'device', { version: 2, state: fromHex('01') }));
      assert.deepEqual(await store.undelivered(10), [telemetry]);
      await store.settle('1', 8);
      assert.equal((await store.undelivered(10)).length, 1);
      await store.settle('1', 7);
      assert.deepEqual(await store.undelivered(10), []);
      await store.removeSession('1');
      assert.equal(await store.updateSession('1', 2, { state: fromHex('02') }), false);
    },
  );

  test(
    `${name}: the end of a device takes its session and what was not delivered`,
    { skip },
    async () => {
      const store = await create();
      for (const id of ['1', '2', '3']) {
        await store.addHandshake(handshake(id), limits);
        await store.promote(
          { id, version: 1 },
          session(id, `device ${id}`),
          resumption(id, `device ${id}`),
          { maximumPerEndpoint: 8 },
        );
      }
      await store.updateSession('1', 1, {
        state: fromHex('01'),
        accepted: { ...telemetry, deviceId: 'device 1' },
      });
      assert.equal(await store.removeSessionsOf(['device 1', 'device 3', 'unknown']), 2);
      assert.equal(await store.session(endpoint, fromHex('01')), undefined);
      assert.notEqual(await store.session(endpoint, fromHex('02')), undefined);
      assert.deepEqual(await store.undelivered(10), []);
    },
  );
}

for (const [name, create, skip] of stores) {
  test(
    `${name}: a lease is prolonged by its holder, and nobody else has it meanwhile`,
    { skip },
    async () => {
      const store = await create();
      const lease = { holder: 'a', nowMs: 1, untilMs: 100, takeOver: false };
      assert.deepEqual(await store.lease(lease), { token: 1 });
      assert.deepEqual(await store.lease({ ...lease, untilMs: 200 }), { token: 1 });
      assert.deepEqual(await store.lease({ ...lease, holder: 'b' }), { heldUntilMs: 200 });
      assert.deepEqual(await store.addHandshake(handshake('1'), limits), { evicted: 0 });
    },
  );
}

test('postgres: under an older lease nothing is written', { skip: postgresMissing }, async () => {
  const schema = server().newSchema();
  const database = await server().open({ ...onServer, schema });
  const [older, newer] = [new PostgresSessionStore(database), new PostgresSessionStore(database)];
  const lease = { nowMs: 1, untilMs: 100, takeOver: true };
  await older.lease({ ...lease, holder: 'a' });
  assert.deepEqual(await newer.lease({ ...lease, holder: 'b' }), { token: 2 });
  const outcomes = await Promise.allSettled([
    older.addHandshake(handshake('1'), limits),
    newer.addHandshake(handshake('2'), limits),
  ]);
  assert.deepEqual([outcomes[0].status, outcomes[1].status], ['rejected', 'fulfilled']);
  assert.deepEqual(await newer.handshakes(endpoint), [handshake('2')]);
});

test('sqlite: sessions outlive the process', async () => {
  const first = openDatabase('restart.sqlite');
  const store = new SqliteSessionStore(first);
  await store.addHandshake(handshake('1'), limits);
  await store.addHandshake(handshake('2'), limits);
  await store.promote({ id: '1', version: 1 }, session('1', 'device'), resumption('1', 'device'), {
    maximumPerEndpoint: 8,
  });
  first.close();
  const again = new SqliteSessionStore(openDatabase('restart.sqlite'));
  assert.deepEqual(await again.session(endpoint, fromHex('01')), session('1', 'device'));
  assert.deepEqual(await again.handshakes(endpoint), [handshake('2')]);
});

test('sqlite: sensors in rough air, and a server that restarts all the time', async () => {
  const path = 'field.sqlite';
  let database = openDatabase(path);
  const field = new Field({ air: roughAir, seed: 21, store: new SqliteSessionStore(database) });
  const devices = [1, 2, 3].map((index) => field.addDevice(index));
  for (const device of devices) {
    await device.switchOn();
    for (let count = 0; count < 5; count++) await device.submit(`${device.deviceId} ${count}`);
  }
  for (let round = 0; devices.some((device) => device.count('telemetry') < 5); round++) {
    assert.ok(round < 1000);
    await field.time.pass(700);
    if (round % 5 > 0) continue;
    database.close();
    database = openDatabase(path);
    field.replaceStore(new SqliteSessionStore(database));
  }
  for (const { deviceId } of devices) assert.equal(new Set(field.textsOf(deviceId)).size, 5);
});
