/** The commands of an operator over the network: what they say is what they say on the server itself. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { beginTwoPersons } from '../../src/apps/authority/twoPersons.ts';
import { birthmarkProgram } from '../../src/apps/cli/program.ts';
import { closeReach } from '../../src/apps/cli/reach.ts';
import { explain } from '../../src/apps/cli/terminal.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { requestOf } from '../support/issuing/station.ts';
import { deviceIdOf, importedDevice } from '../support/registrySamples.ts';
import { seedDevices } from '../support/seedDevices.ts';
import { housePassphrase, statusHouse } from '../support/statusHouse.ts';

const passphrase = 'of an operator';
process.env['BIRTHMARK_OPERATOR_PASSPHRASE'] = passphrase;
process.env['BIRTHMARK_PASSPHRASE'] = housePassphrase;

interface Ran {
  readonly code: number;
  readonly document: Record<string, unknown>;
  readonly said: string;
}

/** As the command line runs it, in this process. */
async function run(...words: readonly string[]): Promise<Ran> {
  const written: string[] = [];
  const said: string[] = [];
  const { stdout, stderr } = process;
  const [write, writeError] = [stdout.write.bind(stdout), stderr.write.bind(stderr)];
  stdout.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
  stderr.write = (text: string | Uint8Array) => said.push(String(text)) > 0;
  process.exitCode = 0;
  let code: number;
  try {
    await birthmarkProgram().parseAsync([...words, '--json'], { from: 'user' });
    code = process.exitCode;
  } catch (error) {
    const { message, exitCode } = explain(error);
    said.push(message);
    code = error instanceof Error && error.name === 'CommanderError' ? 2 : exitCode;
  } finally {
    await closeReach();
    stdout.write = write;
    stderr.write = writeError;
    process.exitCode = 0;
  }
  const text = written.join('');
  const document = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { code, document, said: said.join('') };
}

/** As `birthmark operator request` makes it, with a key file that costs a test nothing. */
async function operatorFolder(folder: string, name: string): Promise<Uint8Array> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'operator.json'), JSON.stringify({ name }));
  const keys = await KeyFolder.open({ folder: join(folder, 'keys'), passphrase, costLog2: 4 });
  await keys.create('operator', 'p256-sign');
  return requestOf(await keys.signer('operator'));
}

const devices = [1, 2, 3].map(deviceIdOf);

async function house(context: Parameters<typeof statusHouse>[0], persons: readonly string[]) {
  const it = await statusHouse(context, {}, async (dataFolder) => {
    const admins = [];
    for (const name of persons) {
      admins.push({ name, request: await operatorFolder(join(dataFolder, name), name) });
    }
    const options = { dataFolder, passphrase: housePassphrase, clock: { nowMs: Date.now } };
    if (admins.length > 0) await beginTwoPersons(options, { admins, massLimit: 2 });
    await seedDevices(
      join(dataFolder, 'provisioner'),
      [1, 2, 3].map((number) => importedDevice(number)),
    );
  });
  const { dataFolder, provisioner, issuing } = it;
  const ca = join(dataFolder, 'server.pem');
  const { server } = await issuing.hierarchy();
  writeFileSync(ca, server.map((der) => encodePem('CERTIFICATE', der)).join(''));
  const url = `https://localhost:${provisioner.ports.api}`;
  const as = (name: string): readonly string[] => [
    '--server',
    url,
    '--server-ca',
    ca,
    '--operator',
    join(dataFolder, name),
  ];
  return { ...it, url, as, here: ['--data', dataFolder] };
}

/** What differs between two moments and two machines. */
function comparable(document: object): unknown {
  const local = new Set(['folder', 'file', 'killMs']);
  return JSON.parse(
    JSON.stringify(document, (name, value: unknown) => (local.has(name) ? undefined : value)),
  );
}

