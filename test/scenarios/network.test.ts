/** The commands of an operator over the network: what they say is what they say on the server itself. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { InspectionClient } from '../../src/drivers/links/local/inspectionClient.ts';
import { LocalClient } from '../../src/drivers/links/local/localClient.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import {
  concealedContext,
  concealedExporter,
  encodeConcealed,
  splitExport,
} from '../../src/wire/http/concealed.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { p256Point } from '../../src/wire/x509/spki.ts';
import { operatorFolder, operatorPassphrase, type Ran, run } from '../support/commands.ts';
import { devices, type NetworkHouse, networkHouse } from '../support/networkHouse.ts';
import { pki } from '../support/peers.ts';

/** What differs between two moments and two machines. */
function comparable(document: object): unknown {
  const local = new Set(['folder', 'file', 'killMs']);
  return JSON.parse(
    JSON.stringify(document, (name, value: unknown) => (local.has(name) ? undefined : value)),
  );
}

/** Asked for by ada, approved by bob, done by ada. */
async function twice(it: NetworkHouse, ...words: readonly string[]): Promise<Ran> {
  const id = String((await run(...words, ...it.as('ada'))).document['approval']);
  assert.equal((await run('approval', 'approve', id, ...it.as('bob'))).code, 0);
  return run(...words, '--approval', id, ...it.as('ada'));
}

test('an order by two persons who never come to the server, and the same answers there', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
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
  for (const dry of [[], ['--dry-run']]) {
    const typo = await run('revoke', 'batch', 'rel-7', '--reason', 'x', ...dry, ...bob);
    assert.deepEqual([typo.code, /no batch rel-7 is known/.test(typo.said)], [1, true], typo.said);
  }
  const all = ['revoke', 'device', ...devices, '--reason', 'recalled'];
  const mass = await run(...all, ...bob);
  assert.deepEqual([mass.code, mass.document['act']], [4, 'status.mass'], mass.said);

  const massId = String(mass.document['approval']);
  assert.equal((await run('approval', 'approve', massId, ...bob)).code, 1);
  assert.equal((await run('approval', 'approve', massId, ...ada)).code, 0);
  const revoked = await run(...all, '--approval', massId, ...bob);
  assert.deepEqual([revoked.code, revoked.document['changed']], [0, 3], revoked.said);

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
    ['enrolment', 'secret', 'list'],
    ['enrolment', 'requests'],
    ['enrolment', 'policy'],
    ['foreign', 'list'],
    ['token', 'list'],
    ['telemetry', 'list', devices[0] ?? ''],
    [...all, '--dry-run'],
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
  const it = await networkHouse(context, ['ada', 'bob']);
  await operatorFolder(join(it.dataFolder, 'eve'), 'ada');
  const stranger = await run('device', 'list', ...it.as('eve'));
  assert.deepEqual([stranger.code, /unauthorized/.test(stranger.said)], [1, true], stranger.said);
  const nameless = await run('device', 'list', '--server', it.api);
  assert.deepEqual([nameless.code, /--operator/.test(nameless.said)], [2, true]);
  const unknown = await run('device', 'list', '--server', it.api, ...it.as('ada').slice(4));
  assert.deepEqual([unknown.code, /cannot be reached/.test(unknown.said)], [3, true], unknown.said);
  const root = await run('crl', 'sign-root', '--server', it.api);
  assert.deepEqual([root.code, /machine of the server/.test(root.said)], [2, true], root.said);
  const plain = await run('device', 'list', '--server', 'http://localhost');
  assert.equal(plain.code, 2);
  const both = await run('device', 'list', ...it.as('ada'), ...it.here);
  assert.deepEqual([both.code, /cannot be used with/.test(both.said)], [2, true], both.said);
});

