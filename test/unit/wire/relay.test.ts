import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import {
  maximumFrameBytes,
  maximumLinkAddressBytes,
  readEnvelope,
  writeEnvelope,
} from '../../../src/wire/relay/envelope.ts';
import { type LinkFrame, readFrame, writeFrame } from '../../../src/wire/relay/frame.ts';
import { readModemDatagram, writeModemDatagram } from '../../../src/wire/relay/modem.ts';

const linkAddress = fromHex('02005efffe000001');

test('an envelope is an array of two byte strings', () => {
  const bytes = writeEnvelope({ linkAddress, frame: fromHex('0102') });
  assert.equal(toHex(bytes), '824802005efffe000001420102');
  assert.deepEqual(readEnvelope(bytes), { linkAddress, frame: fromHex('0102') });
});

test('an envelope that breaks a rule is refused at its offset', () => {
  for (const [hex, offset] of [
    ['', 0],
    ['814101', 0],
    ['8340404100', 0],
    ['82404100', 1],
    ['8241014000', 3],
    ['824101', 3],
    ['8241016101', 3],
    [`8251${'00'.repeat(17)}4100`, 1],
    ['82410141020f', 5],
    [`824101590501${'00'.repeat(0x501)}`, 3],
  ] as const) {
    assert.throws(
      () => readEnvelope(fromHex(hex)),
      (error) => error instanceof MalformedError && error.offset === offset,
      hex.slice(0, 40),
    );
  }
});

test('an envelope beyond a limit is not written', () => {
  const frame = Uint8Array.of(1);
  assert.throws(() => writeEnvelope({ linkAddress: new Uint8Array(0), frame }), TypeError);
  assert.throws(
    () => writeEnvelope({ linkAddress: new Uint8Array(maximumLinkAddressBytes + 1), frame }),
    TypeError,
  );
  assert.throws(() => writeEnvelope({ linkAddress, frame: new Uint8Array(0) }), TypeError);
  assert.throws(
    () => writeEnvelope({ linkAddress, frame: new Uint8Array(maximumFrameBytes + 1) }),
    TypeError,
  );
});

test('frames: message_1 is marked by true, others by the connection identifier of their receiver', () => {
  const message = fromHex('4102');
  for (const [frame, hex] of [
    [{ kind: 'edhoc-start', message1: fromHex('0302') }, '01f50302'],
    // RFC 9528 §3.3.2: the byte strings of one-byte integers go as integers, others as byte strings.
    [{ kind: 'edhoc', connectionId: fromHex('21'), message }, '01214102'],
    [{ kind: 'edhoc', connectionId: fromHex('0d'), message }, '010d4102'],
    [{ kind: 'edhoc', connectionId: fromHex('18'), message }, '0141184102'],
    [{ kind: 'edhoc', connectionId: fromHex('38'), message }, '0141384102'],
    [{ kind: 'edhoc', connectionId: fromHex('abcd'), message }, '0142abcd4102'],
    [{ kind: 'edhoc', connectionId: new Uint8Array(0), message }, '01404102'],
    [{ kind: 'coap', message: fromHex('5002') }, '025002'],
  ] as const satisfies ReadonlyArray<readonly [LinkFrame, string]>) {
    assert.equal(toHex(writeFrame(frame)), hex);
    assert.deepEqual(readFrame(fromHex(hex)), frame);
  }
});

test('the three EDHOC messages of method 3 with kid fit a frame of 51 bytes', () => {
  const connectionId = fromHex('20');
  const frames: LinkFrame[] = [
    { kind: 'edhoc-start', message1: new Uint8Array(37) },
    { kind: 'edhoc', connectionId, message: new Uint8Array(45) },
    { kind: 'edhoc', connectionId, message: new Uint8Array(19) },
  ];
  assert.deepEqual(
    frames.map((frame) => writeFrame(frame).length),
    [39, 47, 21],
  );
});

test('frames that break a rule are refused', () => {
  for (const hex of [
    '',
    '01',
    '02',
    '01f5',
    '0121',
    '014121',
    '011818aa',
    '01f4aa',
    '0161',
    '0163',
    '0148',
  ]) {
    assert.throws(() => readFrame(fromHex(hex)), MalformedError, hex);
  }
  assert.throws(() => readFrame(fromHex(`0148${'00'.repeat(8)}aa`)), MalformedError);
  for (const hex of ['00', '03aa', 'ff']) {
    assert.throws(() => readFrame(fromHex(hex)), UnsupportedError, hex);
  }
  const tooLong = {
    kind: 'edhoc',
    connectionId: new Uint8Array(8),
    message: Uint8Array.of(1),
  } as const;
  assert.throws(() => writeFrame(tooLong), TypeError);
});

test('modem datagrams', () => {
  for (const [datagram, hex] of [
    [{ kind: 'attach', linkAddress: undefined }, '0000'],
    [{ kind: 'attach', linkAddress }, '000802005efffe000001'],
    [{ kind: 'frame', linkAddress, frame: fromHex('01f5') }, '010802005efffe00000101f5'],
  ] as const) {
    assert.equal(toHex(writeModemDatagram(datagram)), hex);
    assert.deepEqual(readModemDatagram(fromHex(hex)), datagram);
  }
  for (const hex of [
    '',
    '00',
    '000102030405',
    '0111',
    `0011${'00'.repeat(17)}`,
    '0100',
    '010105',
    '0005aa',
  ]) {
    assert.throws(() => readModemDatagram(fromHex(hex)), MalformedError, hex);
  }
  assert.throws(() => readModemDatagram(fromHex('0200')), UnsupportedError);
  assert.throws(
    () => writeModemDatagram({ kind: 'frame', linkAddress: new Uint8Array(0), frame: linkAddress }),
    TypeError,
  );
  assert.throws(
    () => writeModemDatagram({ kind: 'frame', linkAddress, frame: new Uint8Array(0) }),
    TypeError,
  );
  assert.throws(
    () => writeModemDatagram({ kind: 'attach', linkAddress: new Uint8Array(17) }),
    TypeError,
  );
});
