/** What is particular to the software element: files, passphrase, alteration, crash safety, TLS. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, verify } from 'node:crypto';
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import {
  createElementFolder,
  type ElementFolder,
  openElement,
  openElementFolder,
} from '../../../src/drivers/elements/software/elementFolder.ts';
import { DurableFolder } from '../../../src/drivers/elements/software/durableFolder.ts';
import { FolderKey } from '../../../src/drivers/elements/software/folderKey.ts';
import {
  fileNameOf,
  SoftwareElement,
} from '../../../src/drivers/elements/software/softwareElement.ts';
import { softwareSocket } from '../../../src/drivers/elements/software/softwareSocket.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { keyOf, rejects } from '../../contract/elementContract.ts';

const passphrase = 'correct horse';
const weakCost = 4;
const paths: string[] = [];
after(() => paths.forEach((path) => rmSync(path, { recursive: true, force: true })));

async function newFolder(): Promise<ElementFolder> {
  const path = mkdtempSync(join(tmpdir(), 'birthmark-elements-'));
  paths.push(path);
  return createElementFolder(path, passphrase, weakCost);
}

test('every file and the identity say that this is not for production', async () => {
  const folder = await newFolder();
  const element = await folder.create(Uint8Array.of(1));
  assert.match(element.identity.model, /NOT FOR PRODUCTION/);
  for (const name of readdirSync(folder.path)) {
    const text = readFileSync(join(folder.path, name), 'latin1');
    assert.match(text, /^\*\*\* SOFTWARE ELEMENT - NOT FOR PRODUCTION \*\*\*\n/, name);
    assert.equal(statSync(join(folder.path, name)).mode & 0o777, 0o600, name);
  }
});

test('no private key stands in a file, and none in what inspection shows', async () => {
  const folder = await newFolder();
  const element = await folder.create(Uint8Array.of(2));
  await element.generateKey('sign');
  const jwk = createPrivateKey(element.tlsKeyPem('sign')).export({ format: 'jwk' });
  const scalar = Buffer.from(String(jwk['d']), 'base64url');
  const file = readFileSync(join(folder.path, fileNameOf(Uint8Array.of(2))));
  assert.equal(file.indexOf(scalar), -1);
  const shown = inspect(element, { depth: 9, showHidden: true }) + inspect(folder, { depth: 9 });
  assert.ok(!shown.includes(scalar.toString('hex')) && !shown.includes(passphrase), shown);
});

test('the TLS key is the sign key', async () => {
  const folder = await newFolder();
  const element = await folder.create(Uint8Array.of(3));
  const point = await element.generateKey('sign');
  const tlsKey = createPublicKey(element.tlsKeyPem('sign'));
  assert.ok(verify('sha256', utf8('x'), tlsKey, await element.sign('sign', utf8('x'))));
  assert.ok(tlsKey.equals(keyOf(point)));
});

test('the passphrase decides', async () => {
  const folder = await newFolder();
  const uid = Uint8Array.of(4);
  await folder.create(uid);
  await assert.rejects(openElementFolder(folder.path, 'wrong'), {
    name: 'EnvironmentError',
    retryable: false,
  });
  await assert.rejects(createElementFolder(folder.path, 'wrong', weakCost), EnvironmentError);
  const file = join(folder.path, fileNameOf(uid));
  assert.deepEqual((await openElement(file, passphrase)).identity.uid, uid);
  await assert.rejects(openElement('/nonexistent/00.element', passphrase), EnvironmentError);
  await rejects(openElement(join(folder.path, 'folder.key'), passphrase), 'damaged');
});

test('a folder made twice at the same time has one key', async () => {
  const path = mkdtempSync(join(tmpdir(), 'birthmark-elements-'));
  paths.push(path);
  const folders = await Promise.all(
    [1, 2, 3].map(() => createElementFolder(path, passphrase, weakCost)),
  );
  const [first] = folders;
  assert.ok(first !== undefined);
  const element = await first.create(Uint8Array.of(5));
  await element.generateKey('sign');
  for (const folder of folders) {
    const again = await folder.open(fileNameOf(Uint8Array.of(5)));
    assert.equal((await again.sign('sign', utf8('x'))).length > 60, true);
  }
  assert.deepEqual(
    readdirSync(path).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

test('a folder that lost its key is not given a new one', async () => {
  const folder = await newFolder();
  await folder.create(Uint8Array.of(6));
  rmSync(join(folder.path, 'folder.key'));
  await assert.rejects(createElementFolder(folder.path, passphrase, weakCost), EnvironmentError);
  await assert.rejects(openElementFolder(folder.path, passphrase), EnvironmentError);
});

test('a uid exists once in a folder', async () => {
  const folder = await newFolder();
  await folder.create(Uint8Array.of(7));
  await assert.rejects(folder.create(Uint8Array.of(7)), TypeError);
  await assert.rejects(folder.create(new Uint8Array(0)), TypeError);
  await assert.rejects(folder.create(new Uint8Array(65)), TypeError);
  assert.deepEqual(await folder.names(), ['07.element']);
});

test('any altered byte of an element is found when it is opened', async () => {
  const folder = await newFolder();
  const uid = Uint8Array.of(8);
  const element = await folder.create(uid);
  await element.generateKey('sign');
  await element.write({ data: { 'device-id': utf8('0123456789abcdef') } });
  const name = fileNameOf(uid);
  const file = join(folder.path, name);
  const honest = readFileSync(file);
  for (let offset = 0; offset < honest.length; offset++) {
    const altered = Buffer.from(honest);
    altered[offset] = (altered[offset] ?? 0) ^ 1;
    writeFileSync(file, altered);
    await rejects(folder.open(name), 'damaged');
  }
  writeFileSync(file, honest.subarray(0, honest.length - 1));
  await rejects(folder.open(name), 'damaged');
  writeFileSync(file, honest);
  await folder.open(name);
});

test('a copy under another name and an element of another folder are refused', async () => {
  const folder = await newFolder();
  const uid = Uint8Array.of(9);
  await folder.create(uid);
  copyFileSync(join(folder.path, fileNameOf(uid)), join(folder.path, '0a.element'));
  await rejects(folder.open('0a.element'), 'damaged');
  const other = await newFolder();
  copyFileSync(join(folder.path, fileNameOf(uid)), join(other.path, fileNameOf(uid)));
  await rejects(other.open(fileNameOf(uid)), 'damaged');
  await rejects(other.open('0b.element'), 'unreachable');
});

/** A folder whose next write fails, before or after the file was replaced. */
class FailingFolder extends DurableFolder {
  failure: 'none' | 'before' | 'after' = 'none';

