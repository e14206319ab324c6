/**
 * A whole run in real processes, with every secret known: authorities, server, line, gateway, a sensor with
 * TLS and one without, a resumption, a revocation, mistakes. None of the secrets is in what anybody said,
 * logged, counted, answered or stored, in whatever form.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Application } from '../../sim/demo/application.ts';
import type { Demo, Server } from '../../sim/demo/demo.ts';
import {
  openAir,
  switchOnGateway,
  switchOnIpSensor,
  switchOnRadioSensor,
} from '../../sim/demo/field.ts';
import { Narrator } from '../../sim/demo/narrator.ts';
import {
  ask,
  finish,
  listOf,
  numberOf,
  start,
  stopAll,
  textOf,
  words,
} from '../../sim/demo/processes.ts';
import { emptyReport } from '../../sim/demo/report.ts';

const passphrase = 'a passphrase that stands nowhere 7f3a';

class Quiet extends Narrator {
  override proven(): void {}
  override say(): void {}
}

interface Run {
  readonly demo: Demo;
  readonly folder: string;
  readonly secretsFolder: string;
}

function prepare(context: TestContext): Run {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-secrets-'));
  const secretsFolder = mkdtempSync(join(tmpdir(), 'birthmark-tapped-'));
  context.after(async () => {
    await stopAll();
    for (const one of [folder, secretsFolder]) rmSync(one, { recursive: true, force: true });
  });
  mkdirSync(join(folder, 'output'));
  const passphraseFile = join(secretsFolder, 'passphrase');
  writeFileSync(passphraseFile, passphrase, { mode: 0o600 });
  const tap = new URL('../support/secretTap.ts', import.meta.url).href;
  const variables = {
    BIRTHMARK_DATA: join(folder, 'data'),
    BIRTHMARK_PASSPHRASE_FILE: passphraseFile,
    BIRTHMARK_TAP_SECRETS: secretsFolder,
    BIRTHMARK_TAP_OUTPUT: join(folder, 'output'),
    // Two dozen processes read the same program.
    NODE_COMPILE_CACHE: join(secretsFolder, 'compiled'),
    NODE_OPTIONS: `--disable-warning=ExperimentalWarning --import=${tap}`,
  };
  const environment = { folder, variables };
  const demo = { environment, passphrase, narrator: new Quiet(), report: emptyReport() };
  return { demo, folder, secretsFolder };
}

async function serve({ demo: { environment } }: Run): Promise<Server> {
  await ask(environment, words`ca init --organization ${'Example Sensors'}`);
  const doors = words`--device-port 0 --station-port 0 --api-port 0 --mqtt-port 0`;
  const server = start(environment, [...words`serve --log-level debug --json`, ...doors]);
  const { ports } = (await server.event((event) => event['ready'] === true)) as {
    readonly ports: Readonly<Record<string, unknown>>;
  };
  const [device, station] = [numberOf(ports, 'device'), numberOf(ports, 'station')];
  return { device, station, api: numberOf(ports, 'api'), mqtt: numberOf(ports, 'mqtt') };
}

/** An order of elements at a station; the files of the finished ones. */
async function personalize(
  { demo: { environment }, folder }: Run,
  server: Server,
  name: string,
  quantity: number,
): Promise<ReadonlyArray<{ readonly deviceId: string; readonly file: string }>> {
  const [elements, station] = [join(folder, name), join(folder, 'station')];
  const ticket = join(folder, `${name}.ticket`);
  await ask(environment, words`element create --elements ${elements} --count ${quantity}`);
  await ask(environment, words`order create ${name} --product ${name} --quantity ${quantity}`);
  await ask(
    environment,
    words`ticket issue ${name} --count ${quantity} --station ${station} --out ${ticket}`,
  );
  const url = `https://localhost:${server.station}`;
  const run = words`line run --ticket ${ticket} --elements ${elements} --server ${url}
    --station ${station} --close --json`;
  const { exitCode, stderr } = await finish(environment, run);
  assert.equal(exitCode, 0, stderr);
  await ask(environment, words`order close ${name}`);
  const shown = await ask(environment, words`element show ${elements}`);
  return listOf(shown, 'elements').map((element) => ({
    deviceId: textOf(element, 'deviceId'),
    file: join(elements, `${textOf(element, 'uid')}.element`),
  }));
}

/** What applications see, kept beside what processes said. */
async function keepAnswers({ folder }: Run, { api }: Server, deviceId: string): Promise<void> {
  const file = (name: string): Buffer => readFileSync(join(folder, 'application', name));
  const [key, cert, ca] = [file('key.pem'), file('certificate.pem'), file('server.pem')];
  for (const path of ['/metrics', '/v1/devices', `/v1/devices/${deviceId}`, '/v1/devices/no']) {
    const body = await new Promise<string>((resolve, reject) => {
      const options = { key, cert, ca, allowPartialTrustChain: true };
      request(`https://localhost:${api}${path}`, options, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve(text));
      })
        .on('error', reject)
        .end();
    });
    writeFileSync(join(folder, 'output', `answer ${path.replaceAll('/', ' ')}`), body);
  }
}

/** What goes wrong says more than what goes well. */
async function makeMistakes({ demo: { environment }, folder }: Run, file: string): Promise<void> {
  const wrongFile = join(folder, 'wrong');
  writeFileSync(wrongFile, 'not this one');
  const wrong = { BIRTHMARK_PASSPHRASE_FILE: wrongFile };
  const mistaken = { ...environment, variables: { ...environment.variables, ...wrong } };
  const bytes = readFileSync(file);
  const damaged = join(folder, 'damaged.element');
  writeFileSync(damaged, bytes.with(bytes.length - 40, 1));
  const outcomes = await Promise.all([
    finish(mistaken, words`ca init --organization ${'Again'}`),
    finish(
      mistaken,
      words`sensor run --kind ip --element ${file} --state ${folder}/x --server localhost:1`,
    ),
    finish(
      environment,
      words`sensor run --kind ip --element ${damaged} --state ${folder}/y --server localhost:1`,
    ),
  ]);
  for (const { exitCode } of outcomes) assert.notEqual(exitCode, 0);
}

