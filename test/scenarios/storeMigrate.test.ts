/**
 * An installation moves to a server and back: every row, every byte and the log's root come along; broken
 * off anywhere, the same command finishes it, and nothing starts in between.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test, type TestContext } from 'node:test';
import { openStores } from '../../src/apps/provisioner/stores.ts';
import { type Household, households } from '../../src/apps/store/household.ts';
import { moveToFile, moveToServer } from '../../src/apps/store/migrate.ts';
import { readStoreSetting, type StoreSetting } from '../../src/apps/storeSetting.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { Installation } from '../support/installation.ts';
import { postgresMissing } from '../support/postgres.ts';
import { importedDevice } from '../support/registrySamples.ts';
import { testServer } from '../support/storeBackends.ts';

const server = testServer();

function setting(): StoreSetting {
  const read = readStoreSetting(server().url, {});
  assert.ok(read);
  return read;
}

beforeEach(async () => {
  if (postgresMissing !== false) return;
  for (const schema of ['birthmark_authority', 'birthmark_provisioner']) {
    await server().query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  }
});

async function inhabited(context: TestContext): Promise<Installation> {
  const installation = await Installation.create(context);
  await installation.serve(async (house) => {
    const ticket = await house.ticket('order-1', 20);
    const born = await house.births(ticket, ['a', 'b', 'c', 'd']);
    await house.revoke(born.slice(0, 2).map(({ deviceId }) => deviceId));
  });
  const stores = await openStores(join(installation.folder, 'provisioner'), 10);
  await stores.registry.importDevices([importedDevice(1), importedDevice(2)], 1);
  await stores.telemetry.append('x', { receivedMs: 1, path: 'mqtt', payload: Uint8Array.of(1) });
  await stores.close();
  return installation;
}

const refused = (message: RegExp) => (error: unknown) =>
  error instanceof EnvironmentError && message.test(error.message);

const idle = async (): Promise<void> => undefined;

test('to a server and back', { skip: postgresMissing }, async (context) => {
  const installation = await inhabited(context);
  const before = await installation.fsck();
  const [authority, provisioner] = households(installation.folder);
  const options = { server: setting() };
  const there = await moveToServer({ household: authority, ...options });
  const registry = await moveToServer({ household: provisioner, ...options });
  assert.equal(there?.counts['units'], 4);
  assert.equal(there.logSize, before.leaves);
  assert.equal(registry?.counts['device'], 2);
  assert.equal(existsSync(authority.place.database), false);
  await assert.rejects(installation.serve(idle), refused(/on a server: give --store/));

  installation.store = setting();
  const onServer = await installation.fsck();
  assert.deepEqual(onServer, before);
  // It goes on: numbers behind those that are there, quotas as far as they were taken.
  await installation.serve(async (house) => {
    const ticket = await house.ticket('order-2', 3);
    await house.births(ticket, ['e', 'f', 'g']);
  });
  const stores = await openStores(join(installation.folder, 'provisioner'), 10, setting());
  await stores.registry.importDevices([importedDevice(3)], 2);
  assert.equal((await stores.registry.countDevices()).released, 3);
  await stores.close();

  const back = await moveToFile({ household: authority, ...options });
  await moveToFile({ household: provisioner, ...options });
  assert.equal(back?.counts['units'], 7);
  await assert.rejects(installation.serve(idle), refused(/leave --store away/));
  installation.store = undefined;
  const { faults, units } = await installation.fsck();
  assert.deepEqual([faults, units], [[], 7]);
  await installation.serve(async (house) => {
    await house.births(await house.ticket('order-3', 1), ['h']);
  });
  // The server's database was left behind for good.
  await assert.rejects(
    moveToServer({ household: authority, ...options }),
    refused(/holds a database already/),
  );
});

test(
  'a database is moved by nobody while a process has it',
  { skip: postgresMissing },
  async (context) => {
    const installation = await inhabited(context);
    const [household] = households(installation.folder);
    await installation.serve(async () => {
      await assert.rejects(moveToServer({ household, server: setting() }), refused(/in use by/));
    });
  },
);

test('a copy that differs does not count', { skip: postgresMissing }, async (context) => {
  const installation = await inhabited(context);
  const [household] = households(installation.folder);
  const { folder, schema } = household.place;
  mkdirSync(join(folder, 'store-mark.tmp'));
  await assert.rejects(moveToServer({ household, server: setting() }));
  rmdirSync(join(folder, 'store-mark.tmp'));
  await server().query(`UPDATE ${schema}.units SET model = 'another' WHERE id =
    (SELECT min(id) FROM ${schema}.units)`);
  await assert.rejects(
    moveToServer({ household, server: setting() }),
    /differs.*units: other rows/,
  );
  assert.equal(existsSync(household.place.database), true);
});

test(
  'the checker finds on a server what it finds in a file',
  { skip: postgresMissing },
  async (context) => {
    const installation = await inhabited(context);
    const [household] = households(installation.folder);
    await moveToServer({ household, server: setting() });
    installation.store = setting();
    const { schema } = household.place;
    await server().query(`
    SET session_replication_role = replica;
    UPDATE ${schema}.tickets SET taken = 3;
    UPDATE ${schema}.audit_leaves SET entry = entry || '\\x00' WHERE id = 2;
    DELETE FROM ${schema}.batches`);
    const { faults } = await installation.fsck();
    for (const expected of [
      /a row of tickets refers to a row of batches that is not there/,
      /4 identities, 3 counted/,
      /log: an entry cannot be read/,
    ]) {
      assert.ok(
        faults.some((fault) => expected.test(fault)),
        `${String(expected)}: ${faults.join('\n')}`,
      );
    }
  },
);

/** Where a move may break off, and how the world looks that breaks it there. */
const breaks: ReadonlyArray<{
  readonly name: string;
  readonly spoil: (household: Household) => Promise<() => Promise<void>> | (() => void);
  readonly finished: boolean;
}> = [
  {
    name: 'failMigrationAndNotPersist: the server refuses a row',
    spoil: async ({ place, postgresMigrations }) => {
      await (await server().open({ migrations: postgresMigrations, schema: place.schema })).close();
      const table = `${place.schema}.audit_leaves`;
      await server().query(`ALTER TABLE ${table} ADD CONSTRAINT broken CHECK (id < 5)`);
      return async () => {
        await server().query(`ALTER TABLE ${table} DROP CONSTRAINT broken`);
      };
    },
    finished: false,
  },
  {
    name: 'failMigrationAndPersist: copied, and the folder not told',
    spoil: ({ place: { folder } }) => {
      mkdirSync(join(folder, 'store-mark.tmp'));
      return () => rmdirSync(join(folder, 'store-mark.tmp'));
    },
    finished: false,
  },
  {
    name: 'failTidyingAndPersist: the folder told, and the old file still there',
    spoil: ({ place: { database } }) => {
      mkdirSync(join(`${database}.moved`, 'in the way'), { recursive: true });
      return () => {
        rmdirSync(join(`${database}.moved`, 'in the way'));
        rmdirSync(`${database}.moved`);
      };
    },
    finished: true,
  },
];

for (const { name, spoil, finished } of breaks) {
  test(name, { skip: postgresMissing }, async (context) => {
    const installation = await inhabited(context);
    const before = await installation.fsck();
    const [household] = households(installation.folder);
    const mend = await spoil(household);
    await assert.rejects(moveToServer({ household, server: setting() }));
    for (const store of [undefined, setting()]) {
      installation.store = store;
      await assert.rejects(installation.serve(idle), refused(/is being moved: finish/));
    }
    await mend();
    const moved = await moveToServer({ household, server: setting() });
    assert.equal(moved === undefined, finished);
    installation.store = setting();
    assert.deepEqual(await installation.fsck(), before);
    await installation.serve(idle);
    await assert.rejects(
      moveToServer({ household, server: setting() }),
      refused(/on a server already/),
    );
  });
}
