/** `birthmark serve` as a person runs it: two real processes that live and die together. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { holdLock } from '../../src/drivers/store/sqlite/processLock.ts';

const main = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'correct horse battery';

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Command {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  /** The first line on stdout; `undefined` when it ends without one. */
  readonly firstLine: Promise<string | undefined>;
}

function birthmark(data: string, ...words: readonly string[]): Command {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, ...words, '--data', data],
    { env: { ...process.env, BIRTHMARK_PASSPHRASE: passphrase } },
  );
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (part: string) => (texts[name] += part));
  }
  const finished = once(child, 'close').then(([code]) => ({ code: code as number, ...texts }));
  const firstLine = Promise.race([
    once(createInterface({ input: child.stdout }), 'line').then(([line]) => line as string),
    finished.then(() => undefined),
  ]);
  return { child, finished, firstLine };
}

const anyPorts = ['--device-port', '--api-port', '--station-port', '--mqtt-port'].flatMap(
  (option) => [option, '0'],
);

async function serve(context: TestContext, more: readonly string[] = []) {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-'));
  await initializeAuthority({
    dataFolder: data,
    passphrase,
    organization: 'Test',
    clock: { nowMs: Date.now },
    costLog2: 4,
  });
  const server = birthmark(data, 'serve', ...anyPorts, ...more, '--json');
  context.after(async () => {
    server.child.kill();
    await server.finished;
    rmSync(data, { recursive: true });
  });
  const line = await server.firstLine;
  if (line === undefined) assert.fail((await server.finished).stderr);
  return { data, server, ready: JSON.parse(line) as Record<string, unknown> };
}

function pidOf(data: string, file: string): number {
  return Number(readFileSync(join(data, `${file}-lock.pid`), 'utf8'));
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const databases = ['authority/issuing.sqlite', 'provisioner/provisioner.sqlite'] as const;

test('serve: ready, told apart from a second start, stopped by a signal', async (context) => {
  const { data, server, ready } = await serve(context);
  const ports = ready['ports'] as Record<string, number>;
  assert.deepEqual(Object.keys(ports).sort(), ['api', 'device', 'mqtt', 'station']);
  assert.ok(Object.values(ports).every((port) => port > 0));

  const [authority, provisioner] = databases.map((file) => pidOf(data, file));
  assert.ok(authority !== undefined && provisioner !== undefined && authority !== provisioner);

  const second = await birthmark(data, 'serve', ...anyPorts).finished;
  assert.equal(second.code, 3);
  assert.match(second.stderr, new RegExp(`in use by process ${authority}`));
  assert.equal(second.stdout, '');

  const [list, enrolled] = await Promise.all([
    birthmark(data, 'device', 'list', '--json').finished,
    birthmark(data, 'application', 'enrol', 'dash', '--out', join(data, 'dash'), '--json').finished,
  ]);
  assert.deepEqual([list.code, list.stdout], [0, '{"devices":[]}\n']);
  assert.equal(enrolled.code, 0, enrolled.stderr);
  const key = readFileSync(join(data, 'dash', 'key.pem'), 'utf8');
  assert.match(key, /ENCRYPTED PRIVATE KEY/);

  server.child.kill('SIGTERM');
  assert.equal((await server.finished).code, 0);
  assert.ok(!isAlive(authority) && !isAlive(provisioner));
  const alone = await birthmark(data, 'device', 'list').finished;
  assert.equal(alone.code, 3);
  assert.match(alone.stderr, /cannot be reached/);
});

test('serve: probes are answered, and stderr is JSON lines that name no secret', async (context) => {
  const more = ['--health-port', '0', '--log-level', 'debug'];
  const { server, ready } = await serve(context, more);
  const { health } = ready['ports'] as Record<string, number>;
  const base = `http://127.0.0.1:${health}`;
  const states = await Promise.all(
    ['/livez', '/readyz', '/metrics', '/nothing'].map(async (path) => fetch(base + path)),
  );
  assert.deepEqual(
    states.map(({ status }) => status),
    [200, 200, 200, 404],
  );
  const wellness: unknown = await states[1]?.json();
  assert.deepEqual(wellness, {
    ready: true,
    parts: { store: true, authority: true, certificate: true },
  });
  server.child.kill('SIGTERM');
  const { stderr } = await server.finished;
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);
  const said = lines.map(({ process: name, level, msg }) => [name, level, msg].join(' '));
  for (const name of ['authority', 'provisioner']) {
    for (const word of ['ready', 'stopped']) assert.ok(said.includes(`${name} info ${word}`));
  }
  assert.ok(lines.every(({ time }) => Number.isFinite(Date.parse(String(time)))));
  assert.doesNotMatch(stderr, new RegExp(`PRIVATE KEY|${passphrase}`));
});

for (const victim of databases) {
  test(`serve: when ${victim.split('/')[0]} dies the other is stopped`, async (context) => {
    const { data, server } = await serve(context);
    const pids = databases.map((file) => pidOf(data, file));
    process.kill(pidOf(data, victim), 'SIGKILL');
    const { code, stderr } = await server.finished;
    assert.equal(code, 70);
    assert.match(stderr, /ended by itself \(SIGKILL\)/);
    assert.deepEqual(pids.map(isAlive), [false, false]);
  });
}

test('serve: no process outlives its supervisor', async (context) => {
  const { data, server } = await serve(context);
  server.child.kill('SIGKILL');
  // The pipes are the children's too: they close with the last of them.
  await server.finished;
  for (const file of databases) holdLock(join(data, file)).release();
});

test('serve: without authorities it says how to make them', async (context) => {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-'));
  context.after(() => rmSync(data, { recursive: true }));
  const { code, stderr, stdout } = await birthmark(data, 'serve', ...anyPorts).finished;
  assert.deepEqual([code, stdout], [3, '']);
  assert.match(stderr, /birthmark ca init/);
});
