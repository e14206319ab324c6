import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { startInitiator } from '../../../src/wire/edhoc/initiator.ts';
import { writeEnvelope } from '../../../src/wire/relay/envelope.ts';
import { readFrame, writeFrame } from '../../../src/wire/relay/frame.ts';
import { calmAir, Field, type FieldDevice, gatewayId, roughAir } from '../../support/field.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';
import { isNightly } from '../../support/nightly.ts';

/** As if somebody's radio had sent it. */
function forge(
  field: Field,
  device: FieldDevice,
  frame: Uint8Array,
  gateway = gatewayId,
): Promise<void> {
  return field.relay.onGatewayFrame(
    gateway,
    writeEnvelope({ linkAddress: device.linkAddress, frame }),
  );
}

/** A message_1 that nobody goes on with. */
function strangersMessage1(field: Field, connectionId = fromHex('05')): Uint8Array {
  const profile = { method: 3, suites: [2], message4: false } as const;
  const { message1 } = startInitiator(field.crypto, profile, { connectionId });
  return writeFrame({ kind: 'edhoc-start', message1 });
}

async function running(options: ConstructorParameters<typeof Field>[0] = {}): Promise<{
  field: Field;
  device: FieldDevice;
  store: MemorySessionStore;
}> {
  const store = new MemorySessionStore();
  const field = new Field({ ...options, store });
  const device = field.addDevice(1);
  await device.switchOn();
  await device.submit('first');
  await field.time.until(() => device.count('telemetry') === 1);
  return { field, device, store };
}

function sent(field: Field): Uint8Array[] {
  return field.air.heard.filter(({ direction }) => direction === 'up').map(({ frame }) => frame);
}

test('revocation: the session is gone at once, and no frame or handshake brings it back', async () => {
  const { field, device, store } = await running();
  const bystander = field.addDevice(2);
  await bystander.switchOn();
  await bystander.submit('mine');
  await field.time.until(() => bystander.count('telemetry') === 1);

  device.revoked = true;
  assert.equal(await field.relay.kill(device.deviceId), 1);
  assert.equal(store.sessionRows.length, 1);
  await device.submit('too late');
  await field.time.until(() => device.count('resting') === 2);
  assert.deepEqual(field.textsOf(device.deviceId), ['first']);
  assert.ok(field.refusals('unknown-connection') > 0);
  assert.ok(field.refusals('unknown-credential') > 0);

  await bystander.submit('still here');
  await field.time.until(() => bystander.count('telemetry') === 2);
  assert.deepEqual(field.textsOf(bystander.deviceId), ['mine', 'still here']);
});

test('revocation ends handshakes that are under way, whatever it overtakes', async () => {
  // The device is revoked at each point of the handshake in turn.
  for (let cut = 1; cut <= 5; cut++) {
    const store = new MemorySessionStore();
    const field = new Field({ store });
    const device = field.addDevice(1, { transmissions: 2 });
    let frames = 0;
    field.air.intercept = () => {
      frames += 1;
      if (frames === cut) {
        field.time.after(0, async () => {
          device.revoked = true;
          await field.relay.kill(device.deviceId);
        });
      }
      return true;
    };
    await device.switchOn();
    await device.submit('x');
    await field.time.until(() => device.count('resting') === 2 || device.count('telemetry') === 1);
    assert.equal(store.sessionRows.length, 0, `revoked at frame ${cut}`);
    assert.equal(field.delivered.length, cut === 5 ? 1 : 0, `revoked at frame ${cut}`);
  }
});

test('a revocation between the candidates and the session, with a crash in it, is caught at the next frame', async () => {
  const { field, device, store } = await running();
  // The mark was written; the process died before it could end the sessions.
  device.revoked = true;
  field.restartServer();
  await device.submit('too late');
  await field.time.until(() => field.refusals('unknown-connection') === 1);
  assert.equal(store.sessionRows.length, 0);
  await field.time.until(() => device.count('resting') === 1);
  assert.deepEqual(field.textsOf(device.deviceId), ['first']);
});