test('a role that is taken away is gone with the next request, and so is who is revoked', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob', 'cyd']);
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

test('operators come, change and renew without a way to the server', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const folder = join(it.dataFolder, 'eve');
  const request = join(folder, 'request.pem');
  writeFileSync(request, encodePem('CERTIFICATE REQUEST', await operatorFolder(folder, 'eve')));
  const out = join(folder, 'certificate.pem');
  const add = ['operator', 'add', 'eve', '--role', 'operator', '--request', request, '--out', out];
  const added = await twice(it, ...add);
  assert.deepEqual([added.code, added.document['role']], [0, 'operator'], added.said);
  const refused = await run(...add, ...it.as('eve'));
  assert.match(refused.said, /wrong-role/);
  const granted = await twice(it, 'operator', 'grant', 'eve', '--role', 'station-manager');
  assert.deepEqual([granted.code, granted.document['change']], [0, 'grant'], granted.said);
  const renewed = await run('operator', 'renew', folder, ...it.as('eve'));
  assert.deepEqual([renewed.code, renewed.document['certificate']], [0, out], renewed.said);
  assert.equal((await run('order', 'list', ...it.as('eve'))).code, 0);
  assert.equal((await run('operator', 'revoke', 'eve', ...it.as('ada'))).code, 0);
  assert.match((await run('order', 'list', ...it.as('eve'))).said, /unauthorized/);
});

test('who may enrol is decided from elsewhere, and every secret is told once', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const [ada, bob] = [it.as('ada'), it.as('bob')];
  const create = ['enrolment', 'secret', 'create', '--product', 'meter'];
  const made = await run(...create, ...ada);
  const { id, secret, deviceId } = made.document;
  assert.deepEqual([made.code, typeof secret], [0, 'string'], made.said);
  // Whoever has it becomes that device.
  const named = [...create, '--device', devices[0] ?? ''];
  const asked = await run(...named, ...ada);
  assert.equal(asked.code, 4, asked.said);
  const approval = String(asked.document['approval']);
  assert.match((await run(...named, '--approval', approval, ...ada)).said, /approval-missing/);
  assert.equal((await run('approval', 'approve', approval, ...bob)).code, 0);
  const known = await run(...named, '--approval', approval, ...ada);
  assert.deepEqual([known.code, known.document['deviceId']], [0, devices[0]], known.said);

  const change = ['enrolment', 'policy', 'ldevid', '--approval', 'first'];
  const request = String((await run(...change, ...ada)).document['approval']);
  assert.equal((await run('approval', 'approve', request, ...bob)).code, 0);
  const changed = await run(...change, '--request', request, ...ada);
  assert.equal(changed.code, 0, changed.said);

  const proof = await operatorFolder(join(it.dataFolder, 'device'), 'device');
  const enrol = { secret: String(secret), request: proof, profile: 'ldevid' };
  assert.ok('retryAfterS' in (await it.issuing.issueBySecret(enrol)));
  const waiting = await run('enrolment', 'requests', ...ada);
  const [first, ...more] = waiting.document['requests'] as Array<Record<string, unknown>>;
  assert.deepEqual([first?.['deviceId'], first?.['cause'], more], [deviceId, 'first', []]);
  for (const words of [['secret', 'list'], ['requests'], ['policy']]) {
    const there = await run('enrolment', ...words, ...it.here);
    const elsewhere = await run('enrolment', ...words, ...bob);
    assert.deepEqual(elsewhere.document, there.document, words.join(' '));
    assert.ok(!JSON.stringify(there).includes(String(secret)));
  }
  const approved = await run('enrolment', 'approve', String(first?.['id']), ...bob);
  assert.deepEqual([approved.code, approved.document['decision']], [0, 'approved'], approved.said);
  assert.ok('certificate' in (await it.issuing.issueBySecret(enrol)));
  const again = await run('enrolment', 'deny', String(first?.['id']), ...bob);
  assert.deepEqual([again.code, /unknown/.test(again.said)], [1, true], again.said);
  const spent = await run('enrolment', 'secret', 'void', String(id), ...ada);
  assert.deepEqual([spent.code, /unknown/.test(spent.said)], [1, true], spent.said);
  const other = String(known.document['id']);
  assert.equal((await run('enrolment', 'secret', 'void', other, ...bob)).code, 0);
  const { auditSize } = await it.issuing.status();
  const log = new InspectionClient(socketPathFor(it.dataFolder, 'authority'));
  const leaves = await Promise.all(
    Array.from({ length: auditSize }, (_, leaf) => log.leaf(leaf)),
  ).finally(() => log.close());
  assert.ok(leaves.some((leaf) => Buffer.from(leaf?.bytes ?? []).includes('by signer/bob')));
});