test('an order by two persons who never come to the server, and the same answers there', async (context) => {
  const it = await house(context, ['ada', 'bob']);
  const [ada, bob] = [it.as('ada'), it.as('bob')];
  const order = ['order', 'create', 'reel-7', '--product', 'sensor', '--quantity', '5'];
  const would = await run(...order, '--dry-run', ...ada);
  assert.equal(would.code, 0, would.said);
  const asked = await run(...order, ...ada);
  assert.equal(asked.code, 4, asked.said);
  const id = String(asked.document['approval']);
  const own = await run('approval', 'approve', id, ...ada);
  assert.deepEqual([own.code, /same-person/.test(own.said)], [1, true]);
  const early = await run(...order, '--approval', id, ...ada);
  assert.deepEqual([early.code, /approval-missing/.test(early.said)], [1, true], early.said);
  const approved = await run('approval', 'approve', id, ...bob);
  assert.equal(approved.document['state'], 'approved', approved.said);
  const done = await run(...order, '--approval', id, ...ada);
  assert.deepEqual([done.code, done.document['approval']], [0, id], done.said);

  const two = devices.slice(0, 2);
  const planned = await run('device', 'revoke', ...two, '--reason', 'x', '--dry-run', ...bob);
  assert.equal(planned.code, 0, planned.said);
  const held = await run('hold', 'device', devices[0] ?? '', '--reason', 'lost', ...bob);
  assert.deepEqual([held.code, held.document['changed']], [0, 1], held.said);
  const mass = await run('revoke', 'device', ...devices, '--reason', 'recalled', ...bob);
  assert.deepEqual([mass.code, mass.document['act']], [4, 'status.mass'], mass.said);

  const shown = [
    ['device', 'list'],
    ['device', 'show', devices[0] ?? ''],
    ['crl', 'list'],
    ['crl', 'show', 'operational', '0'],
    ['profile', 'list', '--all'],
    ['profile', 'show', 'ldevid'],
    ['order', 'list'],
    ['order', 'show', 'reel-7'],
    ['operator', 'list'],
    ['approval', 'list', '--all'],
    ['approval', 'show', id],
    ['audit', 'show', '0'],
    ['ca', 'show'],
    ['ca', 'horizon'],
    ['telemetry', 'list', devices[0] ?? ''],
    ['revoke', 'device', ...devices, '--reason', 'recalled', '--dry-run'],
  ];
  for (const words of shown) {
    const there = await run(...words, ...it.here);
    const elsewhere = await run(...words, ...ada);
    assert.deepEqual([there.code, elsewhere.code], [0, 0], `${words.join(' ')}: ${elsewhere.said}`);
    assert.deepEqual(comparable(elsewhere.document), comparable(there.document), words.join(' '));
  }
  const head = await run('audit', 'head', ...ada);
  assert.ok(Number(head.document['auditSize']) > 0, head.said);
});

test('who is nobody there gets nothing, and what is for the machine itself says so', async (context) => {
  const it = await house(context, ['ada', 'bob']);
  await operatorFolder(join(it.dataFolder, 'eve'), 'ada');
  const stranger = await run('device', 'list', ...it.as('eve'));
  assert.deepEqual([stranger.code, /unauthorized/.test(stranger.said)], [1, true], stranger.said);
  const nameless = await run('device', 'list', '--server', it.url);
  assert.deepEqual([nameless.code, /--operator/.test(nameless.said)], [2, true]);
  const unknown = await run('device', 'list', '--server', it.url, ...it.as('ada').slice(4));
  assert.deepEqual([unknown.code, /cannot be reached/.test(unknown.said)], [3, true], unknown.said);
  const root = await run('crl', 'sign-root', '--server', it.url);
  assert.deepEqual([root.code, /machine of the server/.test(root.said)], [2, true], root.said);
  const plain = await run('device', 'list', '--server', 'http://localhost');
  assert.equal(plain.code, 2);
});

test('a role that is taken away is gone with the next request, and so is who is revoked', async (context) => {
  const it = await house(context, ['ada', 'bob', 'cyd']);
  const list = (): Promise<Ran> => run('order', 'list', ...it.as('cyd'));
  const ada = ['--as', join(it.dataFolder, 'ada'), ...it.here];
  assert.equal((await list()).code, 0);
  const withdrawn = await run('operator', 'withdraw', 'cyd', '--role', 'admin', ...ada);
  assert.equal(withdrawn.code, 0, withdrawn.said);
  const without = await list();
  assert.deepEqual([without.code, /wrong-role/.test(without.said)], [1, true], without.said);
  assert.equal((await run('device', 'list', ...it.as('cyd'))).code, 0);
  const act = await run('device', 'revoke', ...devices, '--reason', 'x', ...it.as('cyd'));
  assert.match(act.said, /wrong-role/);
  assert.equal((await run('operator', 'revoke', 'cyd', ...ada)).code, 0);
  const gone = await run('device', 'list', ...it.as('cyd'));
  assert.deepEqual([gone.code, /unauthorized/.test(gone.said)], [1, true], gone.said);
});

test('one person with the certificate of an operator acts, an application does not', async (context) => {
  const it = await house(context, []);
  for (const kind of ['operator', 'application']) {
    const out = join(it.dataFolder, kind);
    const enrol = ['application', 'enrol', `the-${kind}`, '--kind', kind, '--plain-key'];
    const enrolled = await run(...enrol, '--out', out, ...it.here);
    assert.equal(enrolled.code, 0, enrolled.said);
  }
  const order = ['order', 'create', 'reel-1', '--product', 'sensor', '--quantity', '2'];
  const place = (name: string): readonly string[] => [
    '--server',
    it.url,
    '--operator',
    join(it.dataFolder, name),
  ];
  const program = await run(...order, ...place('application'));
  assert.deepEqual([program.code, /wrong-role/.test(program.said)], [1, true], program.said);
  const person = await run(...order, ...place('operator'));
  assert.deepEqual([person.code, person.document['mode']], [0, 'single-operator'], person.said);
  const closing = await run('order', 'close', 'reel-1', '--dry-run', ...place('operator'));
  assert.deepEqual([closing.code, closing.document['batches']], [0, ['reel-1']], closing.said);
  assert.ok(readFileSync(join(it.dataFolder, 'operator', 'server.pem')).length > 0);
});