test('message_1 never touches a live session; a new session replaces it only when it is used', async () => {
  const { field, device, store } = await running();
  const [before] = store.sessionRows;
  for (let count = 0; count < 5; count++) await forge(field, device, strangersMessage1(field));
  assert.equal(store.sessionRows[0], before);
  await device.submit('second');
  await field.time.until(() => device.count('telemetry') === 2);
  // The flash was wiped: the sensor begins anew, and the old session is gone only with a request under the new keys.
  await device.cutPower();
  device.flash.values.delete('session');
  field.air.intercept = ({ frame }) => {
    if (frame[0] === 1) assert.equal(store.sessionRows[0]?.id, before?.id);
    return true;
  };
  await device.switchOn();
  await device.submit('third');
  await field.time.until(() => device.count('telemetry') === 3);
  assert.equal(store.sessionRows.length, 1);
  assert.notEqual(store.sessionRows[0]?.id, before?.id);
  const confirmed = field.observations.filter(({ kind }) => kind === 'session-confirmed');
  assert.equal(confirmed.length, 2, 'each by its first request alone');
});

test('a duplicate of message_1 gets the stored message_2, after a restart too, and no other state', async () => {
  const store = new MemorySessionStore();
  const field = new Field({ store });
  const device = field.addDevice(1);
  const message1 = strangersMessage1(field);
  await forge(field, device, message1);
  field.restartServer();
  await forge(field, device, message1);
  assert.equal(store.handshakeRows.length, 1);
  const [first, second] = field.envelopes.map(toHex);
  assert.equal(first, second);
});

test('half-open handshakes: three an endpoint, the newest makes room, a slow honest sensor stays', async () => {
  const store = new MemorySessionStore();
  const field = new Field({ store, limits: { handshakesPerIngress: 5 } });
  const device = field.addDevice(1);
  let held: (() => void) | undefined;
  // message_3 takes its time.
  field.air.intercept = ({ direction, frame, linkAddress }) => {
    if (held !== undefined || direction !== 'up' || frame.length !== 21) return true;
    held = () => field.air.sendUp(fromHex(linkAddress), frame);
    return false;
  };
  await device.switchOn();
  await field.time.until(() => held !== undefined);
  const [honest] = store.handshakeRows;
  for (let count = 0; count < 20; count++) await forge(field, device, strangersMessage1(field));
  assert.equal(store.handshakeRows.length, 3);
  assert.equal(store.handshakeRows[0], honest);
  // Other addresses behind the same gateway flood too.
  for (let number = 100; number < 120; number++) {
    await forge(field, field.addDevice(number), strangersMessage1(field));
  }
  assert.equal(store.handshakeRows.length, 5);
  assert.equal(store.handshakeRows[0], honest);
  held?.();
  await device.submit('slow');
  await field.time.until(() => device.count('telemetry') === 1);
  assert.ok(field.relay.counters.evictedHandshakes >= 30);
});

test('forged messages_3 do not end a handshake, until there were very many', async () => {
  for (const forgeries of [15, 16]) {
    const store = new MemorySessionStore();
    const field = new Field({ store });
    const device = field.addDevice(1);
    let honest: Uint8Array | undefined;
    field.air.intercept = ({ direction, frame }) => {
      if (honest !== undefined || direction !== 'up' || frame.length !== 21) return true;
      honest = frame;
      return false;
    };
    await device.switchOn();
    await field.time.until(() => honest !== undefined);
    for (let count = 0; count < forgeries; count++) {
      const forged = (honest ?? []).map((byte, index) =>
        index === 12 ? byte ^ (count + 1) : byte,
      );
      await forge(field, device, Uint8Array.from(forged));
      // A restart does not begin the count anew.
      if (count === 7) field.restartServer();
    }
    assert.equal(field.refusals('not-authentic'), Math.min(forgeries, 15));
    assert.equal(field.refusals('exhausted'), forgeries - 15);
    assert.equal(store.handshakeRows.length, forgeries === 15 ? 1 : 0);
    await device.submit('honest');
    await field.time.until(() => device.count('telemetry') === 1);
    const handshakes = device.events.filter(
      (event) => event.kind === 'sent' && event.what === 'message-1' && event.attempt === 0,
    );
    assert.equal(handshakes.length, forgeries === 15 ? 1 : 2);
  }
});

