/** Answers in parts on a raw link: cut, asked for, and put together again by a link that loses frames. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partedLink } from '../../../src/device/sessions/partedLink.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { writeFrame } from '../../../src/wire/relay/frame.ts';
import {
  cutPart,
  maximumParts,
  readPart,
  readPartRequest,
  writePartRequest,
} from '../../../src/wire/relay/parts.ts';

const message1 = Uint8Array.from({ length: 40 }, (_, index) => index);
const hash = nodeCrypto.hash('SHA-256', message1).subarray(0, 2);
const start = writeFrame({ kind: 'edhoc-start', message1 });
const answer = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, index) => (index === 0 ? 1 : index % 251));

test('requests and parts come back; what is none is malformed', () => {
  const first = { limitBytes: 51, number: 0, message1 } as const;
  const next = { limitBytes: 51, number: 7, hash };
  assert.deepEqual(readPartRequest(writePartRequest(first)), first);
  assert.deepEqual(readPartRequest(writePartRequest(next)), next);
  for (const bad of [
    '',
    '01',
    '0333',
    '033300',
    '030700aa',
    '033307aa',
    '033307aabbcc',
    '033320aabb',
  ]) {
    assert.throws(() => readPartRequest(fromHex(bad)), MalformedError, bad);
  }
  for (const bad of ['', '0300aabb', '0100aabbcc', '0320aabbcc', '03a0aabbcc']) {
    assert.throws(() => readPart(fromHex(bad)), MalformedError, bad);
  }
});

test('an answer is cut into frames that fit, and only as many as a number counts', () => {
  for (const length of [52, 94, 95, 321, 47 * maximumParts]) {
    const whole = answer(length);
    const parts: Uint8Array[] = [];
    for (let number = 0; ; number += 1) {
      const frame = cutPart(whole, { limitBytes: 51, number, hash }, hash);
      assert.ok(frame !== undefined && frame.length <= 51);
      const read = readPart(frame);
      assert.equal(read.number, number);
      parts.push(read.part);
      if (read.isLast) break;
    }
    assert.deepEqual(concat(...parts), whole);
    assert.equal(cutPart(whole, { limitBytes: 51, number: parts.length, hash }, hash), undefined);
  }
  const short = answer(51);
  assert.deepEqual(cutPart(short, { limitBytes: 51, number: 0, message1 }, hash), short);
  assert.equal(cutPart(short, { limitBytes: 51, number: 1, hash }, hash), undefined);
  const long = answer(47 * maximumParts + 1);
  assert.equal(cutPart(long, { limitBytes: 51, number: 0, message1 }, hash), undefined);
});

/** A link with its other end in the test's hand. */
function ends(server: (frame: Uint8Array) => Uint8Array | undefined) {
  const up: Uint8Array[] = [];
  const received: Uint8Array[] = [];
  let deliver: (frame: Uint8Array) => Promise<void> = () => Promise.resolve();
  const link = partedLink(
    {
      maximumFrameBytes: 51,
      send: async (frame) => {
        up.push(frame);
        const down = server(frame);
        if (down !== undefined) queueMicrotask(() => void deliver(down));
      },
      onFrame: (receive) => {
        deliver = receive;
      },
    },
    nodeCrypto,
  );
  link.onFrame(async (frame) => {
    received.push(frame);
  });
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 200; turn += 1) await Promise.resolve();
  };
  return { link, up, received, settle, deliver: (frame: Uint8Array) => deliver(frame) };
}

function serving(whole: () => Uint8Array, lose: (count: number) => boolean = () => false) {
  let count = 0;
  return (frame: Uint8Array): Uint8Array | undefined => {
    const down = cutPart(whole(), readPartRequest(frame), hash);
    return lose(count++) ? undefined : down;
  };
}

test('the whole answer arrives once, each part asked for once', async () => {
  const whole = answer(321);
  const { link, up, received, settle } = ends(serving(() => whole));
  await link.send(start);
  await settle();
  assert.deepEqual(received, [whole]);
  assert.equal(up.length, Math.ceil(321 / 47));
  assert.ok(up.every((frame, index) => frame.length === (index === 0 ? 43 : 5)));
});

test('a lost part is asked for again by message_1 or by its number, and what came is kept', async () => {
  const whole = answer(200);
  const { link, up, received, settle } = ends(
    serving(
      () => whole,
      (count) => count % 2 === 1,
    ),
  );
  for (let attempt = 0; attempt < 12 && received.length === 0; attempt += 1) {
    await link.send(start);
    await settle();
  }
  assert.deepEqual(received, [whole]);
  assert.ok(up.length < 16, String(up.length));
});

test('another answer to the same message_1 begins anew; strangers and late parts change nothing', async () => {
  let whole = answer(150);
  let on = true;
  let forgotten = false;
  const it = ends((frame) => {
    const request = readPartRequest(frame);
    if (request.number === 0) forgotten = false;
    const isLost = !on || forgotten || (whole[1] === 1 && request.number === 2);
    return isLost ? undefined : cutPart(whole, request, hash);
  });
  await it.link.send(start);
  await it.settle();
  assert.equal(it.received.length, 0);
  whole = answer(150).map((byte) => byte ^ 0x40);
  forgotten = true;
  on = false;
  const strange = cutPart(whole, { limitBytes: 51, number: 2, hash }, Uint8Array.of(9, 9));
  await it.deliver(strange ?? start);
  await it.deliver(Uint8Array.of(3));
  assert.equal(it.received.length, 0);
  on = true;
  for (let attempt = 0; attempt < 4 && it.received.length === 0; attempt += 1) {
    await it.link.send(start);
    await it.settle();
  }
  assert.deepEqual(it.received, [whole]);
  // Everything else passes as it is.
  await it.deliver(Uint8Array.of(2, 1));
  assert.deepEqual(it.received[1], Uint8Array.of(2, 1));
  on = false;
  const telemetry = Uint8Array.of(2, 7, 7);
  const other = ends(() => undefined);
  await other.link.send(telemetry);
  assert.deepEqual(other.up, [telemetry]);
});
