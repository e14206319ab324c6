/**
 * A server whose databases are on PostgreSQL: a batch is born on a real line, a device enrols and talks;
 * the server restarts in between, and neither another process nor another folder gets at the database.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { startIpSensor } from '../../src/apps/device/ipSensor.ts';
import { startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { readStoreSetting } from '../../src/apps/storeSetting.ts';
import { createElementFolder } from '../../src/drivers/elements/software/elementFolder.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { parseBase64 } from '../../src/wire/bytes/base64.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { uidOf } from '../support/line/memoryFolder.ts';
import { postgresMissing } from '../support/postgres.ts';
import { testServer } from '../support/storeBackends.ts';

const main = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'for tests only';
const costLog2 = 4;
const elements = 3;
const server = testServer();

interface Ended {
  readonly exitCode: number | null;
  readonly documents: ReadonlyArray<Readonly<Record<string, unknown>>>;
  readonly stderr: string;
}

function birthmark(folder: string, ...words: readonly string[]): Promise<Ended> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, ...words, '--json'],
    { cwd: folder, env: { ...process.env, BIRTHMARK_PASSPHRASE: passphrase } },
  );
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (part: string) => (texts[name] += part));
  }
  return new Promise((resolve) => {
    child.on('close', (exitCode) => {
      const lines = texts.stdout.split('\n').filter((line) => line !== '');
      const documents = lines.map((line) => JSON.parse(line) as Ended['documents'][number]);
      resolve({ exitCode, documents, stderr: texts.stderr });
    });
  });
}

async function initialized(context: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-store-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const store = readStoreSetting(server().url, {});
  const clock = { nowMs: Date.now };
  const organization = 'Maker';
  await initializeAuthority({
    dataFolder: folder,
    passphrase,
    organization,
    clock,
    costLog2,
    store,
  });
  return folder;
}

async function serve(context: TestContext, folder: string) {
  const store = readStoreSetting(server().url, {});
  const running = await startAuthority({ dataFolder: folder, passphrase, store });
  const authority = new AuthorityClient(socketPathFor(folder, 'authority'));
  const provisioner = await startProvisioner({
    folder: join(folder, 'provisioner'),
    socketPath: socketPathFor(folder, 'provisioner'),
    passphrase,
    keyCostLog2: costLog2,
    store,
    authority,
    owner: 'Maker',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
  });
  context.after(async () => {
    await provisioner.close();
    authority.close();
    await running.close();
  });
  return { authority, ports: provisioner.ports };
}

async function ticketFor(authority: AuthorityClient, keySpki: unknown): Promise<Uint8Array> {
  const order = await authority.createOrder({
    order: 'reel-1',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: 'S-1',
    quantity: elements,
    leastProof: 'line-anchored',
  });
  assert.ok(!isRefusal(order), JSON.stringify(order));
  const ticket = await authority.issueTicket({
    batch: 'reel-1',
    count: elements,
    stationKeySpki: parseBase64(String(keySpki)) ?? new Uint8Array(0),
    notBeforeMs: Date.now() - 60_000,
    notAfterMs: Date.now() + 3_600_000,
  });
  assert.ok(!isRefusal(ticket), JSON.stringify(ticket));
  return ticket.signed;
}

test('a batch is born and a device enrols', { skip: postgresMissing }, async (context) => {
  const folder = await initialized(context);
  const { authority, ports } = await serve(context, folder);
  for (const file of ['authority/issuing.sqlite', 'provisioner/provisioner.sqlite']) {
    assert.equal(existsSync(join(folder, file)), false);
  }
  const reel = await createElementFolder(join(folder, 'reel'), passphrase, costLog2);
  for (let number = 1; number <= elements; number++) await reel.create(uidOf(number));
  const run = async (...words: readonly string[]) => {
    const ended = await birthmark(folder, ...words);
    assert.equal(ended.exitCode, 0, ended.stderr);
    return ended.documents;
  };
  const [station] = await run('station', 'enrol', '--name', 'station-1', '--data', folder);
  const ticket = join(folder, 'reel-1.ticket');
  writeFileSync(ticket, await ticketFor(authority, station?.['keySpki']));
  // Between the ticket and the first element: who opened the connection finds another server behind it.
  await server().halt();
  await server().resume();
  const line = ['--ticket', ticket, '--server', `https://127.0.0.1:${ports.station}`];
  const born = await run('line', 'run', ...line, '--elements', 'reel');
  assert.equal(born.at(-1)?.['verified'], elements);
  await run('line', 'close', ...line);
  await run('order', 'close', 'reel-1', '--data', folder);

  const sensor = await startIpSensor({
    elementFile: join(folder, 'reel', `${(await reel.names())[0]}`),
    passphrase,
    server: { host: 'localhost', port: ports.device },
    onEvent: () => undefined,
  });
  context.after(() => sensor.close());
  await sensor.device.submit(utf8('from a device of the batch'));
  const { issued, auditSize } = await authority.status();
  assert.ok(issued > elements && auditSize > issued);

  // Commands that read the database by themselves, while the authority is running.
  const where = ['--data', folder, '--store', server().url];
  const [report] = await run('audit', 'fsck', ...where);
  assert.deepEqual(
    { ok: report?.['ok'], faults: report?.['faults'], units: report?.['units'] },
    { ok: true, faults: [], units: elements },
  );
  const [verified] = await run('audit', 'verify', ...where);
  assert.ok(Number(verified?.['treeSize']) >= auditSize, JSON.stringify(verified));
  const [fallen] = await run('ca', 'compromise', 'operational', '--dry-run', ...where);
  assert.deepEqual([fallen?.['canFollow'], fallen?.['cannotFollow']], [1, 0]);
});

test('one database, one folder, one process', { skip: postgresMissing }, async (context) => {
  await server().query('DROP SCHEMA IF EXISTS birthmark_authority CASCADE');
  const folder = await initialized(context);
  const store = readStoreSetting(server().url, {});
  const start = (dataFolder: string, options: object = { store }) =>
    startAuthority({ dataFolder, passphrase, ...options });
  const refused = (message: RegExp) => (error: unknown) =>
    error instanceof EnvironmentError && message.test(error.message);
  await assert.rejects(start(folder, {}), refused(/has its database on a server: give --store/));
  const running = await start(folder);
  try {
    await assert.rejects(
      start(folder),
      refused(/in use by birthmark birthmark_authority of process/),
    );
  } finally {
    await running.close();
  }
  await assert.rejects(initialized(context), refused(/are not of one installation/));
  await (await start(folder)).close();
});
