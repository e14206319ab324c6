import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sessionRecordName } from '../../../src/device/sessions/record.ts';
import { isDue, nextStep, renewalDefaults } from '../../../src/device/sessions/renewal.ts';
import type { SensorEvent, SensorOptions } from '../../../src/device/sessions/sensorOptions.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { writeEnvelope } from '../../../src/wire/relay/envelope.ts';
import { Field, type FieldDevice, type FieldOptions, roughAir } from '../../support/field.ts';
import { PowerCut } from '../../support/memoryDeviceStore.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';

const byResumption: Partial<SensorOptions> = {
  renewEvery: 3,
  updatesPerHandshake: 0,
  lookAhead: 4,
};
const byUpdate: Partial<SensorOptions> = { renewEvery: 3, updatesPerHandshake: 100, lookAhead: 4 };

async function switchedOn(
  sensor: Partial<SensorOptions>,
  options: FieldOptions = {},
): Promise<{ field: Field; device: FieldDevice; store: MemorySessionStore }> {
  const store = new MemorySessionStore();
  const field = new Field({ ...options, store });
  const device = field.addDevice(1, { maximumQueued: 1_000, ...sensor });
  await device.switchOn();
  return { field, device, store };
}

async function deliver(field: Field, device: FieldDevice, count: number): Promise<void> {
  const before = new Set(field.textsOf(device.deviceId)).size;
  const done = device.count('telemetry') + count;
  for (let index = 0; index < count; index++) await device.submit(`reading ${before + index}`);
  const texts = (): number => new Set(field.textsOf(device.deviceId)).size;
  await field.time.until(() => texts() === before + count && device.count('telemetry') >= done);
}

function sessions(device: FieldDevice): Array<Extract<SensorEvent, { kind: 'session' }>> {
  return device.events.filter((event) => event.kind === 'session');
}

/** RFC 8613 §7.2, whatever was renewed: all frames of one session and epoch have numbers of their own. */
function assertNothingTwice(field: Field): void {
  const requests = field.air.heard.filter(
    ({ direction, frame }) => direction === 'up' && frame[0] === 2,
  );
  const ciphertexts = new Map<string, string>();
  for (const { frame } of requests) {
    const head = toHex(frame.subarray(5, 6 + ((frame[5] ?? 0) & 15)));
    const body = toHex(frame);
    // The same option and the same tag: a retransmission. Two plaintexts under one nonce would differ in one.
    const name = `${head} ${body.slice(-16)}`;
    assert.equal(ciphertexts.get(name) ?? body, body);
    ciphertexts.set(name, body);
  }
}

test('the policy: numbers, time and the limits of the key; updates before resumptions before handshakes', () => {
  const policy = { ...renewalDefaults, renewEvery: 10, renewAfterMs: 1000 };
  const age = { nextNumber: 9, ageMs: 999, isWearingOut: false };
  assert.equal(isDue(policy, age), false);
  assert.equal(isDue(policy, { ...age, nextNumber: 10 }), true);
  assert.equal(isDue(policy, { ...age, ageMs: 1000 }), true);
  assert.equal(isDue(policy, { ...age, isWearingOut: true }), true);
  assert.equal(nextStep(policy, 7, 3), 'update');
  assert.equal(nextStep(policy, 8, 3), 'resumption');
  assert.equal(nextStep(policy, 8, 16), 'handshake');
  assert.equal(nextStep(policy, 8, undefined), 'handshake');
  assert.equal(nextStep(policy, undefined, 3), 'resumption');
});

test('renewal by resumption: 37, 35 and 13 bytes, and a new key for the next one each time', async () => {
  const { field, device, store } = await switchedOn(byResumption);
  await deliver(field, device, 20);
  const [first, ...others] = sessions(device);
  assert.deepEqual(first?.handshakeBytes, [37, 45, 19]);
  assert.ok(others.length >= 4);
  for (const { handshakeBytes, resumed } of others) {
    assert.deepEqual(handshakeBytes, [37, 35, 13]);
    assert.equal(resumed, true);
  }
  assert.equal(field.relay.counters.resumptions, others.length);
  assert.equal(device.count('telemetry'), 20);
  assert.equal(field.relay.counters.cloneEvidence, 0);
  // One live session, and the resumption key of none but it, or of the one before until it is settled.
  assert.equal(await store.countSessions(), 1);
  assert.ok(store.resumptionRows.length <= 2);
  assertNothingTwice(field);
});

