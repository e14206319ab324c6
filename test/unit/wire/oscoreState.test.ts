/** The parts of an OSCORE context that change and have to last: numbers, window, option values, records. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import {
  decodePartialIv,
  encodeOscoreOption,
  encodePartialIv,
  parseOscoreOption,
} from '../../../src/wire/oscore/option.ts';
import {
  type ContextRecord,
  encodeRecord,
  parseRecord,
  restoreContext,
} from '../../../src/wire/oscore/record.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import {
  SenderSequence,
  SequenceNumber,
  sequenceNumberLimit,
} from '../../../src/wire/oscore/sequence.ts';
import { contextPair, granted, refusalOf } from '../../support/oscore.ts';

test('RFC 8613 §6.3: compressed headers', () => {
  for (const [encoding, option] of [
    ['090525', { kid: fromHex('25'), partialIv: fromHex('05') }],
    ['0900', { kid: fromHex(''), partialIv: fromHex('00') }],
    [
      '19050544616c656b',
      { kid: fromHex(''), partialIv: fromHex('05'), kidContext: fromHex('44616c656b') },
    ],
    ['', {}],
    ['0107', { partialIv: fromHex('07') }],
    // An empty kid alone, an empty kid context alone.
    ['08', { kid: fromHex('') }],
    ['1000', { kidContext: fromHex('') }],
  ] as const) {
    assert.equal(toHex(encodeOscoreOption(option)), encoding);
    assert.deepEqual(parseOscoreOption(fromHex(encoding)), option);
  }
});

test('KUDOS §4.1: the extended option', () => {
  const nonce = fromHex('0102030405060708');
  const keyUpdate = {
    convergent: true,
    preserveObservations: true,
    noForwardSecrecy: false,
    nonce,
  };
  const option = { kid: fromHex('0c'), partialIv: fromHex('00'), keyUpdate };
  const encoding = '8901006701020304050607080c';
  assert.equal(toHex(encodeOscoreOption(option)), encoding);
  assert.deepEqual(parseOscoreOption(fromHex(encoding)), option);
  const response = {
    kidContext: fromHex('aa'),
    keyUpdate: { ...keyUpdate, convergent: false, noForwardSecrecy: true, nonce: fromHex('ff') },
  };
  assert.equal(toHex(encodeOscoreOption(response)), '900101aa30ff');
  assert.deepEqual(parseOscoreOption(fromHex('900101aa30ff')), response);
  for (const bytes of [0, 17]) {
    const broken = { ...keyUpdate, nonce: new Uint8Array(bytes) };
    assert.throws(() => encodeOscoreOption({ keyUpdate: broken }), TypeError);
  }
});

test('option values that decompress to nothing are refused at their offset', () => {
  for (const [name, encoding, offset] of [
    ['zero flags sent', '00', 0],
    ['reserved flag 6', '4105', 0],
    ['reserved flag 5', '2105', 0],
    ['Partial IV of 6', '0e0102030405060c', 0],
    ['Partial IV of 7', '0f010203040506070c', 0],
    ['Partial IV cut', '0301', 2],
    ['leading zero', '0a00010c', 1],
    ['kid context length missing', '10', 1],
    ['kid context cut', '10020a', 3],
    ['bytes without kid', '010101', 2],
    ['extension without flags', '80', 1],
    ['extension without d', '8000', 1],
    ['unknown second flags', '8003', 1],
    ['x missing', '8001', 2],
    ['x reserved bit', '80018001', 2],
    ['nonce cut', '80010101', 4],
  ] as const) {
    assert.throws(
      () => parseOscoreOption(fromHex(encoding)),
      { name: 'MalformedError', format: 'oscore', offset },
      name,
    );
  }
  const kidContext = new Uint8Array(256);
  assert.throws(() => encodeOscoreOption({ kidContext }), TypeError);
});

test('Partial IVs are numbers in their shortest form', () => {
  for (const [value, encoding] of [
    [0, '00'],
    [255, 'ff'],
    [256, '0100'],
    [2 ** 40 - 1, 'ffffffffff'],
  ] as const) {
    assert.equal(toHex(encodePartialIv(value)), encoding);
    assert.equal(decodePartialIv(fromHex(encoding)), value);
  }
});

test('RFC 8613 §B.1.1: no number before a durable reservation, none twice over any crash', () => {
  const { client } = contextPair();
  let stored = 0;
  const used = new Set<number>();
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('take', 'take', 'reserve', 'answer lost', 'write lost', 'crash'), {
        minLength: 30,
        maxLength: 60,
      }),
      (steps) => {
        let sequence = new SenderSequence(client, stored);
        assert.equal(refusalOf(sequence.take()), 'reservation-needed');
        for (const step of steps) {
          if (step === 'crash') sequence = new SenderSequence(client, stored);
          const end = sequence.reservation(5);
          assert.ok(typeof end === 'number');
          // A write that is lost is never confirmed; one that happened may be confirmed or not.
          if (step === 'reserve' || step === 'answer lost') stored = end;
          if (step === 'reserve') sequence.confirm(end);
          if (step === 'take' && sequence.left > 0) {
            const number = granted(sequence.take()).spend();
            assert.ok(!used.has(number));
            used.add(number);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(used.size > 100);
});

test('sequence numbers end below 2^40', () => {
  const { client } = contextPair();
  const sequence = new SenderSequence(client, sequenceNumberLimit - 1);
  assert.equal(sequence.reservation(1000), sequenceNumberLimit);
  sequence.confirm(sequenceNumberLimit);
  assert.equal(granted(sequence.take()).spend(), sequenceNumberLimit - 1);
  assert.equal(refusalOf(sequence.take()), 'sequence-exhausted');
  const refused = sequence.reservation(1);
  assert.ok(typeof refused === 'object' && refused.refused === 'sequence-exhausted');
  assert.throws(() => sequence.reservation(0), TypeError);
  assert.throws(() => sequence.confirm(sequenceNumberLimit + 1), TypeError);
  assert.throws(() => sequence.confirm(1), TypeError);
  assert.throws(() => new SenderSequence(client, -1), TypeError);
  assert.throws(() => new SequenceNumber(Symbol('forged'), client, 1), TypeError);
});

test('the window agrees with a plain list of what was received', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(8, 32, 64, 128),
      fc.array(fc.integer({ min: -70, max: 70 }), { maxLength: 120 }),
      (size, steps) => {
        let window = ReplayWindow.empty(size);
        const received = new Set<number>();
        let highest = -1;
        for (const step of steps) {
          const number = Math.max(0, highest + step);
          const expected =
            number <= highest - size ? 'too-old' : received.has(number) ? 'replayed' : 'fresh';
          assert.equal(window.check(number), expected);
          if (expected !== 'fresh') {
            assert.throws(() => window.accept(number), TypeError);
            continue;
          }
          const before = window;
          window = ReplayWindow.restore(window.accept(number).state());
          assert.equal(before.check(number), 'fresh');
          received.add(number);
          highest = Math.max(highest, number);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('a window takes jumps over the whole number space', () => {
  const window = ReplayWindow.empty()
    .accept(5)
    .accept(sequenceNumberLimit - 1);
  assert.equal(window.check(5), 'too-old');
  assert.equal(window.check(sequenceNumberLimit - 2), 'fresh');
  assert.throws(() => ReplayWindow.restore({ next: -1, seen: new Uint8Array(4) }), TypeError);
});

const record: ContextRecord = {
  masterSecret: new Uint8Array(16).fill(1),
  masterSalt: new Uint8Array(8).fill(2),
  senderId: Uint8Array.of(3),
  recipientId: new Uint8Array(0),
  aead: 'AES-CCM-16-64-128',
  hkdf: 'SHA-256',
  sequenceEnd: 96,
  window: ReplayWindow.empty().accept(7).state(),
  usage: { encryptions: 11, failedVerifications: 2 },
};

test('a window has 8 to 4096 places, in steps of 8', () => {
  for (const size of [8, 16, 4096]) assert.equal(ReplayWindow.empty(size).size, size);
  for (const size of [0, 4, 12, 4104]) assert.throws(() => ReplayWindow.empty(size), TypeError);
});

test('a record keeps everything that a context needs', () => {
  const idContext = Uint8Array.of(1, 2);
  for (const candidate of [
    record,
    { ...record, idContext, hkdf: 'SHA-512' as const },
    { ...record, window: undefined },
  ]) {
    assert.deepEqual(parseRecord(encodeRecord(candidate)), candidate);
  }
  const { context, sequence, window } = restoreContext(nodeCrypto, record);
  assert.deepEqual(context.usage, record.usage);
  assert.equal(refusalOf(sequence.take()), 'reservation-needed');
  assert.equal(sequence.reservation(32), 128);
  assert.equal(window.check(7), 'replayed');
  const lost = restoreContext(nodeCrypto, { ...record, window: undefined });
  assert.equal(lost.window.check(7), 'unsynchronized');
});

test('a record that is not one of ours is refused', () => {
  const bytes = encodeRecord(record);
  const edited = (index: number, value: number): Uint8Array => bytes.with(index, value);
  for (const [name, broken, error] of [
    ['later version', edited(1, 2), 'UnsupportedError'],
    ['member missing', edited(0, 0x8a), 'MalformedError'],
    ['trailing byte', Uint8Array.of(...bytes, 0), 'MalformedError'],
    ['algorithm unknown', edited(bytes.length - 16, 0x09), 'MalformedError'],
  ] as const) {
    assert.throws(() => parseRecord(broken), { name: error }, name);
  }
  const sized = (bytesOfWindow: number): Uint8Array =>
    encodeRecord({ ...record, window: { next: 1, seen: new Uint8Array(bytesOfWindow) } });
  for (const size of [1, 512]) assert.equal(parseRecord(sized(size)).window?.seen.length, size);
  for (const size of [0, 513]) {
    assert.throws(() => parseRecord(sized(size)), { name: 'MalformedError' });
  }
  // Hashes that COSE knows, and HKDF of OSCORE has no use for.
  // SHA-1 and SHA-256/64 (-14 and -15) in place of SHA-256 (-16): no HKDF of OSCORE uses them.
  for (const algorithm of [0x2d, 0x2e]) {
    const other = edited(bytes.lastIndexOf(0x2f), algorithm);
    assert.throws(() => parseRecord(other), /HKDF algorithm unknown/);
  }
});
