import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readEnvelope } from '../../../src/wire/relay/envelope.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { calmAir, Field, type FieldDevice, roughAir } from '../../support/field.ts';
import { PowerCut } from '../../support/memoryDeviceStore.ts';

const texts = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `reading ${String(index).padStart(3, '0')}`);

/** What no restart and no radio may break, whatever else happened. */
function checkInvariants(field: Field): void {
  const accepted = field.delivered.map(
    ({ meta }) => `${meta.sessionId}/${String(meta.sequenceNumber)}`,
  );
  assert.equal(
    new Set(accepted).size,
    accepted.length,
    'no number of a session was accepted twice',
  );
  const longest = Math.max(...field.air.heard.map(({ frame }) => frame.length));
  assert.ok(longest <= 51, `a frame of ${longest} bytes`);
  assertNoNumberUsedTwice(field);
  assertOpaque(field);
}

/** RFC 8613 §7.2: two different requests with one kid and Partial IV would share key and nonce. */
function assertNoNumberUsedTwice(field: Field): void {
  const used = new Map<string, string>();
  let handshakes = 0;
  for (const { direction, linkAddress, frame } of field.air.heard) {
    if (direction !== 'up') continue;
    if (frame[0] === 1 && frame.length === 21) handshakes += 1;
    // 0x02, CoAP header of 4 bytes without token, then the OSCORE option 0x9n: flags, Partial IV, kid.
    if (frame[0] !== 2) continue;
    const option = toHex(frame.subarray(5, 6 + ((frame[5] ?? 0) & 15)));
    const name = `${linkAddress} ${option} after ${handshakes} message_3`;
    const body = toHex(frame.subarray(5));
    assert.equal(used.get(name) ?? body, body, `${name} was used for two messages`);
    used.set(name, body);
  }
}

/** The gateway and everything beyond it sees frames that contain nothing of what was said. */
function assertOpaque(field: Field): void {
  const seen = field.envelopes.map(toHex).join(' ');
  for (const { text } of field.delivered) assert.ok(!seen.includes(toHex(utf8(text))), text);
}

async function deliverAll(
  field: Field,
  device: FieldDevice,
  wanted: readonly string[],
): Promise<void> {
  const done = device.count('telemetry') + wanted.length;
  for (const text of wanted) await device.submit(text);
  await field.time.until(() => device.count('telemetry') >= done);
}

test('from first power-on to telemetry: 37, 45 and 19 bytes, and then frames of 51 at most', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  await deliverAll(field, device, ['21.5 C']);
  const session = device.events.find((event) => event.kind === 'session');
  assert.deepEqual(session, { kind: 'session', handshakeBytes: [37, 45, 19], resumed: false });
  assert.deepEqual(
    field.air.heard.map(({ direction, frame }) => `${direction} ${frame.length}`),
    // EDHOC with kind and correlation in front, then request and response under OSCORE.
    ['up 39', 'down 47', 'up 21', 'up 28', 'down 16'],
  );
  checkInvariants(field);
  const kinds = field.envelopes.map((envelope) => readEnvelope(envelope).frame[0]);
  assert.deepEqual(kinds, [1, 1, 1, 2, 2]);
});

test('a payload of the longest length fits a frame, a longer one is refused', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  const sensor = await device.switchOn();
  assert.equal(sensor.maximumPayloadBytes, 24);
  await deliverAll(field, device, ['x'.repeat(24)]);
  assert.throws(() => sensor.submit(utf8('x'.repeat(25))), TypeError);
  assert.throws(() => sensor.submit(new Uint8Array(0)), TypeError);
});

test('loss, duplication and reordering cost time only', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const field = new Field({ air: roughAir, seed });
    const device = field.addDevice(seed);
    await device.switchOn();
    await deliverAll(field, device, texts(12));
    const got = field.textsOf(device.deviceId);
    assert.deepEqual([...new Set(got)], texts(12), `seed ${seed}`);
    checkInvariants(field);
  }
});

test('messages that need no answer cost one frame each, and some are lost with the air', async () => {
  const field = new Field({ air: { ...calmAir, drop: 0.1 }, seed: 3 });
  const device = field.addDevice(1, { confirmEvery: 10, maximumQueued: 200 });
  await device.switchOn();
  for (const text of texts(100)) await device.submit(text);
  await field.time.until(() => device.count('telemetry') === 100);
  const confirmed = device.events.filter((event) => event.kind === 'telemetry' && event.confirmed);
  assert.equal(confirmed.length, 10);
  const count = field.delivered.length;
  assert.ok(count > 75 && count < 100, `${count} of 100 delivered`);
  const answers = field.air.heard.filter(
    ({ direction, frame }) => direction === 'down' && frame[0] === 2,
  );
  assert.ok(answers.length < 20, `${answers.length} answers`);
  checkInvariants(field);
});