  override async replace(name: string, content: Uint8Array): Promise<void> {
    if (this.failure !== 'before') await super.replace(name, content);
    if (this.failure !== 'none') throw new Error('disk is gone');
  }
}

for (const failure of ['before', 'after'] as const) {
  test(`a write that fails ${failure} the file was replaced ends that connection only`, async () => {
    const path = mkdtempSync(join(tmpdir(), 'birthmark-elements-'));
    paths.push(path);
    const files = new FailingFolder(path);
    const { key } = await FolderKey.create(passphrase, weakCost);
    const uid = Uint8Array.of(10);
    const element = await SoftwareElement.create(files, key, uid);
    await element.write({ data: { state: utf8('old') } });
    files.failure = failure;
    await rejects(element.write({ data: { state: utf8('new') } }), 'unreachable');
    files.failure = 'none';
    // Old or new? This object cannot know, and says so instead of guessing.
    await rejects(element.readData('state'), 'unreachable');
    await rejects(element.write({ data: { state: utf8('newer') } }), 'unreachable');
    const again = await SoftwareElement.open(files, key, fileNameOf(uid));
    const expected = failure === 'before' ? 'old' : 'new';
    assert.deepEqual(await again.readData('state'), utf8(expected));
  });
}

test('a temporary file that a crash left is neither an element nor in the way', async () => {
  const folder = await newFolder();
  const uid = Uint8Array.of(11);
  const element = await folder.create(uid);
  writeFileSync(join(folder.path, `.${fileNameOf(uid)}.tmp`), 'half a fi');
  assert.deepEqual(await folder.names(), [fileNameOf(uid)]);
  await element.write({ data: { state: utf8('x') } });
  const again = await folder.open(fileNameOf(uid));
  assert.deepEqual(await again.readData('state'), utf8('x'));
});

