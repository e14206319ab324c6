import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeEnvelope } from '../../../src/wire/relay/envelope.ts';
import type { CloneEvidence } from '../../../src/trust/sessions/ports.ts';
import { Field, type FieldDevice, gatewayId } from '../../support/field.ts';

/** The device's flash as it was, in another device: what somebody has who copied it. */
async function clone(device: FieldDevice, flash: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await device.cutPower();
  device.flash.values.clear();
  for (const [name, value] of flash) device.flash.values.set(name, value);
  await device.switchOn();
}

function evidence(field: Field): readonly CloneEvidence[] {
  return field.observations.filter((one): one is CloneEvidence => one.kind === 'clone-evidence');
}

async function deliver(field: Field, device: FieldDevice, text: string): Promise<void> {
  const done = device.count('telemetry') + 1;
  await device.submit(text);
  await field.time.until(() => device.count('telemetry') >= done);
}

function recorded(field: Field): Uint8Array[] {
  return field.air.heard.filter(({ direction }) => direction === 'up').map(({ frame }) => frame);
}

async function send(field: Field, device: FieldDevice, frame: Uint8Array): Promise<void> {
  const envelope = writeEnvelope({ linkAddress: device.linkAddress, frame });
  await field.relay.onGatewayFrame(gatewayId, envelope);
}

test('two that count from the same state: a number is used for two messages', async () => {
  const field = new Field();
  const device = field.addDevice(1, { lookAhead: 4 });
  await device.switchOn();
  await deliver(field, device, 'first');
  const flash = new Map(device.flash.values);
  await device.cutPower();
  await device.switchOn();
  await deliver(field, device, 'true');
  await clone(device, flash);
  await device.submit('false');
  await field.time.until(() => evidence(field).length > 0);
  const [{ deviceId, reason, sequenceNumber } = {}] = evidence(field);
  assert.deepEqual(
    { deviceId, reason, sequenceNumber },
    { deviceId: device.deviceId, reason: 'number-used-twice', sequenceNumber: 4 },
  );
  assert.ok(!field.textsOf(device.deviceId).includes('false'));
  assert.equal(field.relay.counters.cloneEvidence, 1);
  // A row that outlives the server, and is not told of again when the same message comes after a restart.
  const [row, ...more] = await field.clones.evidenceOf(device.deviceId);
  assert.equal(more.length, 0);
  assert.deepEqual(
    { reason: row?.reason, number: row?.sequenceNumber, linkAddress: row?.linkAddress },
    { reason: 'number-used-twice', number: 4, linkAddress: device.linkAddress },
  );
  field.restartServer();
  for (const frame of recorded(field)) await send(field, device, frame);
  assert.equal(field.relay.counters.cloneEvidence, 0);
});

for (const [name, options] of [
  ['a resumption', { updatesPerHandshake: 0 }],
  ['an update of keys', { updatesPerHandshake: 9 }],
] as const) {
  test(`the keys from before ${name}: whoever uses them is not the device`, async () => {
    const field = new Field();
    const device = field.addDevice(1, { renewEvery: 6, lookAhead: 4, ...options });
    await device.switchOn();
    await deliver(field, device, 'first');
    const flash = new Map(device.flash.values);
    for (let count = 0; count < 8; count++) await deliver(field, device, `true ${count}`);
    await clone(device, flash);
    await device.submit('false');
    await field.time.until(() => evidence(field).length > 0);
    assert.equal(evidence(field)[0]?.reason, 'superseded-keys');
    assert.ok(!field.textsOf(device.deviceId).includes('false'));
    // Told once, however often it comes.
    const frame = recorded(field).at(-1);
    assert.ok(frame !== undefined);
    for (let count = 0; count < 3; count++) await send(field, device, frame);
    assert.equal(evidence(field).length, 1);
    assert.ok(field.refusals('clone') >= 3);
  });
}

test('replays are no evidence, also of messages before an update or a resumption', async () => {
  const field = new Field();
  const device = field.addDevice(1, { renewEvery: 3, updatesPerHandshake: 1, lookAhead: 1 });
  await device.switchOn();
  for (let count = 0; count < 12; count++) await deliver(field, device, `reading ${count}`);
  for (const frame of recorded(field)) await send(field, device, frame);
  assert.deepEqual(evidence(field), []);
  assert.equal(field.delivered.length, 12);
  assert.ok(field.refusals('replay') > 0);
});

test('a message that is carried under another message ID is a replay', async () => {
  const field = new Field();
  const device = field.addDevice(1);
  await device.switchOn();
  await deliver(field, device, 'first');
  const frame = recorded(field).at(-1)?.slice();
  assert.ok(frame !== undefined);
  frame[3] = (frame[3] ?? 0) ^ 1;
  await send(field, device, frame);
  assert.deepEqual(evidence(field), []);
  assert.equal(field.refusals('replay'), 1);
});

test('superseded keys are forgotten after a while', async () => {
  const field = new Field({ limits: { supersededLifetimeMs: 1_000 } });
  const device = field.addDevice(1, { renewEvery: 2, updatesPerHandshake: 0, lookAhead: 1 });
  await device.switchOn();
  for (let count = 0; count < 5; count++) await deliver(field, device, `reading ${count}`);
  const endpoint = { ingress: gatewayId, linkAddress: device.linkAddress };
  const superseded = async (): Promise<number> => {
    const ids = await field.store.connectionIds(endpoint);
    const rows = await Promise.all(ids.map((id) => field.store.superseded(endpoint, id)));
    return rows.flat().length;
  };
  assert.ok((await superseded()) > 0);
  await field.time.pass(2_000);
  await field.relay.tidy();
  assert.equal(await superseded(), 0);
});
