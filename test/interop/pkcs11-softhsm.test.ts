/** Keys in SoftHSM2: signatures that node:crypto verifies, and a module that crashes, blocks or loses its token. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Pkcs11Token } from '../../src/drivers/keys/pkcs11/token.ts';

const modulePath = '/usr/lib/softhsm/libsofthsm2.so';
const pin = '98765432';
const missing = missingPeer();
const folder = mkdtempSync(join(tmpdir(), 'birthmark-softhsm-'));

if (missing === false) {
  mkdirSync(join(folder, 'tokens'));
  writeFileSync(
    join(folder, 'softhsm2.conf'),
    `directories.tokendir = ${join(folder, 'tokens')}\n`,
  );
  process.env['SOFTHSM2_CONF'] = join(folder, 'softhsm2.conf');
  const made = spawnSync(
    'softhsm2-util',
    ['--init-token', '--free', '--label', 'birthmark', '--so-pin', pin, '--pin', pin],
    { encoding: 'utf8' },
  );
  assert.equal(made.status, 0, made.stderr);
}
after(() => rmSync(folder, { recursive: true }));

const options = { modulePath, tokenLabel: 'birthmark', pin };

for (const [algorithm, digest] of [
  ['ecdsa-with-SHA256', 'sha256'],
  ['ecdsa-with-SHA384', 'sha384'],
  ['Ed25519', null],
] as const) {
  test(`${algorithm}: made in the token, found again, signs`, { skip: missing }, async () => {
    const token = await Pkcs11Token.open(options);
    try {
      const made = await token.generate(`key ${algorithm}`, algorithm);
      const found = await token.signer(`key ${algorithm}`);
      assert.ok(found);
      assert.deepEqual(found.publicKeySpki, made.publicKeySpki);
      const key = createPublicKey({
        key: Buffer.from(found.publicKeySpki),
        format: 'der',
        type: 'spki',
      });
      const messages = Array.from({ length: 40 }, (_, index) => Buffer.from(`message ${index}`));
      const signatures = await Promise.all(messages.map((message) => found.sign(message)));
      for (const [index, message] of messages.entries()) {
        assert.ok(verify(digest, message, key, signatures[index] ?? new Uint8Array()));
      }
    } finally {
      token.close();
    }
  });
}

test('a key that is not there, a wrong PIN, no such token', { skip: missing }, async () => {
  const token = await Pkcs11Token.open(options);
  assert.equal(await token.signer('nobody'), undefined);
  token.close();
  await assert.rejects(token.signer('nobody'), { name: 'EnvironmentError', retryable: false });
  const wrongPin = Pkcs11Token.open({ ...options, pin: '00000000' });
  await assert.rejects(wrongPin, (error: Error) => {
    assert.equal(error.name, 'EnvironmentError');
    assert.doesNotMatch(error.message, /00000000/);
    return true;
  });
  await assert.rejects(Pkcs11Token.open({ ...options, tokenLabel: 'other' }), {
    name: 'EnvironmentError',
    message: /no token with the label other/,
  });
});

/** A child like the real one, but for what happens to it at `sign`. */
function misbehavingChild(onSign: string): string {
  const file = join(folder, `child-${onSign.length}.ts`);
  writeFileSync(
    file,
    `process.on('message', ({ id, body }) => {
      if (body.command === 'open') process.send({ id, outcome: { kind: 'opened' } });
      else if (body.command === 'find') process.send({ id, outcome: { kind: 'key', key: {
        algorithm: 'ecdsa-with-SHA256', point: Buffer.from('${generatorPoint}', 'hex') } } });
      else { ${onSign} }
    });
    process.on('disconnect', () => process.exit(0));`,
  );
  return file;
}

const generatorPoint =
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296' +
  '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';

test('a module that crashes fails the call, and the next call works again', async () => {
  const token = await Pkcs11Token.open({
    ...options,
    processFile: misbehavingChild('process.kill(process.pid, "SIGSEGV");'),
  });
  const signer = await token.signer('any');
  assert.ok(signer);
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(signer.sign(new Uint8Array(1)), {
      name: 'EnvironmentError',
      retryable: true,
    });
    assert.ok(await token.signer('any'), 'started again');
  }
  token.close();
});

test('a module that blocks is ended and started again', async () => {
  const token = await Pkcs11Token.open({
    ...options,
    timeoutMs: 1_000,
    processFile: misbehavingChild('for (;;) {}'),
  });
  const signer = await token.signer('any');
  assert.ok(signer);
  await assert.rejects(signer.sign(new Uint8Array(1)), {
    name: 'EnvironmentError',
    retryable: true,
  });
  assert.ok(await token.signer('any'));
  token.close();
});

function missingPeer(): string | false {
  if (!existsSync(modulePath)) return 'needs SoftHSM2 (Debian package softhsm2)';
  try {
    createRequire(import.meta.url).resolve('pkcs11js');
    return false;
  } catch {
    return 'needs the package pkcs11js (npm install --no-save pkcs11js@2.1.7)';
  }
}