test('other makers are believed, and no more, by two persons who never come to the server', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const file = join(it.dataFolder, 'vendor.pem');
  const { root } = pki;
  writeFileSync(file, encodePem('CERTIFICATE', root.certificate.der));
  const pin = ['foreign', 'pin', file, '--product', 'meter', '--count'];
  const would = await run(...pin, '9', '--dry-run', ...it.as('ada'));
  assert.deepEqual([would.code, would.document['count']], [0, 9], would.said);
  const pinned = await twice(it, ...pin, '9');
  assert.deepEqual([pinned.code, pinned.document['count']], [0, 9], pinned.said);
  const other = await run(...pin, '10', '--approval', '0'.repeat(64), ...it.as('ada'));
  assert.deepEqual([other.code, /no request/.test(other.said)], [1, true], other.said);
  const sha256 = String(pinned.document['sha256']);
  const retired = await twice(it, 'foreign', 'retire', sha256, '--product', 'meter');
  assert.deepEqual([retired.code, retired.document['retired']], [0, true], retired.said);
  const there = await run('foreign', 'list', ...it.here);
  const elsewhere = await run('foreign', 'list', ...it.as('bob'));
  const [anchor] = there.document['anchors'] as Array<Record<string, unknown>>;
  assert.equal(typeof anchor?.['retiredMs'], 'number');
  assert.deepEqual(elsewhere.document, there.document);
});

test('an admin lets programs in from elsewhere, and nobody else does', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const folder = join(it.dataFolder, 'cyd');
  const request = join(folder, 'request.pem');
  writeFileSync(request, encodePem('CERTIFICATE REQUEST', await operatorFolder(folder, 'cyd')));
  const files = ['--request', request, '--out', join(folder, 'certificate.pem')];
  assert.equal((await twice(it, 'operator', 'add', 'cyd', '--role', 'operator', ...files)).code, 0);
  const out = join(it.dataFolder, 'dashboard');
  const enrol = ['application', 'enrol', 'dashboard', '--plain-key', '--out', out];
  const create = ['token', 'create', 'scraper', '--days', '1'];
  for (const words of [enrol, create]) {
    const refused = await run(...words, ...it.as('cyd'));
    assert.deepEqual([refused.code, /wrong-role/.test(refused.said)], [1, true], refused.said);
  }
  const enrolled = await run(...enrol, ...it.as('ada'));
  assert.deepEqual([enrolled.code, enrolled.document['kind']], [0, 'application'], enrolled.said);
  const list = ['device', 'list', '--server', it.api, '--operator', out];
  assert.equal((await run(...list)).code, 0);
  const made = await run(...create, ...it.as('ada'));
  assert.match(String(made.document['token']), /^bmr_/, made.said);
  const listed = await run('token', 'list', ...it.as('cyd'));
  assert.deepEqual(listed.document, (await run('token', 'list', ...it.here)).document);
  assert.ok(!JSON.stringify(listed).includes(String(made.document['token'])));
  // What takes power away is not for admins alone.
  const ended = await run('token', 'revoke', String(made.document['id']), ...it.as('cyd'));
  assert.deepEqual([ended.code, ended.document['revoked']], [0, true], ended.said);
});

