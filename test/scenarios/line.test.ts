/**
 * A reel from blank elements to a closed ticket, with everything real: authority and provisioner behind
 * their sockets and doors, the station a process of its own that is killed by the system once.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import {
  createElementFolder,
  type ElementFolder,
} from '../../src/drivers/elements/software/elementFolder.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { parseBase64 } from '../../src/wire/bytes/base64.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { attributeText } from '../../src/wire/x509/names.ts';
import { uidOf } from '../support/line/memoryFolder.ts';

const commandFile = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'for tests only';
const costLog2 = 4;
const elements = 30;

const folder = mkdtempSync(join(tmpdir(), 'birthmark-reel-'));
const undo: Array<() => Promise<void> | void> = [() => rmSync(folder, { recursive: true })];
after(async () => {
  for (const step of undo.reverse()) await step();
});

type Document = Readonly<Record<string, unknown>>;

interface Ended {
  readonly exitCode: number | null;
  readonly documents: readonly Document[];
  readonly stderr: string;
}

function birthmark(
  words: readonly string[],
  watch?: (document: Document, child: ChildProcess) => void,
): Promise<Ended> {
  const options = ['--disable-warning=ExperimentalWarning', commandFile, ...words, '--json'];
  const child = spawn(process.execPath, options, {
    cwd: folder,
    env: { ...process.env, BIRTHMARK_PASSPHRASE: passphrase, BIRTHMARK_PASSPHRASE_FILE: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const documents: Document[] = [];
  let stderr = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    const document = JSON.parse(line) as Document;
    documents.push(document);
    watch?.(document, child);
  });
  child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
  return new Promise((resolve) => {
    child.on('close', (exitCode) => resolve({ exitCode, documents, stderr }));
  });
}

async function startServer(): Promise<{ authority: AuthorityClient; station: string }> {
  const clock = { nowMs: Date.now };
  await initializeAuthority({
    dataFolder: folder,
    passphrase,
    organization: 'Maker',
    clock,
    costLog2,
  });
  const authorityProcess = await startAuthority({ dataFolder: folder, passphrase });
  undo.push(() => authorityProcess.close());
  const authority = new AuthorityClient(socketPathFor(folder, 'authority'));
  undo.push(() => authority.close());
  const provisioner = await startProvisioner({
    folder: join(folder, 'provisioner'),
    socketPath: socketPathFor(folder, 'provisioner'),
    passphrase,
    keyCostLog2: costLog2,
    authority,
    owner: 'Maker',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
  });
  undo.push(() => provisioner.close());
  return { authority, station: `https://127.0.0.1:${provisioner.ports.station}` };
}

async function ticketFor(authority: AuthorityClient, keySpki: unknown): Promise<Uint8Array> {
  const order = await authority.createOrder({
    order: 'reel-7',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.55555.1',
    partNumber: 'S-1',
    quantity: elements,
    leastProof: 'line-anchored',
  });
  assert.ok(!isRefusal(order), JSON.stringify(order));
  const nowMs = Date.now();
  const ticket = await authority.issueTicket({
    batch: 'reel-7',
    count: elements,
    stationKeySpki: parseBase64(String(keySpki)) ?? new Uint8Array(0),
    notBeforeMs: nowMs - 60_000,
    notAfterMs: nowMs + 3_600_000,
  });
  assert.ok(!isRefusal(ticket), JSON.stringify(ticket));
  return ticket.signed;
}

async function newReel(): Promise<ElementFolder> {
  const reel = await createElementFolder(join(folder, 'reel'), passphrase, costLog2);
  for (let number = 1; number <= elements; number++) await reel.create(uidOf(number));
  return reel;
}

test('a reel is personalized, killed in the middle, finished and closed', async () => {
  const { authority, station: server } = await startServer();
  const reel = await newReel();
  const enrolled = await birthmark(['station', 'enrol', '--name', 'station-1', '--data', folder]);
  assert.equal(enrolled.exitCode, 0, enrolled.stderr);
  const again = await birthmark(['station', 'enrol', '--name', 'station-1', '--data', folder]);
  assert.deepEqual(again.documents, enrolled.documents, 'enrolled once, let in again');
  const ticketFile = join(folder, 'reel-7.ticket');
  writeFileSync(ticketFile, await ticketFor(authority, enrolled.documents[0]?.['keySpki']));

  const words = ['line', 'run', '--ticket', ticketFile, '--elements', 'reel', '--server', server];
  const killed = await birthmark([...words, '--in-flight', '2'], (document, child) => {
    if (document['event'] === 'progress' && Number(document['verified']) > 0) child.kill('SIGKILL');
  });
  assert.ok(killed.exitCode === null || killed.exitCode === 0, killed.stderr);
  const finished = await birthmark(words);
  assert.equal(finished.exitCode, 0, finished.stderr);
  const { verified, passed } = finished.documents.at(-1) ?? {};
  assert.equal(Number(verified) + Number(passed), elements);

  const closed = await birthmark(['line', 'close', '--ticket', ticketFile, '--server', server]);
  assert.equal(closed.exitCode, 0, closed.stderr);
  assert.deepEqual(closed.documents, [
    { event: 'closed', issued: elements, released: elements, scrapped: 0, returned: 0, void: 0 },
  ]);
  const batch = await authority.closeBatch('reel-7');
  assert.ok(!isRefusal(batch), JSON.stringify(batch));
  assert.equal(batch.counts.released, elements);
  await everyElementIsItself(reel);
});

/** Locked, and its certificate names the device that its slot names; no two alike. */
async function everyElementIsItself(reel: ElementFolder): Promise<void> {
  const seen = new Set<string>();
  for (const name of await reel.names()) {
    const element = await reel.open(name);
    assert.equal(await element.lifecycle(), 'locked');
    const [idevid] = (await element.readCertificate('idevid')) ?? [];
    assert.ok(idevid !== undefined);
    const deviceId = attributeText(parseCertificate(idevid).subject, 'serialNumber') ?? '';
    const slot = await element.readData('device-id');
    assert.equal(Buffer.from(slot ?? []).toString(), deviceId);
    seen.add(deviceId);
  }
  assert.equal(seen.size, elements);
}