interface Known {
  readonly name: string;
  readonly form: Buffer;
}

/** Raw, hexadecimal, and base64 wherever in a longer text it begins. */
function formsOf(kind: string, secret: Buffer): Known[] {
  const hex = secret.toString('hex');
  const inBase64 = [0, 1, 2].flatMap((before) => {
    const padded = Buffer.concat([Buffer.alloc(before), secret]);
    const whole = padded.length - (padded.length % 3);
    const text = padded
      .subarray(0, whole)
      .toString('base64')
      .slice(before === 0 ? 0 : 4);
    return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
  });
  const texts = [...new Set([hex, hex.toUpperCase(), ...inBase64])];
  return [secret, ...texts.map((text) => Buffer.from(text))].map((form) => ({
    name: `${kind} ${hex.slice(0, 8)}...`,
    form,
  }));
}

/** Finds any of many byte strings in one pass. */
class Search {
  readonly #byStart = new Map<number, Known[]>();

  constructor(known: readonly Known[]) {
    for (const one of known) {
      const start = one.form.readUInt32LE(0);
      const same = this.#byStart.get(start);
      if (same === undefined) this.#byStart.set(start, [one]);
      else same.push(one);
    }
  }

  in(bytes: Buffer): string[] {
    const found = new Set<string>();
    for (let at = 0; at + 4 <= bytes.length; at++) {
      for (const { name, form } of this.#byStart.get(bytes.readUInt32LE(at)) ?? []) {
        if (bytes.subarray(at, at + form.length).equals(form)) found.add(name);
      }
    }
    return [...found];
  }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/** Asked for in clear, by `--plain-key`: the key of the application, in the file that it was asked for. */
const inClear = new Set(['application/key.pem']);

test('no secret of a whole run is in its outputs, logs, answers, databases and files', async (context) => {
  const run = prepare(context);
  const { demo, folder, secretsFolder } = run;
  const { environment } = demo;
  const server = await serve(run);
  await ask(
    environment,
    words`station enrol --name station-1 --station ${join(folder, 'station')}`,
  );
  await ask(environment, words`device role meter gateway`);
  const [gateway, first, second] = await personalize(run, server, 'meter', 3);
  assert.ok(gateway && first && second);
  const application = await Application.connect(demo, server);
  context.after(() => application.close());
  const air = await openAir(demo);
  await switchOnGateway(demo, server, gateway, air, application);
  await switchOnIpSensor(demo, server, first, application);
  await switchOnRadioSensor(demo, second, air, application);
  await keepAnswers(run, server, second.deviceId);
  await ask(environment, words`device show ${second.deviceId}`);
  await ask(environment, words`device revoke ${first.deviceId} --reason ${'lost'}`);
  await makeMistakes(run, first.file);
  await application.close();
  await stopAll();

  const secrets = readdirSync(secretsFolder)
    .filter((name) => name.endsWith('.txt'))
    .flatMap((name) => readFileSync(join(secretsFolder, name), 'utf8').trim().split('\n'));
  const distinct = [...new Set(secrets)].map((line) => line.split(/ (?=[0-9a-f]+$)/));
  const known = distinct.flatMap(([kind = '', hex = '']) => formsOf(kind, Buffer.from(hex, 'hex')));
  const search = new Search(known);
  // The tap works: each kind was seen, and this very search finds them where they are written down.
  const kinds = new Set(distinct.map(([kind]) => kind));
  for (const kind of ['private key', 'shared secret', 'cipher key', 'mac key', 'passphrase']) {
    assert.ok(kinds.has(kind), `no ${kind} was tapped`);
  }
  const [, plain = ''] = distinct.find(([kind]) => kind === 'private key') ?? [];
  assert.equal(
    search.in(Buffer.from(`x${Buffer.from(plain, 'hex').toString('base64')}`)).length,
    1,
  );
  const files = filesIn(folder);
  const leaks = files
    .filter((file) => !inClear.has(relative(folder, file)))
    .flatMap((file) =>
      search.in(readFileSync(file)).map((name) => `${relative(folder, file)}: ${name}`),
    );
  assert.deepEqual(leaks, []);
  const read = (part: string): boolean => files.some((file) => file.includes(part));
  for (const part of ['.sqlite', 'security', '.stdout', '.stderr', 'answer  metrics', '.state']) {
    assert.ok(read(part), `nothing of ${part} was looked at`);
  }
  context.diagnostic(`${distinct.length} secrets, ${known.length} forms, ${files.length} files`);
});

test('the search finds a secret at any place of a text', () => {
  const secret = Buffer.from('000102030405060708090a0b0c0d0e0f10111213', 'hex');
  const search = new Search(formsOf('test', secret));
  for (let before = 0; before < 7; before++) {
    for (let after = 0; after < 4; after++) {
      const whole = Buffer.concat([Buffer.alloc(before, 0x55), secret, Buffer.alloc(after, 0x77)]);
      for (const form of ['base64', 'base64url', 'hex'] as const) {
        assert.equal(
          search.in(Buffer.from(whole.toString(form))).length,
          1,
          `${form} ${before} ${after}`,
        );
      }
      assert.equal(search.in(whole).length, 1);
    }
  }
  assert.deepEqual(search.in(secret.subarray(1)), []);
});