test('after so many resumptions both prove their long-term keys again', async () => {
  const { field, device } = await switchedOn({ ...byResumption, resumptionsPerHandshake: 2 });
  await deliver(field, device, 20);
  const kinds = sessions(device).map(({ resumed }) => resumed);
  assert.deepEqual(kinds.slice(0, 6), [false, true, true, false, true, true]);
});

test('renewal by update costs no frame and no byte', async () => {
  const { field, device, store } = await switchedOn(byUpdate);
  await deliver(field, device, 12);
  assert.equal(sessions(device).length, 1);
  const epochs = device.events.flatMap((event) =>
    event.kind === 'keys-updated' ? [event.epoch] : [],
  );
  assert.deepEqual(epochs, [1, 2, 3]);
  assert.equal(field.relay.counters.keyUpdates, 3);
  const requests = field.air.heard.filter(
    ({ direction, frame }) => direction === 'up' && frame[0] === 2,
  );
  assert.equal(requests.length, 12);
  assert.equal(new Set(requests.map(({ frame }) => frame.length)).size <= 2, true);
  assert.equal(store.supersededRows.length, 2);
  assertNothingTwice(field);
});

test('messages without an answer are followed by one with, before another epoch', async () => {
  const { field, device } = await switchedOn({ ...byUpdate, confirmEvery: 50 });
  for (let index = 0; index < 20; index++) await device.submit(`reading ${index}`);
  await field.time.until(() => device.count('telemetry') === 20);
  // The last message under the old keys is answered, or it could come after the first under the new ones.
  assert.equal(field.relay.counters.cloneEvidence, 0);
  const epochs = device.count('keys-updated');
  assert.ok(epochs >= 4, `${epochs} epochs`);
  assert.equal(new Set(field.textsOf(device.deviceId)).size, 20);
});

test('after enough updates there is fresh Diffie-Hellman', async () => {
  const { field, device } = await switchedOn({ ...byUpdate, updatesPerHandshake: 2 });
  await deliver(field, device, 22);
  const resumed = sessions(device).map((session) => session.resumed);
  assert.deepEqual(resumed.slice(0, 3), [false, true, true]);
});

test('renewal by time', async () => {
  const { field, device } = await switchedOn({ renewAfterMs: 60_000, updatesPerHandshake: 0 });
  await deliver(field, device, 2);
  assert.equal(sessions(device).length, 1);
  await field.time.pass(61_000);
  await deliver(field, device, 1);
  assert.equal(sessions(device).length, 2);
});

for (const [name, sensor] of [
  ['resumption', byResumption],
  ['update', byUpdate],
  [
    'all of it',
    { renewEvery: 2, updatesPerHandshake: 1, resumptionsPerHandshake: 1, lookAhead: 2 },
  ],
] as const) {
  test(`renewal by ${name} in rough air loses nothing but time, and makes no clones`, async () => {
    for (let seed = 1; seed <= 15; seed++) {
      const { field, device, store } = await switchedOn(sensor, { air: roughAir, seed });
      await deliver(field, device, 16);
      assert.equal(field.relay.counters.cloneEvidence, 0, `seed ${seed}`);
      assert.equal(store.sessionRows.filter(({ standing }) => standing === 'live').length, 1);
      assertNothingTwice(field);
    }
  });

  test(`renewal by ${name}: power cut around every write, and restarts of the server`, async () => {
    for (const moment of ['before', 'after'] as const) {
      for (let cutAt = 1; cutAt <= 16; cutAt++) {
        const { field, device } = await switchedOn({}, { seed: cutAt });
        await device.cutPower();
        const other = field.addDevice(2, { maximumQueued: 1_000, ...sensor });
        other.flash.onCommit = (when, commit) => {
          if (when !== moment || commit !== cutAt) return;
          field.time.after(1, async () => {
            await other.cutPower();
            if (cutAt % 3 === 0) field.restartServer();
            await other.switchOn();
            for (let index = 0; index < 12; index++) await other.submit(`reading ${index}`);
          });
          throw new PowerCut();
        };
        await other.switchOn().catch((error: unknown) => assert.ok(error instanceof PowerCut));
        for (let index = 0; index < 12; index++) await other.submit(`reading ${index}`);
        const texts = (): number => new Set(field.textsOf(other.deviceId)).size;
        await field.time.until(() => texts() === 12);
        assert.equal(field.relay.counters.cloneEvidence, 0, `${moment} ${cutAt}`);
        assertNothingTwice(field);
      }
    }
  });
}