test('a kid stands for several devices: each of them gets its own session', async () => {
  const field = new Field();
  const devices: FieldDevice[] = [];
  for (let number = 1; devices.length < 3; number++) {
    const device = field.addDevice(number);
    if (devices.length > 0 && toHex(device.kid) !== toHex(devices[0]?.kid ?? device.kid)) {
      field.devices.delete(device.deviceId);
    } else devices.push(device);
  }
  for (const device of devices) {
    await device.switchOn();
    await device.submit(device.deviceId);
  }
  await field.time.until(() => devices.every((device) => device.count('telemetry') === 1));
  for (const { deviceId } of devices) assert.deepEqual(field.textsOf(deviceId), [deviceId]);
});

test('a gateway speaks for itself alone: frames of another gateway are another endpoint', async () => {
  const { field, device } = await running();
  const request = sent(field).findLast((frame) => frame[0] === 2);
  assert.ok(request !== undefined);
  await forge(field, device, request, 'anothergateway00');
  assert.equal(field.refusals('unknown-connection'), 1);
  assert.equal(field.refusals('replay'), 0);
});

test('an initiator with another suite first is told ours, under its own connection identifier', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  const profile = { method: 3, suites: [3], message4: false } as const;
  const { message1 } = startInitiator(field.crypto, profile, { connectionId: fromHex('2a') });
  await forge(field, device, writeFrame({ kind: 'edhoc-start', message1 }));
  const answer = field.envelopes.at(-1);
  assert.ok(answer !== undefined);
  const expected = writeFrame({
    kind: 'edhoc',
    connectionId: fromHex('2a'),
    message: fromHex('0202'),
  });
  assert.deepEqual(answer, writeEnvelope({ linkAddress: device.linkAddress, frame: expected }));
  assert.equal(field.refusals('wrong-suite'), 1);
});

test('what is malformed is counted, and answered by nothing', async () => {
  const { field, device } = await running();
  const before = field.envelopes.length;
  await field.relay.onGatewayFrame(gatewayId, fromHex('ff'));
  assert.equal(field.relay.counters.refused.envelope, 1);
  const frames = [
    '03aa',
    '01f4aa',
    '01f503',
    '0221',
    '02400100010f',
    '024002000190',
    '0121ff',
    '0260440001',
  ];
  for (const hex of frames) await forge(field, device, fromHex(hex));
  const counted = ['malformed', 'unsupported', 'not-a-request', 'unknown-connection'].map((code) =>
    field.refusals(code),
  );
  assert.equal(
    counted.reduce((sum, count) => sum + count, 0),
    frames.length,
  );
  assert.equal(field.envelopes.length, before);
});

