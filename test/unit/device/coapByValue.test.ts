/** A device on IP that shows its agree key whole: one of many, an unknown one, and one that is not its own. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { kidOfAgreeKey } from '../../../src/wire/edhoc/agreeCredential.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { Registry } from '../../../src/trust/registry/registry.ts';
import type { HandshakeOptions } from '../../../src/device/sessions/coapHandshake.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { coapWorld, type CoapWorld } from '../../support/coapWorld.ts';
import { FieldDevice } from '../../support/field.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { importedDevice } from '../../support/registrySamples.ts';

const forward = { flow: 'forward' } as const;
const reverse = { flow: 'reverse' } as const;

interface Crowd {
  readonly world: CoapWorld;
  readonly store: MemoryRegistryStore;
  /** Of a thousand with one kid the last. */
  readonly last: FieldDevice;
}

async function crowd(context: TestContext): Promise<Crowd> {
  const world = await coapWorld(context);
  const { field } = world;
  const last = new FieldDevice(field, 1, {});
  const { kid } = last;
  const others = Array.from({ length: 999 }, (_, n) => {
    const deviceId = `before${String(n).padStart(10, '0')}`;
    return importedDevice(n, { deviceId, kid });
  });
  const store = new MemoryRegistryStore();
  await store.importDevices([...others, recordOf(last)], 1);
  field.registry = new Registry(store, { nowMs: () => 1 });
  field.restartServer();
  return { world, store, last };
}

function recordOf({ deviceId, kid, element }: FieldDevice): ReturnType<typeof importedDevice> {
  return importedDevice(1000, { deviceId, kid, agreeKey: element.keys.agree.publicKey });
}

async function send(
  { world }: Pick<Crowd, 'world'>,
  device: Pick<FieldDevice, 'element' | 'flash'>,
  options: Partial<HandshakeOptions>,
): Promise<readonly number[] | undefined> {
  const { session, handshakes } = await world.session(device, options);
  await session.telemetry(utf8('x'));
  return handshakes[0];
}

/** What the server noted about the last message that it refused. */
function lastRefusal({ world }: Pick<Crowd, 'world'>): string | undefined {
  const codes = world.field.observations.flatMap((one) => (one.kind === 'refused' ? one.code : []));
  return codes.at(-1);
}

async function refused(
  it: Crowd,
  device: Pick<FieldDevice, 'element' | 'flash'>,
  options: Partial<HandshakeOptions>,
): Promise<string | undefined> {
  await assert.rejects(send(it, device, options), /refused the handshake/);
  assert.equal(await it.world.field.store.countSessions(), 0);
  return lastRefusal(it);
}

test('of a thousand devices with one kid the last is found by its key, and not by the kid', async (context) => {
  for (const { flow, sizes } of [
    { ...forward, sizes: [37, 48, 121] },
    { ...reverse, sizes: [40, 146, 19] },
  ]) {
    const it = await crowd(context);
    await refused(it, it.last, { flow, showAs: 'kid' });
    assert.deepEqual(await send(it, it.last, { flow }), sizes);
    assert.deepEqual(it.world.field.textsOf(it.last.deviceId), ['x']);
    assert.equal((await it.store.device(it.last.deviceId))?.state, 'enrolled');
    assert.deepEqual(it.world.defects, []);
  }
});

test('a kid does where there are few devices, in a hundred bytes less', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  assert.deepEqual(await send({ world }, device, { showAs: 'kid' }), [37, 48, 19]);
});

test('an unknown key is answered as an unknown kid is', async (context) => {
  const it = await crowd(context);
  let stranger = new FieldDevice(it.world.field, 2, {});
  while (equal(stranger.kid, it.last.kid)) stranger = new FieldDevice(it.world.field, 2, {});
  for (const { flow } of [forward, reverse]) {
    assert.equal(await refused(it, stranger, { flow }), 'unknown-credential');
    const byValue = it.world.refusals.at(-1);
    assert.equal(await refused(it, stranger, { flow, showAs: 'kid' }), 'unknown-credential');
    assert.equal(it.world.refusals.at(-1), byValue);
  }
});

test('a key of a device that may have no sessions is unknown', async (context) => {
  for (const { flow } of [forward, reverse]) {
    const it = await crowd(context);
    const { deviceId } = it.last;
    await it.store.setHold([deviceId], true, 'lent', 2);
    assert.equal(await refused(it, it.last, { flow }), 'unknown-credential');
    await it.store.setHold([deviceId], false, 'back', 3);
    await it.store.revokeDevices([deviceId], 'lost', 4);
    assert.equal(await refused(it, it.last, { flow }), 'unknown-credential');
    const expected = new FieldDevice(it.world.field, 3, {});
    await it.store.importDevices(
      [{ ...importedDevice(2000, recordOf(expected).identity), state: 'expected' }],
      5,
    );
    assert.equal(await refused(it, expected, { flow }), 'unknown-credential');
  }
});

test("another device's key, shown by one that does not hold it", async (context) => {
  const it = await crowd(context);
  const thief = new FieldDevice(it.world.field, 1, {});
  assert.equal(thief.deviceId, it.last.deviceId);
  const { publicKey } = it.last.element.keys.agree;
  const element = { ...thief.element, publicKey: async () => publicKey };
  for (const { flow } of [forward, reverse]) {
    assert.equal(await refused(it, { element, flash: thief.flash }, { flow }), 'not-authentic');
  }
});

test("a device that gives its key another's name is nobody", async (context) => {
  const it = await crowd(context);
  const { element, flash } = it.last;
  element.data.set('device-id', utf8('before0000000001'));
  assert.deepEqual(kidOfAgreeKey(nodeCrypto, element.keys.agree.publicKey), it.last.kid);
  for (const { flow } of [forward, reverse]) {
    assert.equal(await refused(it, { element, flash }, { flow }), 'unknown-credential');
  }
});
