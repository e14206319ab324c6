/** Sessions when two processes write one store, and when a store is put back to an earlier state. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { openSessionLife, type SessionLife } from '../../src/drivers/store/sqlite/sessionLife.ts';
import { SqliteSessionStore } from '../../src/drivers/store/sqlite/sessionStore.ts';
import { LeaseLost } from '../../src/trust/ports/sessionStore.ts';
import type { Relay } from '../../src/trust/relay/relay.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { writeEnvelope } from '../../src/wire/relay/envelope.ts';
import { Field, type FieldDevice, gatewayId } from '../support/field.ts';
import { seededRandom } from '../../sim/radio/random.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'birthmark-lives-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

interface House {
  readonly database: SqliteDatabase;
  readonly life: SessionLife;
  readonly store: SqliteSessionStore;
  close(): void;
}

/** As the provisioner does it. */
async function openHouse(name: string): Promise<House> {
  const path = join(folder, `${name}.sqlite`);
  const database = new SqliteDatabase({ path, migrations: provisionerMigrations });
  const life = await openSessionLife(database, join(folder, `${name}.life`));
  const close = (): void => {
    database.close();
    life.close();
  };
  return { database, life, store: new SqliteSessionStore(database, life), close };
}

function backUp(name: string, to: string): void {
  copyFileSync(join(folder, `${name}.sqlite`), join(folder, to));
}

function putBack(name: string, from: string): void {
  for (const suffix of ['', '-wal', '-shm']) {
    rmSync(join(folder, `${name}.sqlite${suffix}`), { force: true });
  }
  copyFileSync(join(folder, from), join(folder, `${name}.sqlite`));
}

async function deliver(field: Field, device: FieldDevice, text: string): Promise<void> {
  const done = device.count('telemetry') + 1;
  await device.submit(text);
  await field.time.until(() => device.count('telemetry') >= done);
}

/** What went up, to be sent again by somebody who recorded it. */
function recorded(field: Field): Uint8Array[] {
  return field.air.heard.filter(({ direction }) => direction === 'up').map(({ frame }) => frame);
}

async function replay(
  field: Field,
  device: FieldDevice,
  frames: readonly Uint8Array[],
): Promise<void> {
  for (const frame of frames) {
    const envelope = writeEnvelope({ linkAddress: device.linkAddress, frame });
    await field.relay.onGatewayFrame(gatewayId, envelope);
  }
}

/** One nonce, one message: responses to one request or with one Partial IV are the same bytes. */
function assertOneAnswerEach(field: Field): void {
  const answers = new Map<string, string>();
  for (const { direction, frame } of field.air.heard) {
    if (direction !== 'down' || frame[0] !== 2) continue;
    const option = toHex(frame.subarray(5, 6 + ((frame[5] ?? 0) & 15)));
    // Without a Partial IV the nonce is that of the request, which the message ID names.
    const name = option === '90' ? `request ${toHex(frame.subarray(3, 5))}` : `own ${option}`;
    const body = toHex(frame.subarray(6));
    assert.equal(answers.get(name) ?? body, body, name);
    answers.set(name, body);
  }
}

test('after a restore: the device proves that it is there, replays do not, and numbers go on elsewhere', async () => {
  let house = await openHouse('restore');
  const field = new Field({ store: house.store });
  const device = field.addDevice(1);
  await device.switchOn();
  await deliver(field, device, 'one');
  house.close();
  backUp('restore', 'restore.backup');
  house = await openHouse('restore');
  assert.equal(house.store.incarnation, 0);
  field.replaceStore(house.store);
  await deliver(field, device, 'two');
  await deliver(field, device, 'three');
  const sniffed = recorded(field);
  for (const incarnation of [1, 2]) {
    house.close();
    putBack('restore', 'restore.backup');
    house = await openHouse('restore');
    assert.equal(house.store.incarnation, incarnation);
    field.replaceStore(house.store);
    await replay(field, device, sniffed);
    assert.deepEqual(field.textsOf(device.deviceId).slice(0, 3), ['one', 'two', 'three']);
    await deliver(field, device, `after ${incarnation}`);
    await replay(field, device, sniffed);
  }
  assert.deepEqual(field.textsOf(device.deviceId), ['one', 'two', 'three', 'after 1', 'after 2']);
  assert.equal(device.count('session'), 1);
  assertOneAnswerEach(field);
  const challenges = field.observations.filter(({ kind }) => kind === 'challenged');
  assert.ok(challenges.length >= 2);
  assert.equal(field.relay.counters.cloneEvidence, 0);
  house.close();
});

test('a restore brings no handshake back: message_3 makes its session once', async () => {
  let house = await openHouse('handshake');
  const field = new Field({ store: house.store });
  const device = field.addDevice(1);
  field.air.intercept = ({ direction, frame }) => direction === 'down' || frame.length !== 21;
  await device.switchOn();
  await field.time.until(() =>
    device.events.some((event) => event.kind === 'sent' && event.what === 'message-3'),
  );
  house.close();
  backUp('handshake', 'handshake.backup');
  house = await openHouse('handshake');
  field.replaceStore(house.store);
  field.air.intercept = () => true;
  await deliver(field, device, 'one');
  await deliver(field, device, 'two');
  const sniffed = recorded(field);
  house.close();
  putBack('handshake', 'handshake.backup');
  house = await openHouse('handshake');
  field.replaceStore(house.store);
  await replay(
    field,
    device,
    sniffed.filter((frame) => frame[1] !== 0xf5),
  );
  assert.deepEqual(field.textsOf(device.deviceId), ['one', 'two']);
  // The session that the device has was made after the backup: another one takes its place.
  await deliver(field, device, 'three');
  assert.equal(device.count('session'), 2);
  house.close();
});