test('replayed, altered, cut and misdirected frames change nothing', async () => {
  const field = new Field({ air: roughAir, seed: 11 });
  const device = field.addDevice(1);
  const other = field.addDevice(2);
  for (const each of [device, other]) {
    await each.switchOn();
    for (let count = 0; count < 8; count++) await each.submit(`${each.deviceId} ${count}`);
  }
  await field.time.until(() => [device, other].every((each) => each.count('telemetry') === 8));
  const frames = field.air.heard.map(({ frame }) => frame);
  const delivered = field.delivered.length;
  const change = fc.record({
    frame: fc.constantFrom(...frames),
    to: fc.constantFrom(device, other),
    gateway: fc.constantFrom(gatewayId, gatewayId, 'anothergateway00'),
    flip: fc.option(fc.nat(51 * 8 - 1)),
    cut: fc.option(fc.nat(50)),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ frame, to, gateway, flip, cut }) => {
      const bytes = frame.slice(0, cut ?? frame.length);
      const place = flip === null ? undefined : (flip >> 3) % Math.max(1, bytes.length);
      if (flip !== null && place !== undefined && place < bytes.length) {
        bytes[place] = (bytes[place] ?? 0) ^ (1 << (flip & 7));
      }
      if (bytes.length === 0) return;
      await forge(field, to, bytes, gateway);
      assert.equal(field.delivered.length, delivered);
    }),
    { numRuns: isNightly ? 200_000 : 4_000 },
  );
  for (const each of [device, other]) await each.submit('and on');
  await field.time.until(() => [device, other].every((each) => each.count('telemetry') === 9));
  assert.equal(device.count('session'), 1);
});

test('a repeated request gets the stored answer, byte for byte, after a restart too', async () => {
  const { field, device } = await running();
  const request = sent(field).findLast((frame) => frame[0] === 2);
  const answer = field.envelopes.at(-1);
  assert.ok(request !== undefined && answer !== undefined);
  await forge(field, device, request);
  assert.deepEqual(field.envelopes.at(-1), answer);
  field.restartServer();
  await forge(field, device, request);
  assert.deepEqual(field.envelopes.at(-1), answer);
  assert.equal(field.delivered.length, 1);
  // An older one is a replay and gets nothing.
  await device.submit('second');
  await field.time.until(() => device.count('telemetry') === 2);
  const count = field.envelopes.length;
  await forge(field, device, request);
  assert.equal(field.envelopes.length, count);
  assert.equal(field.refusals('replay'), 1);
});

test('telemetry that the application does not take is not answered, and not lost', async () => {
  const { field, device, store } = await running();
  field.accepting = false;
  await device.submit('second');
  await field.time.until(() => field.refusals('delivery-failed') >= 2);
  assert.equal(store.undeliveredRows.length, 1);
  assert.equal(device.count('telemetry'), 1);
  field.accepting = true;
  await field.time.until(() => device.count('telemetry') === 2);
  assert.deepEqual(field.textsOf(device.deviceId), ['first', 'second']);
  assert.equal(store.undeliveredRows.length, 0);
});

test('telemetry that was accepted before a crash is delivered after it', async () => {
  const { field, device, store } = await running();
  field.accepting = false;
  await device.submit('second');
  await field.time.until(() => field.refusals('delivery-failed') === 1);
  await device.cutPower();
  field.accepting = true;
  field.restartServer();
  await field.time.pass(1);
  assert.deepEqual(field.textsOf(device.deviceId), ['first', 'second']);
  assert.equal(store.undeliveredRows.length, 0);
});

test('revocation drops what was accepted and not delivered', async () => {
  const { field, device, store } = await running();
  field.accepting = false;
  await device.submit('second');
  await field.time.until(() => field.refusals('delivery-failed') === 1);
  device.revoked = true;
  await field.relay.kill(device.deviceId);
  field.accepting = true;
  field.restartServer();
  await device.cutPower();
  await field.time.pass(100_000);
  assert.deepEqual(field.textsOf(device.deviceId), ['first']);
  assert.equal(store.undeliveredRows.length, 0);
});

test('a disk that fails is one frame lost: nothing is answered that is not stored', async () => {
  for (const failing of ['addHandshake', 'promote', 'updateSession']) {
    const store = new MemorySessionStore();
    const field = new Field({ store });
    const device = field.addDevice(1);
    let failures = 2;
    store.beforeWrite = (what) => {
      if (what !== failing || failures === 0) return;
      failures -= 1;
      throw new EnvironmentError('disk full', { retryable: true });
    };
    await device.switchOn();
    await device.submit('stored');
    await field.time.until(() => device.count('telemetry') === 1);
    assert.equal(field.refusals('environment'), 2, failing);
    assert.deepEqual(field.textsOf(device.deviceId), ['stored']);
  }
});

