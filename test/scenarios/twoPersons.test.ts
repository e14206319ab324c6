/** Two people at two terminals: one orders and revokes, the other one approves, with real commands. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { beginTwoPersons } from '../../src/apps/authority/twoPersons.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { ApprovalClient } from '../../src/drivers/links/local/approvalClient.ts';
import { encodeDecision, signDocument } from '../../src/trust/approvals/documents.ts';
import { builtIn } from '../../src/trust/issuance/profiles.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { requestOf } from '../support/issuing/station.ts';
import { deviceIdOf, importedDevice } from '../support/registrySamples.ts';
import { seedDevices } from '../support/seedDevices.ts';
import { allowed, housePassphrase, statusHouse } from '../support/statusHouse.ts';

const main = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'of an operator';

interface Ran {
  readonly code: number;
  readonly document: Record<string, unknown>;
  readonly stderr: string;
}

function runner(data: string): (...words: readonly string[]) => Promise<Ran> {
  const env = {
    ...process.env,
    BIRTHMARK_OPERATOR_PASSPHRASE: passphrase,
    BIRTHMARK_PASSPHRASE: housePassphrase,
    BIRTHMARK_DATA: data,
  };
  return (...words) =>
    new Promise((resolve) => {
      const node = ['--no-warnings', main, ...words, '--json'];
      execFile(process.execPath, node, { env }, (error, stdout, stderr) => {
        const document = stdout === '' ? {} : (JSON.parse(stdout) as Record<string, unknown>);
        resolve({ code: error === null ? 0 : Number(error.code), document, stderr });
      });
    });
}

/** As `birthmark operator request` makes it, with a key file that costs a test nothing. */
async function operatorFolder(folder: string, name: string): Promise<Uint8Array> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'operator.json'), JSON.stringify({ name }));
  const keys = await KeyFolder.open({ folder: join(folder, 'keys'), passphrase, costLog2: 4 });
  await keys.create('operator', 'p256-sign');
  return requestOf(await keys.signer('operator'));
}

async function house(context: Parameters<typeof statusHouse>[0]) {
  const persons = { ada: '', bob: '' };
  const it = await statusHouse(context, {}, async (dataFolder) => {
    const admins = [];
    for (const name of ['ada', 'bob'] as const) {
      persons[name] = join(dataFolder, name);
      admins.push({ name, request: await operatorFolder(persons[name], name) });
    }
    const clock = { nowMs: Date.now };
    const options = { dataFolder, passphrase: housePassphrase, clock };
    await beginTwoPersons(options, { admins, massLimit: 2 });
    await seedDevices(
      join(dataFolder, 'provisioner'),
      [1, 2, 3].map((number) => importedDevice(number)),
    );
  });
  /** What `birthmark approval approve` does, by Bob. */
  const approve = async (text: string): Promise<void> => {
    const desk = new ApprovalClient(socketPathFor(it.dataFolder, 'authority'));
    const installation = (await desk.mode())?.installation ?? new Uint8Array(16);
    const keys = await KeyFolder.open({ folder: join(persons.bob, 'keys'), passphrase });
    const said = { installation, request: fromHex(text), decision: 'approved', by: 'bob' } as const;
    const document = encodeDecision({ ...said, atMs: Date.now() });
    allowed(await desk.decide(await signDocument(await keys.signer('operator'), document)));
    desk.close();
  };
  return { it, persons, run: runner(it.dataFolder), approve };
}

test('an order, its ticket, and three devices that are revoked', async (context) => {
  const { it, persons, run, approve } = await house(context);
  /** Asked for by Ada, approved by Bob, and done by Ada. */
  const twice = async (...words: readonly string[]): Promise<Record<string, unknown>> => {
    const asked = await run(...words, '--as', persons.ada);
    assert.equal(asked.code, 4, asked.stderr);
    const id = String(asked.document['approval']);
    await approve(id);
    const done = await run(...words, '--approval', id);
    assert.equal(done.code, 0, done.stderr);
    return { ...done.document, id };
  };

  const order = ['order', 'create', 'reel-7', '--product', 'sensor', '--quantity', '5'];
  const alone = await run(...order);
  assert.deepEqual([alone.code, alone.document], [4, {}]);
  const asked = await run(...order, '--as', persons.ada);
  const id = String(asked.document['approval']);
  const approved = await run('approval', 'approve', id, '--as', persons.bob);
  assert.equal(approved.document['state'], 'approved', approved.stderr);
  assert.equal((approved.document['parameters'] as Record<string, unknown>)['order'], 'reel-7');
  assert.equal((await run(...order, '--approval', id)).document['approval'], id);

  const raise = ['order', 'raise', 'reel-7', '--by', '3'];
  assert.equal((await run(...raise)).code, 4);
  assert.equal((await twice(...raise))['quantity'], 8);

  const station = join(it.dataFolder, 'station.pem');
  const chain = await it.enrol('any-key');
  writeFileSync(station, encodePem('CERTIFICATE', chain[0] ?? new Uint8Array(0)));
  const out = join(it.dataFolder, 'reel-7.ticket');
  await twice('ticket', 'issue', 'reel-7', '--count', '8', '--station', station, '--out', out);
  assert.ok(readFileSync(out).length > 0);

  // Two at once are within the limit of one person, three are not, whoever asks the server how.
  const devices = [1, 2, 3].map(deviceIdOf);
  const around = await it.operator.revokeDevices(devices, 'recalled');
  assert.equal('refused' in around ? around.refused : '', 'approval-needed');
  const dry = await run('device', 'revoke', ...devices, '--reason', 'recalled', '--dry-run');
  assert.deepEqual([dry.code, dry.document['refused']], [1, 'approval-needed'], dry.stderr);
  const few = devices.slice(0, 2);
  const may = await run('device', 'revoke', ...few, '--reason', 'recalled', '--dry-run');
  assert.deepEqual([may.code, may.document['refused']], [0, undefined], may.stderr);
  allowed(await it.operator.revokeDevices(devices.slice(0, 2), 'recalled'));
  const report = await twice('revoke', 'device', ...devices, '--reason', 'recalled');
  assert.deepEqual([report['devices'], report['changed']], [3, 1]);

  const refusals = readFileSync(join(it.dataFolder, 'provisioner/security/refusals.jsonl'), 'utf8');
  assert.match(refusals, /approval-needed/);
  const checked = await run('audit', 'fsck');
  assert.deepEqual([checked.code, checked.document['faults']], [0, []], checked.stderr);
});