test('a renewal that nobody answers goes back to the session that is there', async () => {
  const { field, device } = await switchedOn({
    ...byResumption,
    rest: { firstMs: 100, longestMs: 3_600_000 },
  });
  // message_1 does not get through, everything else does.
  field.air.intercept = ({ direction, frame }) =>
    direction === 'down' || frame[1] !== 0xf5 || sessions(device).length === 0;
  await deliver(field, device, 12);
  assert.equal(sessions(device).length, 1);
  const failed = device.events.flatMap((event) =>
    event.kind === 'renewal-failed' ? [event.by] : [],
  );
  assert.deepEqual(failed, ['resumption', 'handshake']);
  assert.equal(device.count('resting'), 0);
});

test('a server that has lost the resumption key: the long-term keys serve', async () => {
  const { field, device, store } = await switchedOn(byResumption);
  await deliver(field, device, 2);
  store.resumptionRows = [];
  await deliver(field, device, 4);
  assert.deepEqual(
    sessions(device)
      .map(({ resumed }) => resumed)
      .slice(0, 2),
    [false, false],
  );
  assert.ok(field.refusals('unknown-credential') > 0);
});

test('a session that the server has lost is resumed', async () => {
  const { field, device, store } = await switchedOn({ updatesPerHandshake: 0 });
  await deliver(field, device, 2);
  const [row] = store.sessionRows;
  assert.ok(row !== undefined);
  await store.removeSession(row.id);
  field.restartServer();
  await deliver(field, device, 1);
  assert.deepEqual(
    sessions(device).map(({ resumed }) => resumed),
    [false, true],
  );
});

test('resumption ends some time after the long-term keys were used last', async () => {
  const { field, device } = await switchedOn(byResumption, {
    limits: { resumptionLifetimeMs: 1_000_000 },
  });
  await deliver(field, device, 2);
  await field.time.pass(1_000_001);
  await deliver(field, device, 4);
  assert.equal(sessions(device)[1]?.resumed, false);
});

test('a revoked device is not resumed', async () => {
  const { field, device, store } = await switchedOn(byResumption);
  await deliver(field, device, 2);
  device.revoked = true;
  await field.relay.kill(device.deviceId);
  assert.deepEqual(store.resumptionRows, []);
  assert.deepEqual(store.supersededRows, []);
  await device.submit('too late');
  await field.time.until(() => device.count('resting') === 1);
  assert.equal(device.count('telemetry'), 2);
});

test('a revocation that a crash interrupted is met at the resumption', async () => {
  const { field, device, store } = await switchedOn(byResumption);
  await deliver(field, device, 2);
  device.revoked = true;
  const [row] = store.sessionRows;
  if (row !== undefined) await store.removeSession(row.id);
  field.restartServer();
  await device.submit('too late');
  await field.time.until(() => device.count('resting') === 1);
  assert.ok(field.refusals('device-refused') > 0);
  assert.deepEqual(store.sessionRows, []);
  assert.deepEqual(store.resumptionRows, []);
});

test('message_2 of a stranger ends one attempt to resume, and nothing else', async () => {
  const { field, device } = await switchedOn(byResumption);
  await deliver(field, device, 2);
  let answered = false;
  field.air.intercept = ({ direction, frame }) => {
    if (direction !== 'down' || frame[0] !== 1 || answered) return true;
    answered = true;
    // The right length and connection identifier, another key: it decrypts to something.
    const forged = frame.slice();
    forged[frame.length - 1] = (forged[frame.length - 1] ?? 0) ^ 1;
    const envelope = writeEnvelope({ linkAddress: device.linkAddress, frame: forged });
    field.time.after(0, () => field.gateway.onDown(envelope));
    return false;
  };
  await deliver(field, device, 4);
  assert.ok(answered);
  assert.equal(device.count('resting'), 0);
  assert.equal(field.relay.counters.cloneEvidence, 0);
});

test('nothing of a resumed session is stored before the server has shown that it has the key', async () => {
  const { field, device } = await switchedOn(byResumption);
  await deliver(field, device, 3);
  let stored: boolean | undefined;
  field.air.intercept = ({ direction, frame }) => {
    if (direction === 'up' && frame[0] === 1 && frame.length === 15) {
      stored = device.flash.values.has(sessionRecordName);
    }
    return true;
  };
  await deliver(field, device, 3);
  assert.equal(stored, false);
  assert.equal(device.flash.values.has(sessionRecordName), true);
});
