/**
 * Backed up, a hundred issued, ten revoked, restored: nothing returns. No serial number, address, number of
 * a list or secret is given out a second time, no revocation is lost, and the new log goes on from the old.
 */
import { begunAlone } from '../support/alone.ts';
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { configureLedger } from '../../src/apps/authority/ledger.ts';
import { openAuthoritySnapshot } from '../../src/apps/authority/stores.ts';
import { writeWitnesses } from '../../src/apps/authority/witnesses.ts';
import { openStores } from '../../src/apps/provisioner/stores.ts';
import { backUp, restore } from '../../src/apps/store/backup.ts';
import { recover, type RecoverOptions, releaseRecovery } from '../../src/apps/store/recover.ts';
import { readStoreSetting, type StoreSetting } from '../../src/apps/storeSetting.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { LogFolder } from '../../src/drivers/store/files/tileFolder.ts';
import { firstRow } from '../../src/drivers/store/snapshot.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { checkpointFile } from '../../src/trust/ports/tileStore.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { parseCertificateList, revokedEntries } from '../../src/wire/crl/certificateList.ts';
import type { EndorsedUnit } from '../../src/wire/line/endorsement.ts';
import { parseCheckpoint, type SignedCheckpoint } from '../../src/wire/tlog/checkpoint.ts';
import { GrowingTree } from '../../src/wire/tlog/growingTree.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { Installation } from '../support/installation.ts';
import { requestOf, testElement, unitRequest } from '../support/issuing/station.ts';
import { testSigner } from '../support/issuing/world.ts';
import { postgresMissing } from '../support/postgres.ts';
import { importedDevice, sha256Of } from '../support/registrySamples.ts';
import { testServer } from '../support/storeBackends.ts';

const refused = (message: RegExp) => (error: unknown) =>
  error instanceof EnvironmentError && message.test(error.message);

const idle = async (): Promise<void> => undefined;

/** What one life of an installation gave out, by what must never come twice. */
interface GivenOut {
  readonly serials: ReadonlySet<string>;
  readonly addresses: ReadonlySet<string>;
  /** Serial numbers on signed lists. */
  readonly revoked: ReadonlySet<string>;
  /** By list. */
  readonly numbers: ReadonlyMap<string, number>;
}

async function givenOut({ folder, store }: Place): Promise<GivenOut> {
  const snapshot = await openAuthoritySnapshot(authorityPaths(folder), store);
  const [serials, addresses, revoked] = [new Set<string>(), new Set<string>(), new Set<string>()];
  const numbers = new Map<string, number>();
  const bytes = (value: unknown): Uint8Array => {
    assert.ok(value instanceof Uint8Array);
    return value;
  };
  for await (const row of snapshot.rows(
    "SELECT serial FROM issuances WHERE profile NOT LIKE 'lost/%'",
  ))
    serials.add(toHex(bytes(row['serial'])));
  for await (const row of snapshot.rows('SELECT eui64 FROM units')) {
    addresses.add(toHex(bytes(row['eui64'])));
  }
  const lists = 'SELECT authority, shard, der FROM signed_lists JOIN lists ON lists.id = list';
  for await (const row of snapshot.rows(lists)) {
    const list = parseCertificateList(bytes(row['der']));
    for (const { serialNumber } of revokedEntries(list)) {
      revoked.add(toHex(serialNumber).padStart(32, '0'));
    }
    numbers.set(
      `${String(row['authority'])} ${String(row['shard'])}`,
      Number(`0x${toHex(list.crlNumber ?? new Uint8Array(1))}`),
    );
  }
  await snapshot.close();
  return { serials, addresses, revoked, numbers };
}

async function checkpointIn(folder: string): Promise<SignedCheckpoint> {
  const content = await new LogFolder(folder).read(checkpointFile);
  assert.ok(content);
  return parseCheckpoint(content);
}

function serialOf({ certificate }: EndorsedUnit): string {
  return toHex(parseCertificate(certificate).serialNumber)
    .replace(/^00(?=.{32})/, '')
    .padStart(32, '0');
}

