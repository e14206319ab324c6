/** Answers at the door: kept, renewed, dropped, and what has to be signed bounded by a rate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError } from '../../../../src/trust/ports/faults.ts';
import type { SignedAnswer } from '../../../../src/trust/ports/statusAuthority.ts';
import { type AnswerLimits, Answers } from '../../../../src/trust/status/answers.ts';
import { toBase64 } from '../../../../src/wire/bytes/base64.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import { encodeCertId, encodeOcspRequest } from '../../../../src/wire/ocsp/request.ts';
import type { Unsuccessful } from '../../../../src/wire/ocsp/response.ts';

const minuteMs = 60_000;
const startMs = 1_800_000_000_000;

class FakeAuthority {
  asked = 0;
  away = false;
  says: (count: number, nowMs: number) => SignedAnswer | Unsuccessful;
  readonly holder: string;
  /** Answers wait for it when it is set. */
  gate: Promise<void> | undefined;
  readonly #now: () => number;

  constructor(now: () => number, holder: string) {
    this.#now = now;
    this.holder = holder;
    this.says = (count, nowMs) => ({
      der: Uint8Array.of(count),
      thisUpdateMs: nowMs,
      nextUpdateMs: nowMs + 720 * minuteMs,
      holders: [holder],
    });
  }

  async ocsp(): Promise<SignedAnswer | Unsuccessful> {
    this.asked += 1;
    if (this.away) throw new EnvironmentError('away', { retryable: true });
    const answer = this.says(this.asked, this.#now());
    await this.gate;
    return answer;
  }
}

function setUp(limits: Partial<AnswerLimits> = {}) {
  const clock = { ms: startMs, nowMs: (): number => clock.ms };
  const authority = new FakeAuthority(() => clock.ms, 'device');
  const troubles: unknown[] = [];
  const answers = new Answers({
    authority,
    clock,
    limits,
    onTrouble: (error) => troubles.push(error),
  });
  const ask = async (request = plain): Promise<string> => {
    const found = await answers.answer('operational', request);
    return typeof found === 'string' ? found : String(found.answer.der[0]);
  };
  return { clock, authority, answers, ask, troubles };
}

const certId = encodeCertId({
  hashAlgorithm: 'SHA-256',
  issuerNameHash: new Uint8Array(32),
  issuerKeyHash: new Uint8Array(32),
  serialNumber: Uint8Array.of(1, 2, 3),
});
const plain = toBase64(encodeOcspRequest(certId));
const withNonce = toBase64(encodeOcspRequest(certId, Uint8Array.of(1, 2, 3)));
/** The same question with a requestor's name. */
const withName = toBase64(
  der.sequence(
    der.sequence(
      der.explicit(1, der.element(0xa4, der.sequence())),
      der.sequence(der.sequence(certId)),
    ),
  ),
);

test('signed once, given out often, however it is asked', async () => {
  const { authority, answers, ask } = setUp();
  assert.equal(answers.kept('operational', plain), undefined);
  assert.deepEqual([await ask(), await ask(), await ask(withName)], ['1', '1', '1']);
  assert.equal(authority.asked, 1);
  assert.equal(answers.size, 1);
  const kept = answers.kept('operational', plain);
  assert.equal(kept?.freshUntilMs, startMs + 15 * minuteMs);
  assert.equal(answers.kept('server', plain), undefined);
});

test('many at once are one question to the authority', async () => {
  const { authority, ask } = setUp();
  assert.deepEqual(await Promise.all([ask(), ask(), ask(withName)]), ['1', '1', '1']);
  assert.equal(authority.asked, 1);
});

test('a nonce is answered for that question alone', async () => {
  const { authority, answers, ask } = setUp();
  assert.deepEqual([await ask(withNonce), await ask(withNonce)], ['1', '2']);
  assert.equal(answers.size, 0);
  assert.equal(authority.asked, 2);
});

test('renewed before it gets old: in the background first, then while one waits', async () => {
  const { clock, authority, ask } = setUp();
  await ask();
  clock.ms += 14 * minuteMs - 1;
  assert.equal(await ask(), '1');
  assert.equal(authority.asked, 1);
  clock.ms += 1;
  assert.equal(await ask(), '1');
  assert.equal(authority.asked, 2);
  await new Promise(setImmediate);
  assert.equal(await ask(), '2');
  clock.ms += 16 * minuteMs;
  assert.equal(await ask(), '3');
  assert.equal(authority.asked, 3);
});