test('a station is enrolled from where it stands, once two persons want it', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const station = join(it.dataFolder, 'station');
  const enrol = ['station', 'enrol', '--name', 'station-1', '--station', station];
  const alone = await run(...enrol, '--dry-run', ...it.as('ada'));
  assert.deepEqual([alone.code, alone.document['certifies']], [0, true], alone.said);
  const enrolled = await twice(it, ...enrol);
  assert.equal(enrolled.code, 0, enrolled.said);
  const pem = readFileSync(join(station, 'station.pem'), 'utf8');
  const leaf = new X509Certificate(pem);
  const path = `/v1/certificates/${leaf.fingerprint256.replaceAll(':', '').toLowerCase()}`;
  const local = new LocalClient(socketPathFor(it.dataFolder, 'provisioner'), 'provisioner');
  const { body } = await local.send({ method: 'GET', path }).finally(() => local.close());
  const known = JSON.parse(Buffer.from(body).toString()) as Record<string, unknown>;
  assert.deepEqual(
    [known['kind'], known['holder'], known['state']],
    ['station', 'station-1', 'active'],
  );
  // The same command again, there and here, finds it let in.
  const again = await run(...enrol, ...it.as('ada'));
  assert.deepEqual(again.document, enrolled.document, again.said);
  assert.deepEqual((await run(...enrol, ...it.here)).document, enrolled.document);
  const sha256 = path.split('/').at(-1) ?? '';
  const ended = await run('revoke', 'certificate', sha256, '--reason', 'lost', ...it.as('ada'));
  assert.equal(ended.code, 0, ended.said);
  const out = await run(...enrol, ...it.as('ada'));
  assert.deepEqual([out.code, /--renew/.test(out.said)], [1, true], out.said);
});

test('one person with the certificate of an operator acts, an application does not', async (context) => {
  const it = await networkHouse(context, []);
  for (const kind of ['operator', 'application']) {
    const out = join(it.dataFolder, kind);
    const enrol = ['application', 'enrol', `the-${kind}`, '--kind', kind, '--plain-key'];
    const enrolled = await run(...enrol, '--out', out, ...it.here);
    assert.equal(enrolled.code, 0, enrolled.said);
  }
  const order = ['order', 'create', 'reel-1', '--product', 'sensor', '--quantity', '2'];
  const place = (name: string): readonly string[] => [
    '--server',
    it.api,
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

test('a signature is worth something on its connection alone, and for the server it names', async (context) => {
  const it = await networkHouse(context, ['ada', 'bob']);
  const { port } = new URL(it.api);
  const folder = join(it.dataFolder, 'ada', 'keys');
  const keys = await KeyFolder.open({ folder, passphrase: operatorPassphrase });
  const signer = await keys.signer('operator');
  const publicKey = p256Point(signer.publicKeySpki);
  const open = (): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const ca = readFileSync(join(it.dataFolder, 'server.pem'));
      const options = { host: 'localhost', port: Number(port), ca, allowPartialTrustChain: true };
      const socket = connect(options, () => resolve(socket)).once('error', reject);
      context.after(() => socket.destroy());
    });
  const sign = async (socket: TLSSocket, name = 'ada', host = 'localhost'): Promise<string> => {
    const keyId = utf8(name);
    const target = concealedContext({ keyId, publicKey, host, port: Number(port) });
    const { label, lengthBytes } = concealedExporter;
    const exported = socket.exportKeyingMaterial(lengthBytes, label, Buffer.from(target));
    const { toBeSigned, verification } = splitExport(new Uint8Array(exported));
    const signature = await signer.sign(toBeSigned);
    return encodeConcealed({ keyId, publicKey, verification, signature });
  };
  const status = (socket: TLSSocket, authorization: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { authorization, host: `localhost:${port}` };
      const path = '/api/v1/orders';
      const outgoing = request({ createConnection: () => socket, path, headers });
      outgoing.once('error', reject).once('response', (response) => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0));
      });
      outgoing.end();
    });
  const [first, second] = [await open(), await open()];
  const header = await sign(first);
  assert.equal(await status(first, header), 200);
  assert.equal(await status(second, header), 401);
  for (const shown of [['bob'], ['nobody'], ['ada', 'elsewhere.example']] as const) {
    const socket = await open();
    assert.equal(await status(socket, await sign(socket, ...shown)), 401, shown.join(' '));
  }
  const socket = await open();
  const broken = (await sign(socket)).replace(
    /p=(.)/,
    (_, octet) => `p=${octet === 'M' ? 'N' : 'M'}`,
  );
  assert.equal(await status(socket, broken), 401);
});