test('two processes on one store never accept one number twice', async () => {
  const { field, device } = await running();
  const request = new Promise<Uint8Array>((resolve) => {
    field.air.intercept = ({ direction, frame }) => {
      if (direction === 'up') resolve(frame);
      return false;
    };
  });
  await device.submit('once');
  const frame = await request;
  const first = field.relay;
  field.restartServer();
  const second = field.relay;
  const envelope = writeEnvelope({ linkAddress: device.linkAddress, frame });
  await Promise.all([first, second].map((relay) => relay.onGatewayFrame(gatewayId, envelope)));
  assert.deepEqual(field.textsOf(device.deviceId), ['first', 'once']);
});

test('handshakes that take too long are given up', async () => {
  const store = new MemorySessionStore();
  const field = new Field({ store });
  await forge(field, field.addDevice(1), strangersMessage1(field));
  await field.time.pass(6 * 86_400_000);
  await field.relay.tidy();
  assert.equal(store.handshakeRows.length, 1);
  await field.time.pass(2 * 86_400_000);
  await field.relay.tidy();
  assert.equal(store.handshakeRows.length, 0);
});

test('an endpoint with as many sessions as it may have takes no other device', async () => {
  const field = new Field({ limits: { sessionsPerEndpoint: 2 } });
  const devices = [1, 2, 3].map((number) => field.addDevice(number));
  for (const device of devices) {
    // All of them claim the address of the first.
    device.linkAddress.set(devices[0]?.linkAddress ?? []);
    await device.switchOn();
    await device.submit('x');
    await field.time.until(() => device.count('telemetry') === 1 || device.count('resting') === 1);
    await device.cutPower();
  }
  assert.equal(field.delivered.length, 2);
  assert.ok(field.refusals('endpoint-full') > 0);
});

test('frames of one endpoint wait for one another, and only so many', async () => {
  const field = new Field({ limits: { waitingPerEndpoint: 3 } });
  const device = field.addDevice(1);
  const messages = [1, 2, 3, 4, 5].map(() => strangersMessage1(field));
  await Promise.all(messages.map((message) => forge(field, device, message)));
  assert.equal(field.refusals('busy'), 2);
  assert.equal(field.relay.counters.handshakes, 3);
});

test('a key that failed to verify too often is given up, and the sensor makes a new session', async () => {
  const { field, device } = await running({ air: calmAir });
  const request = sent(field).findLast((frame) => frame[0] === 2);
  assert.ok(request !== undefined);
  const { message } = readFrame(request) as { readonly message: Uint8Array };
  // Partial IV of three bytes, so that every forgery has a fresh number.
  const head = message.subarray(0, 4);
  const kid = message.subarray(7, 8);
  for (let number = 0; number < 2 ** 14; number++) {
    const option = concat(Uint8Array.of(0x95, 0x0b, 0x7f, number >> 8, number & 255), kid);
    const forged = concat(head, option, Uint8Array.of(0xff), new Uint8Array(12));
    await forge(field, device, writeFrame({ kind: 'coap', message: forged }));
    if (number === 5000) field.restartServer();
  }
  assert.equal(field.refusals('decryption-failed'), 2 ** 14);
  // Up to 64 failures were not stored when the server restarted.
  for (let number = 0; number < 64; number++) {
    const option = concat(Uint8Array.of(0x95, 0x0b, 0x7e, number >> 8, number & 255), kid);
    const forged = concat(head, option, Uint8Array.of(0xff), new Uint8Array(12));
    await forge(field, device, writeFrame({ kind: 'coap', message: forged }));
  }
  assert.equal(field.relay.counters.wornOutSessions, 1);
  await device.submit('in a new session');
  await field.time.until(() => device.count('telemetry') === 2);
  assert.equal(device.count('session'), 2);
});