test('changes that overlap are all kept', async () => {
  const folder = await newFolder();
  const element = await folder.create(Uint8Array.of(12));
  await Promise.all([
    element.generateKey('sign'),
    element.write({ data: { eui64: new Uint8Array(8) } }),
    element.write({ certificates: { ldevid: [utf8('c')] } }),
    element.generateKey('agree'),
  ]);
  const again = await folder.open(fileNameOf(Uint8Array.of(12)));
  assert.ok((await again.publicKey('sign')) && (await again.publicKey('agree')));
  assert.deepEqual(await again.readData('eui64'), new Uint8Array(8));
  assert.deepEqual(await again.readCertificate('ldevid'), [utf8('c')]);
});

test('a folder that is gone is unreachable, not damaged', async () => {
  const folder = await newFolder();
  const element = await folder.create(Uint8Array.of(13));
  rmSync(folder.path, { recursive: true });
  await rejects(element.write({ data: { state: utf8('x') } }), 'unreachable');
  await rejects(folder.open(fileNameOf(Uint8Array.of(13))), 'unreachable');
});

test('the socket presents every element of the folder once, in order', async () => {
  const folder = await newFolder();
  for (const byte of [3, 1, 2]) await folder.create(Uint8Array.of(byte));
  const socket = await softwareSocket(folder);
  const seen: string[] = [];
  for (let element = await socket.next(); element; element = await socket.next()) {
    seen.push(toHex(element.identity.uid));
    await socket.bin(element, 'finished');
  }
  assert.deepEqual(seen, ['01', '02', '03']);
  assert.equal(socket.bins.get('02'), 'finished');
  assert.equal((await softwareSocket(folder, ['01.element'])).family, 'software');
});

test('keys that the device makes later: beside the old one, and swapped with their certificate', async () => {
  const folder = await newFolder();
  const uid = Uint8Array.of(13);
  const element = await folder.create(uid);
  await element.generateKey('sign');
  await rejects(element.operational.generateNext(), 'not-offered');
  await element.lock();
  await rejects(element.operational.promote(), 'empty');
  const first = await element.operational.generateNext();
  await rejects(element.operational.promote(), 'empty');
  await element.write({ certificates: { 'ldevid-next': [utf8('one')] } });
  const reopened = await folder.open(fileNameOf(uid));
  assert.deepEqual(await reopened.operational.publicKey('next'), first);
  await reopened.operational.promote();
  const again = await folder.open(fileNameOf(uid));
  assert.deepEqual(await again.operational.publicKey('present'), first);
  assert.equal(await again.operational.publicKey('next'), undefined);
  assert.deepEqual(await again.readCertificate('ldevid'), [utf8('one')]);
  assert.equal(await again.readCertificate('ldevid-next'), undefined);
  const data = utf8('data');
  const verifier = new SoftwareVerifier();
  const signature = await again.operational.sign('present', data);
  assert.ok(verifier.verify(p256Spki(first), '1.2.840.10045.4.3.2', data, signature));
  // Another next one, and none: what is present stays.
  const second = await again.operational.generateNext();
  assert.notDeepEqual(await again.operational.generateNext(), second);
  await again.write({ certificates: { 'ldevid-next': [utf8('two')] } });
  await again.operational.discardNext();
  assert.deepEqual(await again.operational.publicKey('present'), first);
  assert.equal(await again.readCertificate('ldevid-next'), undefined);
  await rejects(again.operational.sign('next', data), 'empty');
});