test('a mark that is missing, or a copy: nothing says which numbers were used, and sessions end', async () => {
  for (const what of ['missing', 'copy'] as const) {
    let house = await openHouse(what);
    const field = new Field({ store: house.store });
    const device = field.addDevice(1);
    await device.switchOn();
    await deliver(field, device, 'one');
    house.close();
    const mark = join(folder, `${what}.life`);
    copyFileSync(mark, `${mark}.copy`);
    rmSync(mark);
    if (what === 'copy') renameSync(`${mark}.copy`, mark);
    house = await openHouse(what);
    field.replaceStore(house.store);
    assert.equal(await house.store.countSessions(), 0, what);
    await deliver(field, device, 'two');
    assert.equal(device.count('session'), 2);
    house.close();
  }
});

test('a crash does not look like a restore', async () => {
  let house = await openHouse('crash');
  const field = new Field({ store: house.store });
  const device = field.addDevice(1);
  await device.switchOn();
  for (let round = 0; round < 3; round++) {
    await deliver(field, device, `round ${round}`);
    house.close();
    house = await openHouse('crash');
    assert.equal(house.store.incarnation, 0);
    field.replaceStore(house.store);
  }
  house.close();
});

test('a store writes under the latest lease only', async () => {
  const house = await openHouse('lease');
  const [first, second] = [house.store, new SqliteSessionStore(house.database, house.life)];
  const ask = { nowMs: 1_000, untilMs: 2_000, takeOver: false };
  const handshake = {
    id: 'a',
    ingress: 'gateway',
    linkAddress: Uint8Array.of(1),
    connectionId: Uint8Array.of(1),
    beganMs: 1,
    version: 1,
    keys: Uint8Array.of(1),
    state: Uint8Array.of(1),
  };
  const limits = { perEndpoint: 3, perIngress: 3 };
  assert.deepEqual(await first.lease({ ...ask, holder: 'first' }), { token: 1 });
  assert.deepEqual(await second.lease({ ...ask, holder: 'second' }), { heldUntilMs: 2_000 });
  await assert.rejects(second.addHandshake(handshake, limits), LeaseLost);
  assert.deepEqual(await first.lease({ ...ask, holder: 'first', untilMs: 3_000 }), { token: 1 });
  const late = { ...ask, holder: 'second', nowMs: 3_000, untilMs: 4_000 };
  assert.deepEqual(await second.lease(late), { token: 2 });
  await assert.rejects(first.addHandshake(handshake, limits), LeaseLost);
  await assert.rejects(first.updateHandshake('a', 1, Uint8Array.of(2)), LeaseLost);
  await assert.rejects(first.updateSession('a', 1, { state: Uint8Array.of(2) }), LeaseLost);
  assert.deepEqual(await second.addHandshake(handshake, limits), { evicted: 0 });
  const now = { ...ask, holder: 'third', takeOver: true };
  assert.deepEqual(await first.lease(now), { token: 3 });
  house.close();
});

test('two processes on one store: every number is accepted once, whoever has the lease', async () => {
  const house = await openHouse('two');
  const field = new Field({ store: house.store, limits: { leaseMs: 20_000 } });
  const other = new SqliteSessionStore(house.database, house.life);
  const relays: Relay[] = [field.relay, field.relayOn(other, { takeOver: false })];
  const random = seededRandom(5);
  // Frames go to either process, or to both; now and then one of them is away for a while.
  field.route = async (envelope) => {
    const [chance = 0] = random.bytes(1);
    const chosen = chance < 85 ? [0, 1] : [chance % 2];
    const asked = relays.filter((_, index) => chosen.includes(index));
    await Promise.all(asked.map((relay) => relay.onGatewayFrame(gatewayId, envelope)));
  };
  const devices = [1, 2].map((number) => field.addDevice(number, { renewEvery: 7, lookAhead: 4 }));
  for (const device of devices) await device.switchOn();
  for (let round = 0; round < 8; round++) {
    for (const device of devices) await device.submit(`${device.deviceId} ${round}`);
    await field.time.pass(round % 3 === 2 ? 30_000 : 500);
  }
  await field.time.until(() => devices.every((device) => device.count('telemetry') >= 8), 20_000);
  const accepted = field.delivered.map(({ meta }) => `${meta.sessionId}/${meta.sequenceNumber}`);
  assert.ok(field.refusals('not-owner') > 0);
  // A key update begins the numbers of a session again; texts tell those apart.
  const texts = field.delivered.map(({ text }, index) => `${accepted[index] ?? ''} ${text}`);
  assert.equal(new Set(texts).size, texts.length);
  assertOneAnswerEach(field);
  house.close();
});
