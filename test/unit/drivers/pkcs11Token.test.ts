/** A token whose process ends, time and again: what callers hear, and what the token is told. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test, type TestContext } from 'node:test';
import { Starts } from '../../../src/drivers/keys/pkcs11/starts.ts';
import { Pkcs11Token } from '../../../src/drivers/keys/pkcs11/token.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-token-'));
after(() => rmSync(folder, { recursive: true }));

const generatorPoint =
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296' +
  '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';

/** A child that notes each PIN it is opened with; `onOpen` and `onSign` answer with `failed(problem, cause)`. */
function stubbed(context: TestContext, { onOpen = '', onSign = '' }) {
  const log = join(mkdtempSync(join(folder, 'child-')), 'pins');
  const processFile = `${log}.ts`;
  appendFileSync(log, '');
  writeFileSync(
    processFile,
    `import { appendFileSync, readFileSync } from 'node:fs';
    process.on('disconnect', () => process.exit(0));
    process.on('message', ({ id, body }) => {
      const say = (outcome) => process.send({ id, outcome });
      const failed = (problem, cause) => say({ kind: 'failed', problem, cause });
      if (body.command === 'open') {
        appendFileSync('${log}', body.pin + ' ');
        const starts = readFileSync('${log}', 'utf8').trim().split(' ').length;
        ${onOpen}
        say({ kind: 'opened' });
      } else if (body.command === 'find') {
        say({ kind: 'key', key: { algorithm: 'ecdsa-with-SHA256',
          point: Buffer.from('${generatorPoint}', 'hex') } });
      } else {
        ${onSign}
        say({ kind: 'signature', signature: Buffer.alloc(64, 1) });
      }
    });`,
  );
  let pin = '1111';
  const token = new Pkcs11Token({
    modulePath: '',
    tokenLabel: 'ca',
    pin: () => pin,
    processFile,
  });
  context.after(() => token.close());
  return {
    token,
    pins: () => readFileSync(log, 'utf8').trim().split(' '),
    correct: (other: string) => {
      pin = other;
    },
  };
}

test('a lost token: who waits is refused once, the next call finds it in a new process', async (context) => {
  // Answers only the tenth of what it is asked to sign, as if the others were still under way.
  const onSign = `globalThis.asked = (globalThis.asked ?? 0) + 1;
    if (globalThis.asked < 10) return;
    return failed('CKR_DEVICE_REMOVED', 'lost');`;
  const { token, pins } = stubbed(context, { onSign });
  const signer = await token.signer('op');
  assert.ok(signer);
  const calls = await Promise.allSettled(
    Array.from({ length: 10 }, () => signer.sign(Uint8Array.of(1))),
  );
  for (const call of calls) {
    assert.ok(call.status === 'rejected' && call.reason instanceof EnvironmentError);
    assert.match(call.reason.message, /^PKCS#11 token ca is out of reach \(CKR_DEVICE_REMOVED\)/);
    assert.equal(call.reason.retryable, true);
  }
  assert.deepEqual(pins(), ['1111']);
  assert.ok(await token.signer('op'));
  assert.deepEqual(pins(), ['1111', '1111']);
});

test('calls that find no token share one start of a process, and its refusal', async (context) => {
  const { token, pins } = stubbed(context, {
    onOpen: `if (starts === 1) return failed('no token with the label ca', 'lost');`,
  });
  const calls = await Promise.allSettled(Array.from({ length: 50 }, () => token.signer('op')));
  assert.ok(calls.every(({ status }) => status === 'rejected'));
  assert.deepEqual(pins(), ['1111']);
  assert.ok(await token.signer('op'));
});

test('a PIN that was refused is never shown again; another is, once', async (context) => {
  const { token, pins, correct } = stubbed(context, {
    onOpen: `if (body.pin !== '3333') return failed('CKR_PIN_INCORRECT', 'pin');`,
  });
  const refused = {
    name: 'EnvironmentError',
    message: /token ca refuses the PIN \(CKR_PIN_INCORRECT\)/,
  };
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(token.signer('op'), refused);
  assert.deepEqual(pins(), ['1111']);
  correct('2222');
  for (let attempt = 0; attempt < 3; attempt++) await assert.rejects(token.signer('op'), refused);
  correct('3333');
  assert.ok(await token.signer('op'));
  assert.deepEqual(pins(), ['1111', '2222', '3333']);
});

test('a call that waits for its turn ends with the token', async (context) => {
  const { token } = stubbed(context, { onOpen: `return failed('never there', 'lost');` });
  await assert.rejects(token.signer('op'), { retryable: true });
  const waiting = token.signer('op');
  token.close();
  await assert.rejects(waiting, { name: 'EnvironmentError', retryable: false });
});

test('what the key alone cannot do is told, and ends no process', async (context) => {
  const { token, pins } = stubbed(context, {
    onSign: `return failed('CKR_MECHANISM_INVALID', 'other');`,
  });
  const signer = await token.signer('op');
  for (let attempt = 0; attempt < 2; attempt++) {
    await assert.rejects(async () => signer?.sign(Uint8Array.of(1)), {
      message: 'PKCS#11 token ca fails: CKR_MECHANISM_INVALID',
      retryable: false,
    });
  }
  assert.deepEqual(pins(), ['1111']);
});

test('processes start at once after a long time, and ever later while they keep ending', () => {
  const starts = new Starts();
  assert.equal(starts.next(0), 0);
  let now = 0;
  const waits = Array.from({ length: 8 }, () => {
    const wait = starts.next(now);
    now += wait;
    return wait;
  });
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
  assert.equal(starts.next(now + 3_000), 1_000, 'the time that has passed counts');
  assert.equal(starts.next(now + 4_000 + 8_000), 0);
});