test('power cut of either side after every single frame: it goes on with the same bytes', async () => {
  for (const side of ['sensor', 'server', 'both'] as const) {
    for (let cutAfter = 1; cutAfter <= 5; cutAfter++) {
      const field = new Field({ seed: cutAfter });
      const device = field.addDevice(1);
      let frames = 0;
      field.air.intercept = () => {
        frames += 1;
        if (frames === cutAfter) field.time.after(0, cut);
        return true;
      };
      const cut = async (): Promise<void> => {
        if (side !== 'sensor') field.restartServer();
        if (side !== 'server') {
          await device.cutPower();
          await device.switchOn();
        }
        await device.submit('after the cut');
      };
      await device.switchOn();
      await device.submit('before the cut');
      await field.time.until(() => field.textsOf(device.deviceId).includes('after the cut'));
      checkInvariants(field);
      const starts = field.air.heard.filter(({ frame }) => frame[0] === 1 && frame[1] === 0xf5);
      const finals = field.air.heard.filter(({ frame }) => frame[0] === 1 && frame.length === 21);
      for (const same of [starts, finals]) {
        const distinct = new Set(same.map(({ frame }) => toHex(frame)));
        assert.equal(distinct.size, 1, `${side}, after frame ${cutAfter}`);
      }
    }
  }
});

test('power cut around every write of the sensor, in rough air: nothing is sent twice under one number', async () => {
  for (const moment of ['before', 'after'] as const) {
    for (let cutAt = 1; cutAt <= 10; cutAt++) {
      const field = new Field({ air: roughAir, seed: cutAt });
      const device = field.addDevice(1, { lookAhead: 3 });
      device.flash.onCommit = (when, commit) => {
        if (when !== moment || commit !== cutAt) return;
        field.time.after(1, async () => {
          await device.cutPower();
          await device.switchOn();
          for (const text of texts(8)) await device.submit(text);
        });
        throw new PowerCut();
      };
      await device.switchOn().catch((error: unknown) => assert.ok(error instanceof PowerCut));
      for (const text of texts(8)) await device.submit(text);
      await field.time.until(() =>
        texts(8).every((text) => field.textsOf(device.deviceId).includes(text)),
      );
      checkInvariants(field);
    }
  }
});

test('the session survives a loss of power: no second handshake', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  await deliverAll(field, device, ['one']);
  await device.cutPower();
  await device.switchOn();
  await deliverAll(field, device, ['two']);
  field.restartServer();
  await deliverAll(field, device, ['three']);
  assert.equal(device.events.filter((event) => event.kind === 'session').length, 1);
  // Numbers that were reserved and not used are skipped (RFC 8613 §B.1.1).
  assert.deepEqual(
    field.delivered.map(({ meta }) => meta.sequenceNumber),
    [0, 32, 33],
  );
  checkInvariants(field);
});

test('a sensor whose session is gone at the server makes a new one', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  await deliverAll(field, device, ['one']);
  await field.store.removeSessionsOf([device.deviceId]);
  field.restartServer();
  await deliverAll(field, device, ['two']);
  assert.equal(device.events.filter((event) => event.kind === 'session').length, 2);
  checkInvariants(field);
});

test('only the pinned server is talked to', async () => {
  const field = new Field();
  const other = new Field({ seed: 2 });
  const device = field.addDevice(1);
  device.element.data.set('server-identity', other.serverIdentity);
  await device.switchOn();
  await device.submit('secret');
  await field.time.until(() => device.count('resting') === 2, 1000);
  assert.equal(field.delivered.length, 0);
  assert.ok(
    !field.air.heard.some(({ direction, frame }) => direction === 'up' && frame.length === 21),
  );
});

test('an element without the means for sessions is refused at the start', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  device.element.data.delete('server-identity');
  await assert.rejects(device.switchOn(), /no (agree key|server identity)/);
});

test('an element that does not answer for a moment delays the handshake', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  device.element.failures = 1;
  await deliverAll(field, device, ['one']);
  assert.equal(device.count('fault'), 1);
  checkInvariants(field);
});

test('a full queue drops the oldest', async () => {
  const field = new Field();
  const device = field.addDevice(1, { maximumQueued: 4 });
  await device.switchOn();
  for (const text of texts(7)) await device.submit(text);
  await field.time.until(() => device.count('telemetry') === 4);
  assert.deepEqual(field.textsOf(device.deviceId), texts(7).slice(3));
  assert.equal(device.count('telemetry-dropped'), 3);
});

test('two sensors behind one gateway keep apart', async () => {
  const field = new Field({ air: roughAir, seed: 5 });
  const devices = [1, 2, 3, 4, 5].map((number) => field.addDevice(number));
  for (const device of devices) await device.switchOn();
  for (const device of devices) {
    for (const text of texts(5)) await device.submit(`${text} of ${device.deviceId.slice(-1)}`);
  }
  await field.time.until(() => devices.every((device) => device.count('telemetry') === 5));
  for (const device of devices) {
    const own = new Set(field.textsOf(device.deviceId));
    assert.equal(own.size, 5);
    for (const text of own) assert.ok(text.endsWith(`of ${device.deviceId.slice(-1)}`));
  }
  checkInvariants(field);
});

test('what the sensor stores is sealed: no key, no state and no identifier of the session shows', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  await deliverAll(field, device, ['one']);
  const stored = device.flash.values.get('session');
  assert.ok(stored !== undefined);
  const swapped = field.addDevice(2);
  for (const [name, value] of device.flash.values) swapped.flash.values.set(name, value);
  await swapped.switchOn();
  assert.ok(swapped.events.some((event) => event.kind === 'fault' && event.final));
  device.flash.values.set(
    'session',
    stored.map((byte, index) => (index === 20 ? byte ^ 1 : byte)),
  );
  await device.cutPower();
  await device.switchOn();
  assert.ok(device.events.some((event) => event.kind === 'fault' && event.final));
});