test('an operator comes, and a resting authority asks for two as well', async (context) => {
  const { it, persons, run, approve } = await house(context);
  const request = join(it.dataFolder, 'eve.csr');
  const eve = await operatorFolder(join(it.dataFolder, 'eve'), 'eve');
  writeFileSync(request, encodePem('CERTIFICATE REQUEST', eve));
  const out = join(it.dataFolder, 'eve.pem');
  const add = ['operator', 'add', 'eve', '--role', 'operator', '--request', request, '--out', out];
  const id = String((await run(...add, '--as', persons.ada)).document['approval']);
  await approve(id);
  assert.equal((await run(...add, '--approval', id)).code, 0);

  await it.closeAuthority();
  const rollover = ['ca', 'rollover', 'announce', 'server'];
  const waiting = await run(...rollover, '--as', persons.ada);
  assert.deepEqual([waiting.code, waiting.document['act']], [4, 'authority.announce']);
  await it.startAuthority();
});

test('one more authority, by a profile of its own, is made by two', async (context) => {
  const { it, persons, run, approve } = await house(context);
  const profile = join(it.dataFolder, 'profile.json');
  const authority = { pathLength: 0, excludesHosts: true, organization: 'City Water' };
  const city = { ...builtIn('issuing'), name: 'authority-city', authority };
  writeFileSync(profile, JSON.stringify(city));
  const add = ['ca', 'add', 'operational', 'city', '--batches', 'reel-7'];
  const named = [...add, '--profile', 'authority-city'];
  const ids: string[] = [];
  for (const words of [['profile', 'add', profile], named]) {
    const asked = await run(...words, '--as', persons.ada);
    assert.equal(asked.code, 4, asked.stderr);
    ids.push(String(asked.document['approval']));
  }
  const [added = '', made = ''] = ids;
  await approve(added);
  assert.equal((await run('profile', 'add', profile, '--approval', added)).code, 0);
  await approve(made);
  await it.closeAuthority();
  // Under that name, by that profile and for that batch, and nothing else.
  assert.notEqual((await run(...add, '--approval', made)).code, 0);
  assert.notEqual((await run(...named)).code, 0);
  const done = await run(...named, '--approval', made);
  assert.equal(done.code, 0, done.stderr);
  const checked = await run('audit', 'fsck');
  assert.deepEqual([checked.code, checked.document['faults']], [0, []], checked.stderr);
  await it.startAuthority();
});

test('how devices enrol is decided by two, and one person makes few secrets', async (context) => {
  const { persons, run, approve } = await house(context);
  const policy = ['enrolment', 'policy', 'ldevid', '--approval', 'first'];
  assert.equal((await run(...policy)).code, 4);
  const asked = await run(...policy, '--as', persons.ada);
  assert.deepEqual([asked.code, asked.document['act']], [4, 'policy.change'], asked.stderr);
  const id = String(asked.document['approval']);
  assert.notEqual((await run(...policy, '--request', id)).code, 0);
  await approve(id);
  assert.equal((await run(...policy, '--request', id)).code, 0);

  const secret = ['enrolment', 'secret', 'create', '--product', 'meter'];
  for (const code of [0, 0]) assert.equal((await run(...secret)).code, code);
  const third = await run(...secret);
  assert.match(third.stderr, /Two persons are needed/);
  const named = [...secret, '--device', deviceIdOf(1)];
  assert.equal((await run(...named)).code, 4);
  const wanted = String((await run(...named, '--as', persons.ada)).document['approval']);
  await approve(wanted);
  assert.equal((await run(...named, '--approval', wanted)).code, 0);
  const checked = await run('audit', 'fsck');
  assert.deepEqual([checked.code, checked.document['faults']], [0, []], checked.stderr);
});

test('a provisioner in wrong hands revokes no more in a day than one person may', async (context) => {
  const { it } = await house(context);
  const names = ['app-1', 'app-2', 'app-3'];
  for (const name of names) await it.enrol(name);
  const notices = names.map((name, index) => ({
    sequence: index + 1,
    act: 'revoke-device' as const,
    subject: name,
    holder: name,
    code: 'keyCompromise' as const,
    reason: 'recalled',
    atMs: Date.now(),
  }));
  const scope = { by: 'device', deviceIds: names } as const;
  const order = { act: 'revoke', scope, code: 'keyCompromise', reason: 'recalled' } as const;
  const approval = new Uint8Array(32);
  const ordered = await it.issuing.recordOrdered(notices, { order, approval });
  assert.equal(ordered?.refused, 'approval-unknown');
  assert.deepEqual(await it.issuing.recordRevocations(notices), [3]);
  assert.equal((await it.issuing.status()).revoked, 2);
  await it.closeAuthority();
  const refusals = readFileSync(join(it.dataFolder, 'authority/security/refusals.jsonl'), 'utf8');
  assert.match(refusals, /approval-unknown/);
  assert.match(refusals, /More devices than one person may change the status of/);
  await it.startAuthority();
});
