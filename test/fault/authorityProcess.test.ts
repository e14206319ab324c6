/** The authority's process is killed while a station asks it: what it answered holds, what it began is finished. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { isEndorsed } from '../../src/wire/line/endorsement.ts';
import { testElement, TestStation, unitRequest } from '../support/issuing/station.ts';
import { testSigner } from '../support/issuing/world.ts';
import { isNightly } from '../support/nightly.ts';

const passphrase = 'correct horse battery';
const program = fileURLToPath(new URL('../support/issuing/authorityProcess.ts', import.meta.url));
const unitsPerRequest = 10;
/** Real kills are dear: the suite has ten in all, the nightly campaign more. */
const kills = isNightly ? 4 : 1;

async function start(
  dataFolder: string,
): Promise<{ readonly child: ChildProcess; readonly client: AuthorityClient }> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', program, dataFolder, passphrase],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  assert.ok(child.stdout);
  for await (const line of createInterface({ input: child.stdout })) {
    const { socketPath } = JSON.parse(line) as { socketPath: string };
    return { child, client: new AuthorityClient(socketPath) };
  }
  throw new Error('the authority did not start');
}

test('killed, it makes every identity once', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-kill-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const clock = { nowMs: Date.now };
  await initializeAuthority({ dataFolder, passphrase, organization: 'Test', clock, costLog2: 4 });
  let { child, client } = await start(dataFolder);
  context.after(() => child.kill('SIGKILL'));
  const signer = testSigner();
  const elements = Array.from({ length: 80 }, (_, index) => testElement(`element ${index}`));
  await client.publishServerIdentity(Uint8Array.of(0xa1));
  const count = elements.length;
  const order = await client.createOrder({
    order: 'order-1',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: count,
    leastProof: 'line-anchored',
  });
  const nowMs = Date.now();
  const ticket = await client.issueTicket({
    batch: 'order-1',
    count,
    stationKeySpki: signer.publicKeySpki,
    notBeforeMs: nowMs - 1000,
    notAfterMs: nowMs + 600_000,
  });
  assert.ok(!isRefusal(order) && !isRefusal(ticket));
  const { orderKeySpki } = await client.hierarchy();
  const orderKey = { publicKeySpki: orderKeySpki };
  const line = { answer: (...asked: Parameters<AuthorityClient['post']>) => client.post(...asked) };
  const station = new TestStation(line, orderKey, ticket.signed, signer);
  const opening = await station.open();
  const seen = new Map<string, string>();

  /** Asks for all; the requests that the kill met are told so. */
  const askForAll = async (onAnswer: () => void): Promise<boolean> => {
    const asked: Promise<void>[] = [];
    for (let start = 0; start < count; start += unitsPerRequest) {
      const some = elements.slice(start, start + unitsPerRequest);
      asked.push(
        (async () => {
          const units = await Promise.all(some.map((one) => unitRequest(one, opening)));
          for (const answer of await station.endorse(units)) {
            assert.ok(isEndorsed(answer));
            const certificate = toHex(answer.certificate);
            assert.equal(seen.get(toHex(answer.uid)) ?? certificate, certificate);
            seen.set(toHex(answer.uid), certificate);
          }
          onAnswer();
        })(),
      );
    }
    const outcomes = await Promise.allSettled(asked);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof EnvironmentError);
    }
    return outcomes.every(({ status }) => status === 'fulfilled');
  };

  for (let kill = 0; kill < kills; kill++) {
    const dying = child;
    // Each time a little later: before any answer, among them, near the end.
    let answers = 0;
    const killAt = kills === 1 ? 3 : kill * 3;
    if (killAt === 0) setImmediate(() => dying.kill('SIGKILL'));
    const gone = once(dying, 'exit');
    await askForAll(() => {
      answers += 1;
      if (answers === killAt) dying.kill('SIGKILL');
    });
    dying.kill('SIGKILL');
    await gone;
    client.close();
    ({ child, client } = await start(dataFolder));
  }
  assert.equal(await askForAll(() => undefined), true);
  assert.equal(seen.size, count);
  client.close();
  const paths = authorityPaths(dataFolder);
  const issuers = new Map(
    ['root', 'factory', 'operational', 'server'].map((role) => [
      role,
      new Uint8Array(new X509Certificate(readFileSync(join(paths.folder, `${role}.pem`))).raw),
    ]),
  );
  const report = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
  assert.deepEqual(report.faults, []);
  assert.deepEqual([report.units, report.unfinished], [count, 0]);
});