const names = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix} ${index}`);

/** Everything that is kept elsewhere, and the backup, in folders of their own. */
class Elsewhere {
  readonly folder: string;
  constructor(context: TestContext) {
    this.folder = mkdtempSync(join(tmpdir(), 'birthmark-elsewhere-'));
    context.after(() => rmSync(this.folder, { recursive: true, force: true }));
  }
  path(name: string): string {
    return join(this.folder, name);
  }
}

interface Disaster {
  readonly elsewhere: Elsewhere;
  readonly restored: Installation;
  readonly before: GivenOut;
  readonly known: GivenOut;
  /** Device ids that were revoked, before the backup and after it. */
  readonly revoked: readonly string[];
  readonly oldTicket: Uint8Array;
  readonly secret: string;
  readonly lost: readonly EndorsedUnit[];
  readonly options: RecoverOptions;
}

async function disaster(context: TestContext, keeper: Keeper = onSqlite): Promise<Disaster> {
  const elsewhere = new Elsewhere(context);
  const baseUrl = 'http://status.example';
  const status = { baseUrl, shards: 4, birth: true };
  const store = await keeper.store();
  const installation = await Installation.create(context, { status, store });
  const paths = authorityPaths(installation.folder);
  await writeWitnesses(paths.folder, [{ folder: elsewhere.path('witness') }]);
  await configureLedger(paths, elsewhere.path('ledger'), []);
  const { oldTicket, known, secret } = await installation.serve(async (house) => {
    const ticket = await house.ticket('order-1', 200);
    const born = await house.births(ticket, names('early', 20));
    await house.revoke([born[0]?.deviceId ?? '']);
    return { oldTicket: ticket, known: born, secret: await oneTimeSecret(installation) };
  });
  await populateRegistry(installation, known);
  const knownThen = await givenOut(installation);
  cpSync(paths.log, elsewhere.path('old log'), { recursive: true });
  const putBack = await keeper.backUp(installation, elsewhere.path('backup'));

  const revoked: string[] = [known[0]?.deviceId ?? ''];
  const lost = await installation.serve(async (house) => {
    const more = await house.births(oldTicket, names('late', 60));
    const other = await house.births(await house.ticket('order-2', 100), names('later', 40));
    const ids = [...known.slice(1, 6), ...more.slice(0, 3), ...other.slice(0, 2)];
    revoked.push(...ids.map(({ deviceId }) => deviceId));
    await house.revoke(ids.map(({ deviceId }) => deviceId));
    return [...more, ...other];
  });
  cpSync(paths.log, elsewhere.path('log'), { recursive: true });
  cpSync(elsewhere.path('witness'), elsewhere.path('witness of then'), { recursive: true });
  // After the last copy: only the published lists tell it. They are signed at every start.
  await installation.serve(async (house) => {
    revoked.push(known[7]?.deviceId ?? '');
    await house.revoke([known[7]?.deviceId ?? '']);
  });
  await installation.serve(idle);
  const before = await givenOut(installation);
  const lists = await listsOf(installation);
  const folder = elsewhere.path('restored');
  const restored = installation.at(folder);
  restored.store = await putBack(folder);
  return {
    elsewhere,
    known: knownThen,
    restored,
    before,
    revoked,
    oldTicket,
    secret,
    lost,
    options: {
      dataFolder: folder,
      store: restored.store,
      log: elsewhere.path('log'),
      witnesses: [elsewhere.path('witness of then')],
      checkpoints: [],
      ledger: elsewhere.path('ledger'),
      skippedAddresses: 0,
      lists,
      nowMs: Date.now(),
    },
  };
}

type Place = Pick<Installation, 'folder' | 'store'>;

/** How an installation is put back to an earlier state. */
interface Keeper {
  readonly store: () => Promise<StoreSetting | undefined>;
  /** Gives what puts the copy into a new folder, and says where its database is then. */
  readonly backUp: (
    installation: Place,
    to: string,
  ) => Promise<(folder: string) => Promise<StoreSetting | undefined>>;
}

const onSqlite: Keeper = {
  store: async () => undefined,
  backUp: async ({ folder: from }, to) => {
    await backUp(from, to, undefined);
    return async (folder) => {
      await restore(to, folder);
      return undefined;
    };
  },
};

const server = testServer();

/** By the means of the server: the database as it was, and the folder as its machine kept it. */
const onPostgres: Keeper = {
  store: async () => {
    await server().query('CREATE DATABASE house');
    return databaseNamed('house');
  },
  backUp: async ({ folder: from }, to) => {
    await server().query('CREATE DATABASE kept TEMPLATE house');
    const leaveOut = /\/(log|sessions\.life)$/;
    const filter = (path: string): boolean => !leaveOut.test(path);
    cpSync(from, to, { recursive: true, filter });
    return async (folder) => {
      cpSync(to, folder, { recursive: true });
      return databaseNamed('kept');
    };
  },
};

/** As soon as an order is ended, which is behind everything that the log says. */
const fillDisk = `
  CREATE FUNCTION public.no_room() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$;
  CREATE TRIGGER no_room BEFORE UPDATE ON birthmark_authority.orders
  EXECUTE FUNCTION public.no_room()`;

function databaseNamed(name: string): StoreSetting | undefined {
  return readStoreSetting(server().url.replace('/postgres?', `/${name}?`), {});
}

async function oneTimeSecret({ folder }: Installation): Promise<string> {
  const desk = new DeskClient(socketPathFor(folder, 'authority'));
  const hourMs = 3_600_000;
  const made = await desk.createSecret({ product: 'x', profile: 'ldevid', lifetimeMs: hourMs });
  desk.close();
  assert.ok(!isRefusal(made));
  return made.secret;
}

async function listsOf({ folder, store }: Place): Promise<readonly Uint8Array[]> {
  const snapshot = await openAuthoritySnapshot(authorityPaths(folder), store);
  const lists: Uint8Array[] = [];
  for await (const { der } of snapshot.rows('SELECT der FROM signed_lists')) {
    if (der instanceof Uint8Array) lists.push(der);
  }
  await snapshot.close();
  return lists;
}

async function populateRegistry(
  { folder, store }: Place,
  known: readonly EndorsedUnit[],
): Promise<void> {
  const stores = await openStores(join(folder, 'provisioner'), 10, store);
  const devices = known.slice(0, 8).map(({ deviceId, certificate }, index) => ({
    ...importedDevice(index, { deviceId }),
    certificates: [
      { kind: 'idevid' as const, sha256: sha256Of(certificate), notAfterMs: undefined },
    ],
  }));
  await stores.registry.importDevices(devices, 1);
  await stores.tokens.add(
    { holder: 'reader', createdMs: 1, expiresMs: 2 ** 50 },
    sha256Of(utf8('t')),
  );
  await stores.close();
}

test('back up, issue 100, revoke 10, restore: nothing returns', async (context) => {
  await nothingReturns(await disaster(context));
});

test(
  'a database on a server, put back by the means of the server: nothing returns',
  { skip: postgresMissing },
  async (context) => {
    const world = await disaster(context, onPostgres);
    // Nobody has told it; the log's files are gone, and a witness remembers.
    await writeWitnesses(authorityPaths(world.restored.folder).folder, [
      { folder: world.elsewhere.path('witness') },
    ]);
    await assert.rejects(world.restored.serve(idle), refused(/REFUSES THE AUDIT LOG/));
    // The server's disk is full behind half of it: nothing was learnt, and nothing starts.
    const before = await world.restored.fsck();
    await server().query(fillDisk, 'kept');
    await assert.rejects(recover(world.options), refused(/the disk is full/));
    await server().query('DROP FUNCTION public.no_room CASCADE', 'kept');
    assert.deepEqual(await world.restored.fsck(), before);
    await assert.rejects(world.restored.serve(idle), refused(/put back to an earlier state/));
    await nothingReturns(world);
  },
);

async function nothingReturns(world: Disaster): Promise<void> {
  const { restored, before, options, oldTicket, secret, lost, revoked, known } = world;
  const oldLog = await checkpointIn(options.log);
  // Cut short behind what it learnt: what two persons are shown is told by the second call.
  const { folder, log } = authorityPaths(restored.folder);
  mkdirSync(log, { recursive: true });
  writeFileSync(join(folder, 'logs'), '');
  await assert.rejects(recover(options), /EEXIST/);
  rmSync(join(folder, 'logs'));
  const report = await recover(options);
  assert.deepEqual(
    { ...report, leaves: undefined },
    {
      leaves: undefined,
      lostCertificates: 100,
      changesOfStatus: 11,
      lostOrders: 1,
      endedOrders: 2,
      voidTickets: 1,
      voidSecrets: 1,
      voidApprovals: 0,
      unknownOnLists: 0,
      unpinnedAnchors: 0,
      lostProfiles: 0,
    },
  );
  await assert.rejects(restored.serve(idle), refused(/put back to an earlier state/));
  const persons = { requestedBy: 'A', approvedBy: 'A', atMs: Date.now() };
  const release = await begunAlone('store.release', { report: {} });
  await assert.rejects(releaseRecovery(options, persons, release), refused(/two persons/));
  await releaseRecovery(options, { ...persons, approvedBy: 'B' }, release);

  await restored.serve(async (house) => {
    const station = await house.station(oldTicket);
    const [answer] = await station.endorse([await unitRequest(testElement('again'))]);
    assert.equal(
      answer !== undefined && 'code' in answer ? answer.code : undefined,
      'ticket-closed',
    );
    await house.births(await house.ticket('order-3', 50), names('new', 50));
    const taken = await house.client.createOrder({
      order: 'order-2',
      product: 'sensor',
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: 'S-1',
      quantity: 1,
      leastProof: 'line-anchored',
    });
    assert.ok(isRefusal(taken));
    const key = testSigner();
    const asked = { secret, request: await requestOf(key), profile: 'ldevid' };
    const spent = await house.client.issueBySecret(asked);
    assert.ok(isRefusal(spent) && spent.refused === 'bad-secret', JSON.stringify(spent));
    // What the backup did not know can still be revoked.
    await house.revoke([lost[50]?.deviceId ?? '']);
  });
  await restored.serve(idle);
  const after = await givenOut(restored);
  const lostSerials = new Set(lost.map(serialOf));
  const again = [...after.serials].filter((serial) => lostSerials.has(serial));
  assert.deepEqual(again, []);
  const fresh = [...after.addresses].filter((address) => !known.addresses.has(address));
  assert.equal(fresh.length, 50);
  assert.deepEqual(
    fresh.filter((address) => before.addresses.has(address)),
    [],
  );
  assert.equal(before.revoked.size, revoked.length);
  assert.deepEqual(
    [...before.revoked].filter((serial) => !after.revoked.has(serial)),
    [],
  );
  assert.equal(after.revoked.size, before.revoked.size + 1);
  for (const [list, number] of before.numbers) {
    // Signed by a ceremony, and none since: the same list.
    if (list === 'root 0') assert.equal(after.numbers.get(list), number);
    else assert.ok((after.numbers.get(list) ?? 0) > number, `${list}: ${after.numbers.get(list)}`);
  }
  const { faults, unfinished } = await restored.fsck();
  assert.deepEqual([faults, unfinished], [[], 0]);
  await goesOn(restored, oldLog);
  await doorsKnow(restored, revoked);
}

/** Another key and name, and the old tree at the front of the new one. */
async function goesOn(restored: Installation, old: SignedCheckpoint): Promise<void> {
  const paths = authorityPaths(restored.folder);
  const next = await checkpointIn(paths.log);
  assert.notEqual(next.origin, old.origin);
  assert.ok(next.treeSize > old.treeSize);
  const snapshot = await openAuthoritySnapshot(paths, restored.store);
  const tree = new GrowingTree(sha256Of);
  for await (const { entry } of snapshot.rows('SELECT entry FROM audit_leaves ORDER BY id')) {
    assert.ok(entry instanceof Uint8Array);
    if (tree.size === old.treeSize) assert.deepEqual(tree.root(), old.root);
    tree.append(entry);
  }
  assert.deepEqual(tree.root(), next.root);
  await snapshot.close();
}

async function doorsKnow(restored: Installation, revoked: readonly string[]): Promise<void> {
  const stores = await openStores(join(restored.folder, 'provisioner'), 10, restored.store);
  const tokens = await stores.tokens.tokens(10);
  assert.deepEqual(
    tokens.filter(({ revokedMs }) => revokedMs === undefined),
    [],
  );
  assert.equal(tokens.length, 1);
  const devices = await stores.registry.devices({ limit: 100 });
  assert.deepEqual(
    devices
      .filter(({ state }) => state === 'revoked')
      .map(({ deviceId }) => deviceId)
      .toSorted(),
    devices
      .map(({ deviceId }) => deviceId)
      .filter((deviceId) => revoked.includes(deviceId))
      .toSorted(),
  );
  await stores.close();
}

test('it demands what is kept elsewhere, and changes nothing without', async (context) => {
  const { restored, options, elsewhere } = await disaster(context);
  const before = await restored.fsck();
  for (const [changes, message] of [
    [{ witnesses: [] }, /the newest checkpoint is missing/],
    [{ log: elsewhere.path('old log') }, /its end was cut off/],
    [{ witnesses: [elsewhere.path('witness')] }, /its end was cut off/],
    [{ ledger: undefined }, /the ledger of orders is missing/],
    [{ ledger: elsewhere.path('backup') }, /holds no ledger/],
    [{ lists: [await foreignList(context)] }, /not signed by an authority of ours/],
  ] as const) {
    await assert.rejects(recover({ ...options, ...changes }), refused(message), String(message));
    await assert.rejects(restored.serve(idle), refused(/put back/));
  }
  assert.deepEqual(await restored.fsck(), before);
  await assert.rejects(
    releaseRecovery(
      { dataFolder: restored.folder },
      { requestedBy: 'A', approvedBy: 'B', atMs: 1 },
      await begunAlone('store.release', { report: {} }),
    ),
    refused(/does not know enough/),
  );
});

/** Signed by somebody else's authority. */
async function foreignList(context: TestContext): Promise<Uint8Array> {
  const other = await Installation.create(context, {
    status: { baseUrl: 'http://status.example', shards: 1 },
  });
  await other.serve(idle);
  await other.serve(idle);
  const snapshot = await openAuthoritySnapshot(authorityPaths(other.folder), undefined);
  const { der } = await firstRow(snapshot, 'SELECT der FROM signed_lists LIMIT 1');
  await snapshot.close();
  assert.ok(der instanceof Uint8Array);
  return der;
}
