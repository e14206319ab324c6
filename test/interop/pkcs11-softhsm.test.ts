/** Keys in SoftHSM2: signatures that node:crypto verifies, and a module that crashes, blocks or loses its token. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Pkcs11Token } from '../../src/drivers/keys/pkcs11/token.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';

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

const options = { modulePath, tokenLabel: 'birthmark', pin: () => pin };

for (const [algorithm, digest] of [
  ['ecdsa-with-SHA256', 'sha256'],
  ['ecdsa-with-SHA384', 'sha384'],
  ['Ed25519', null],
] as const) {
  test(`${algorithm}: made in the token, found again, signs`, { skip: missing }, async () => {
    const token = new Pkcs11Token(options);
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

test('a key that is not there, no such token', { skip: missing }, async () => {
  const token = new Pkcs11Token(options);
  assert.equal(await token.signer('nobody'), undefined);
  token.close();
  await assert.rejects(token.signer('nobody'), { name: 'EnvironmentError', retryable: false });
  const other = new Pkcs11Token({ ...options, tokenLabel: 'other' });
  await assert.rejects(other.signer('nobody'), {
    name: 'EnvironmentError',
    message: /no token with the label other/,
    retryable: true,
  });
  other.close();
});

test(
  'a wrong PIN is shown to the token once, and the corrected one works',
  { skip: missing },
  async (context) => {
    let now = '00000000';
    const token = new Pkcs11Token({ ...options, pin: () => now });
    context.after(() => token.close());
    for (let attempt = 0; attempt < 5; attempt++) {
      await assert.rejects(token.signer('nobody'), (error: Error) => {
        assert.match(error.message, /birthmark refuses the PIN \(CKR_PIN_INCORRECT/);
        assert.doesNotMatch(error.message, /00000000/);
        return error instanceof EnvironmentError;
      });
    }
    now = pin;
    assert.equal(await token.signer('nobody'), undefined);
  },
);

test(
  'a token that is taken out and put back signs again in the same program',
  { skip: missing },
  async (context) => {
    const token = new Pkcs11Token(options);
    context.after(() => token.close());
    const signed = await token.generate('signed before', 'ecdsa-with-SHA256');
    await signed.sign(new Uint8Array(1));
    const away = takeOut();
    // What was under way when it went is refused with the first that meets it, each once.
    const calls = Array.from({ length: 20 }, () => signed.sign(new Uint8Array(1)));
    const refused = {
      name: 'EnvironmentError',
      retryable: true,
      message: /^PKCS#11 token birthmark is out of reach \(.+\): it was taken out/,
    };
    await Promise.all(calls.map((call) => assert.rejects(call, refused)));
    await assert.rejects(signed.sign(new Uint8Array(1)), {
      name: 'EnvironmentError',
      retryable: true,
      message: /no token with the label birthmark/,
    });
    away.putBack();
    const data = Buffer.from('back');
    const key = createPublicKey({
      key: Buffer.from(signed.publicKeySpki),
      format: 'der',
      type: 'spki',
    });
    assert.ok(verify('sha256', data, key, await signed.sign(data)));
  },
);

test('a search while the token is away is no answer', { skip: missing }, async (context) => {
  const token = new Pkcs11Token(options);
  context.after(() => token.close());
  await token.generate('searched', 'ecdsa-with-SHA256');
  const away = takeOut();
  // SoftHSM finds nothing then, and says so without an error.
  await assert.rejects(token.signer('nobody'), { name: 'EnvironmentError', retryable: true });
  away.putBack();
  assert.equal(await token.signer('nobody'), undefined);
  assert.ok(await token.signer('searched'));
});

/** SoftHSM's tokens are a folder; without it the token is gone. */
function takeOut(): { putBack(): void } {
  const tokens = join(folder, 'tokens');
  renameSync(tokens, `${tokens}-away`);
  mkdirSync(tokens);
  return {
    putBack: () => {
      rmSync(tokens, { recursive: true });
      renameSync(`${tokens}-away`, tokens);
    },
  };
}

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
  const token = new Pkcs11Token({
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
  const token = new Pkcs11Token({
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
