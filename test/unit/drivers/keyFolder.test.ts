import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import { parseKeyFile, signingKinds } from '../../../src/drivers/keys/software/keyFile.ts';
import { KeyFolder } from '../../../src/drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';

const passphrase = 'correct horse battery';

function temporary(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-keys-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

const open = (folder: string, words = passphrase): Promise<KeyFolder> =>
  KeyFolder.open({ folder, passphrase: words, costLog2: 4 });

test('a key for checkpoints is Ed25519 and serves nothing else', async (context) => {
  const folder = temporary(context);
  await (await open(folder)).create('log', 'ed25519-sign');
  const again = await open(folder);
  const signer = await again.noteSigner('log');
  const data = Uint8Array.of(1, 2, 3);
  const key = createPublicKey({
    key: Buffer.from(signer.publicKeySpki),
    format: 'der',
    type: 'spki',
  });
  assert.equal(key.asymmetricKeyType, 'ed25519');
  assert.ok(verify(undefined, data, key, await signer.sign(data)));
  await assert.rejects(again.agreement('log'), EnvironmentError);
  await assert.rejects(again.tlsKeyPem('log'), EnvironmentError);
});

test('signing keys of every algorithm that an authority may have', async (context) => {
  const folder = temporary(context);
  const keys = await open(folder);
  for (const kind of signingKinds) await keys.create(kind, kind);
  const data = Uint8Array.of(1, 2, 3);
  const digests = new Map([
    ['ecdsa-with-SHA256', 'sha256'],
    ['ecdsa-with-SHA384', 'sha384'],
  ]);
  for (const kind of signingKinds) {
    const signer = await (await open(folder)).signer(kind);
    const spki = Buffer.from(signer.publicKeySpki);
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const signature = await signer.sign(data);
    assert.ok(verify(digests.get(signer.algorithm) ?? null, data, key, signature), kind);
  }
});

test('keys outlive the process and sign, agree and seal as before', async (context) => {
  const folder = temporary(context);
  const first = await open(folder);
  await first.create('signer', 'p256-sign');
  await first.create('agree', 'p256-agree');
  await first.create('seal', 'sealing');
  const sealed = (await first.sealingKey('seal')).seal(Uint8Array.of(1, 2, 3), 'row 1');

  const again = await open(folder);
  assert.deepEqual(await again.names(), ['agree', 'seal', 'signer']);
  const signer = await again.signer('signer');
  const data = Uint8Array.of(9, 9);
  const key = createPublicKey({
    key: Buffer.from(signer.publicKeySpki),
    format: 'der',
    type: 'spki',
  });
  assert.ok(verify('sha256', data, key, await signer.sign(data)));

  const agreement = await again.agreement('agree');
  const peer = nodeCrypto.generateKeyPair('P-256');
  const own = nodeCrypto.importPublicKey('P-256', agreement.publicKey);
  assert.ok(own);
  assert.deepEqual(await agreement.agree(peer.publicKey), nodeCrypto.agree(peer, own));
  assert.equal(await agreement.agree(new Uint8Array(32).fill(255)), undefined);
  assert.equal(await agreement.agree(new Uint8Array(3)), undefined);

  const seal = await again.sealingKey('seal');
  assert.deepEqual(seal.open(sealed, 'row 1'), Uint8Array.of(1, 2, 3));
  assert.equal(seal.open(sealed, 'row 2'), undefined);
  assert.equal(seal.open(sealed.subarray(1), 'row 1'), undefined);
  assert.equal(seal.open(new Uint8Array(3), 'row 1'), undefined);
});

test('another passphrase opens nothing and adds nothing', async (context) => {
  const folder = temporary(context);
  await (await open(folder)).create('signer', 'p256-sign');
  const other = await open(folder, 'incorrect horse');
  const expected = (error: unknown): boolean =>
    error instanceof EnvironmentError && /the passphrase is wrong/.test(error.message);
  await assert.rejects(other.signer('signer'), expected);
  await assert.rejects(other.create('second', 'p256-sign'), expected);
});

test('a file that was altered or renamed does not open', async (context) => {
  const folder = temporary(context);
  const keys = await open(folder);
  await keys.create('first', 'p256-sign');
  await keys.create('second', 'p256-sign');
  const path = join(folder, 'first.key');
  const text = readFileSync(path, 'utf8');
  const other = parseKeyFile(readFileSync(join(folder, 'second.key'), 'utf8'));
  const publicKey = Buffer.from(other.publicKeySpki).toString('base64');
  for (const [altered, expected] of [
    [text.replace('"costLog2": 4', '"costLog2": 5'), /does not open/],
    [text.replace(/"publicKey": "[^"]*"/, `"publicKey": "${publicKey}"`), /does not open/],
    [text.replace('"kind": "p256-sign"', '"kind": "p256-agree"'), /holds the p256-agree key/],
    [readFileSync(join(folder, 'second.key'), 'utf8'), /holds the p256-sign key second/],
    [text.replace('"costLog2": 4', '"costLog2": 30'), /member costLog2/],
    ['{', /no JSON object/],
  ] as const) {
    writeFileSync(path, altered);
    await assert.rejects((await open(folder)).signer('first'), expected);
  }
  assert.throws(() => parseKeyFile('[]'), MalformedError);
});

test('a key is never overwritten, and names stay inside the folder', async (context) => {
  const keys = await open(temporary(context));
  await keys.create('root', 'p256-sign');
  await assert.rejects(keys.create('root', 'p256-sign'), /exists already/);
  await assert.rejects(keys.create('../root', 'p256-sign'), TypeError);
  await assert.rejects(keys.signer('none'), { code: 'ENOENT' });
});

test('files are for their owner alone and hold no key in clear', async (context) => {
  const folder = temporary(context);
  const keys = await open(folder);
  await keys.create('root', 'p256-sign');
  const path = join(folder, 'root.key');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const pem = await keys.tlsKeyPem('root');
  const secret = Buffer.from(pem.split('\n').slice(1, -2).join(''), 'base64').subarray(36, 68);
  const text = readFileSync(path);
  assert.equal(text.indexOf(secret), -1);
  assert.equal(text.toString().includes(secret.toString('base64').slice(2, 30)), false);
  for (const shown of [inspect(keys, { depth: 9 }), inspect(await keys.signer('root'))]) {
    assert.doesNotMatch(shown, new RegExp(secret.toString('hex')));
  }
});

test('RFC 7914: the cost of a real folder is that of its documentation', () => {
  // A default that went down by mistake would be noticed by nobody else.
  assert.match(
    readFileSync(new URL('../../../src/drivers/keys/software/keyFile.ts', import.meta.url), 'utf8'),
    /costLog2: 17, blockSize: 8, parallelization: 1/,
  );
});