test('while the authority is away answers serve until they end, then it is later', async () => {
  const { clock, authority, answers, ask, troubles } = setUp();
  await ask();
  authority.away = true;
  clock.ms += 20 * minuteMs;
  const stale = await answers.answer('operational', plain);
  assert.ok(typeof stale !== 'string');
  assert.equal(stale.answer.der[0], 1);
  assert.equal(stale.freshUntilMs, clock.ms + minuteMs);
  assert.equal(troubles.length, 1);
  clock.ms = startMs + 720 * minuteMs;
  assert.equal(await ask(), 'tryLater');
  authority.away = false;
  assert.equal(await ask(), String(authority.asked));
});

test('a revocation drops the answer, and nothing new is said before the authority knows', async () => {
  const { authority, answers, ask } = setUp();
  await ask();
  assert.equal(await answers.drop(new Set(['another'])), 0);
  assert.equal(await ask(), '1');
  assert.equal(await answers.drop(new Set(['device'])), 1);
  assert.equal(answers.kept('operational', plain), undefined);
  // The authority has not heard of it: what it signs now is of no use to anybody.
  assert.equal(await ask(), 'tryLater');
  assert.equal(await ask(withNonce), 'tryLater');
  assert.equal(answers.size, 0);
  const told = answers.unsettled();
  assert.deepEqual([...told].sort(), ['another', 'device']);
  await answers.dropCertificate(new Uint8Array(32), 'late');
  answers.settle(told);
  assert.deepEqual([...answers.unsettled()], ['late']);
  assert.equal(await ask(), String(authority.asked));
});

test('an answer that was under way when somebody was revoked is not kept', async () => {
  for (const forgetIn of [
    (answers: Answers) => answers.forget(new Set(['device'])),
    (answers: Answers) => answers.forgetAll(),
  ]) {
    const { authority, answers, ask } = setUp();
    let openGate = (): void => undefined;
    authority.gate = new Promise((resolve) => (openGate = resolve));
    const early = ask();
    forgetIn(answers);
    authority.gate = undefined;
    // Whoever asks after the change gets an answer of after the change.
    assert.equal(await ask(), '2');
    openGate();
    assert.equal(await early, '1');
    assert.equal(await ask(), '2');
  }
});

test('what the authority does not say is not kept', async () => {
  const { authority, answers, ask } = setUp();
  for (const status of ['unauthorized', 'malformedRequest', 'internalError'] as const) {
    authority.says = () => status;
    assert.equal(await ask(), status);
  }
  assert.equal(answers.size, 0);
  assert.equal(authority.asked, 3);
});

test('no request reaches the authority that is none', async () => {
  const { authority, ask } = setUp();
  for (const text of ['', 'AAAA', 'not base64', '%%%%', plain.slice(4)]) {
    assert.equal(await ask(text), 'malformedRequest');
  }
  assert.equal(authority.asked, 0);
});

test('signing is bounded: later above the rate, and kept answers go on', async () => {
  const { clock, authority, ask } = setUp({ signing: { perSecond: 2, burst: 3 } });
  assert.equal(await ask(), '1');
  assert.deepEqual([await ask(withNonce), await ask(withNonce)], ['2', '3']);
  assert.equal(await ask(withNonce), 'tryLater');
  assert.equal(await ask(), '1');
  clock.ms += 500;
  assert.equal(await ask(withNonce), '4');
  assert.equal(await ask(withNonce), 'tryLater');
  // A clock that is put back gives nothing away.
  clock.ms -= 10_000;
  assert.equal(await ask(withNonce), 'tryLater');
  clock.ms += 60_000;
  for (let count = 0; count < 3; count++) assert.match(await ask(withNonce), /\d/);
  assert.equal(await ask(withNonce), 'tryLater');
  // Past its time, and no signature to be had: the old one is better than none.
  clock.ms += 20 * minuteMs;
  for (let count = 0; count < 3; count++) await ask(withNonce);
  assert.equal(await ask(), '1');
  assert.equal(authority.asked, 10);
});

test('the oldest answer makes room', async () => {
  const { answers, ask } = setUp({ answers: 2 });
  const requests = [1, 2, 3].map((serial) =>
    toBase64(
      encodeOcspRequest(
        encodeCertId({
          hashAlgorithm: 'SHA-1',
          issuerNameHash: new Uint8Array(20),
          issuerKeyHash: new Uint8Array(20),
          serialNumber: Uint8Array.of(serial),
        }),
      ),
    ),
  );
  for (const request of requests) await ask(request);
  assert.equal(answers.size, 2);
  assert.equal(answers.kept('operational', requests[0] ?? ''), undefined);
  answers.forgetAll();
  assert.equal(answers.size, 0);
});
