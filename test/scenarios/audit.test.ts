/** The record of an authority, as its operator and an auditor with a copy see it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type RunningAuthority, startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { startWitness } from '../../src/apps/witness/witness.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { parseNoteKey } from '../../src/wire/tlog/noteKey.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-audit-'));
after(() => rmSync(folder, { recursive: true }));
const data = join(folder, 'data');
const log = join(data, 'authority', 'log');
const passphrase = 'a passphrase for tests';
const clock = { nowMs: Date.now };

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function birthmark(...words: readonly string[]): Promise<Result> {
  const main = join(import.meta.dirname, '../../src/apps/cli/main.ts');
  const node = ['--disable-warning=ExperimentalWarning', main, ...words];
  return new Promise((resolve) => {
    execFile(process.execPath, node, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

interface Document {
  readonly ok: boolean;
  readonly treeSize: number;
  readonly firstLeaf: number | null;
  readonly keyFromCopy: boolean;
  readonly witnessed: ReadonlyArray<{ readonly source: string }>;
  readonly witnesses: readonly object[];
  readonly entry: { readonly kind: string; readonly holder: string };
  readonly proof: string;
}

const json = ({ stdout }: Result): Document => JSON.parse(stdout) as Document;

const start = (troubles: string[] = []): Promise<RunningAuthority> =>
  startAuthority({
    dataFolder: data,
    passphrase,
    clock,
    onTrouble: (error) => void troubles.push(String(error)),
  });

test('an operator adds witnesses; an auditor verifies a copy and finds what was changed', async (context) => {
  const organization = 'Example Sensors';
  await initializeAuthority({ dataFolder: data, passphrase, organization, clock, costLog2: 4 });
  const nothing = await birthmark('audit', 'verify', '--data', data);
  assert.deepEqual([nothing.code, /start birthmark serve once/.test(nothing.stderr)], [3, true]);
  await (await start()).close();
  const key = readFileSync(join(log, 'key'), 'utf8').trim();

  const far = await startWitness({
    folder: join(folder, 'far'),
    passphrase,
    keyCostLog2: 4,
    logs: [parseNoteKey((bytes) => nodeCrypto.hash('SHA-256', bytes), key)],
    host: '127.0.0.1',
    port: 0,
    onRefusal: (code) => assert.fail(code),
  });
  context.after(() => far.close());
  const near = join(folder, 'near');
  const url = `http://127.0.0.1:${far.port}`;
  const witness = (...words: readonly string[]): Promise<Result> =>
    birthmark('audit', 'witness', ...words, '--data', data, '--json');
  assert.equal((await witness('add', near)).code, 0);
  assert.equal((await witness('add', url, '--key', far.key)).code, 0);
  const [slip, keyless, wrongKind, dry, unknown] = await Promise.all([
    witness('add', 'htp://witness.example', '--key', far.key),
    witness('add', url),
    witness('add', url, '--key', key),
    witness('add', '/nowhere', '--dry-run'),
    witness('remove', '/nowhere'),
  ]);
  assert.deepEqual([keyless.code, wrongKind.code, dry.code, unknown.code], [2, 2, 0, 1]);
  assert.deepEqual([slip.code, /no folder and no http/.test(slip.stderr)], [2, true]);
  assert.match(keyless.stderr, /needs the --key of its witness\n/);
  assert.equal(json(await witness('list')).witnesses.length, 2);

  const troubles: string[] = [];
  await (await start(troubles)).close();
  assert.deepEqual(troubles, []);
  const whole = await birthmark('audit', 'verify', '--data', data, '--json');
  const report = json(whole);
  assert.deepEqual([whole.code, report.ok], [0, true], whole.stdout + whole.stderr);
  assert.deepEqual(report.witnessed.map(({ source }) => source).toSorted(), [near, url].toSorted());
  assert.match((await birthmark('audit', 'fsck', '--data', data)).stdout, /Everything adds up/);

  const copy = join(folder, 'copy');
  cpSync(log, copy, { recursive: true });
  const offLine = ['audit', 'verify', '--log', copy, '--json'];
  const trusted = [...offLine, '--key', key, '--witness', near, '--witness-key', far.key];
  const [first, beyond, untrusted, verified, stranger, nowhere] = await Promise.all([
    birthmark('audit', 'show', '0', '--log', copy, '--key', key, '--json'),
    birthmark('audit', 'show', String(report.treeSize), '--log', copy),
    birthmark(...offLine),
    birthmark(...trusted),
    birthmark(...offLine, '--key', far.key),
    birthmark('audit', 'verify', '--log', join(folder, 'nowhere'), '--key', key),
  ]);
  const shown = json(first);
  assert.deepEqual([shown.entry.kind, shown.entry.holder], ['issued', 'Example Sensors Root']);
  assert.match(shown.proof, /^c2sp\.org\/tlog-proof@v1\nindex 0\n/);
  assert.equal(json(untrusted).keyFromCopy, true);
  assert.deepEqual([beyond.code, verified.code, stranger.code], [1, 0, 1]);
  assert.equal(nowhere.code, 3, 'out of reach is no fault of the log');

  const bundle = join(copy, `tile/entries/000.p/${report.treeSize}`);
  const bytes = readFileSync(bundle);
  bytes[bytes.length - 1] = 0xff;
  writeFileSync(bundle, bytes);
  const damaged = await birthmark(...trusted);
  assert.deepEqual([damaged.code, json(damaged).firstLeaf], [1, report.treeSize - 1]);
});

test('an authority whose past a witness refuses does not start, before or after its log was made anew', async () => {
  const own = join(folder, 'other');
  const options = { dataFolder: own, passphrase, organization: 'Other', clock, costLog2: 4 };
  const run = (): Promise<RunningAuthority> =>
    startAuthority({ dataFolder: own, passphrase, clock, onTrouble: () => undefined });
  const paths = await initializeAuthority(options);
  writeFileSync(
    join(paths.folder, 'witnesses.json'),
    JSON.stringify([{ folder: join(folder, 'own') }]),
  );
  await (await run()).close();
  // Somebody with the keys makes the log anew, without what came behind the ceremony.
  rmSync(paths.log, { recursive: true });
  const { DatabaseSync } = await import('node:sqlite');
  const database = new DatabaseSync(paths.database);
  database.exec('DELETE FROM audit_heads; DELETE FROM audit_leaves WHERE id >= 5');
  database.close();
  await assert.rejects(run(), (error: unknown) => {
    return error instanceof EnvironmentError && /REFUSES THE AUDIT LOG/.test(error.message);
  });
});
