/** Sensors behind a radio with frames of 51 bytes that know their server by the anchor in their element. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { ServerMemory } from '../../../src/device/identity/serverMemory.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { bareAnchor } from '../../../src/wire/c509/bareAnchor.ts';
import { encodeAnchors } from '../../../src/wire/line/slotData.ts';
import { readEnvelope } from '../../../src/wire/relay/envelope.ts';
import type { ServerChains } from '../../../src/trust/sessions/ownCredentials.ts';
import { dayMs } from '../../support/issuing/certificateParts.ts';
import { Field, type FieldDevice, roughAir } from '../../support/field.ts';
import { MemoryDeviceStore, PowerCut } from '../../support/memoryDeviceStore.ts';
import { testPki } from '../../support/pki.ts';
import { SessionServerHouse } from '../../support/sessionServers.ts';

const pki = testPki();
const anchor = bareAnchor(pki.server.certificate) ?? new Uint8Array(0);

async function world(context: TestContext, trust: FieldDevice['trust'], rough?: number) {
  const house = new SessionServerHouse(context, pki);
  const chains = await house.chains();
  const field = new Field(
    rough === undefined ? { chains } : { chains, seed: rough, air: roughAir },
  );
  const device = field.addDevice(1);
  device.trust = trust;
  device.element.data.set('anchors', encodeAnchors([pki.server.certificate.der, anchor]));
  return { house, chains, field, device };
}

/** As after years in a drawer: sessions are gone, what is known of servers stays. Bytes of the messages. */
async function handshake(
  field: Field,
  device: FieldDevice,
): Promise<readonly number[] | undefined> {
  await device.cutPower();
  const before = device.count('session');
  for (const name of ['session', 'standby', 'resumption']) device.flash.values.delete(name);
  await device.switchOn();
  await device.submit('x');
  await field.time.pass(60_000);
  const made = device.events.filter((event) => event.kind === 'session');
  return made[before]?.handshakeBytes;
}

function reasons(device: FieldDevice): string[] {
  return device.events.flatMap((event) => (event.kind === 'ignored' ? [event.reason] : []));
}

test('the certificate once, its hash afterwards, in frames that fit', async (context) => {
  const { field, chains, device } = await world(context, 'chain');
  const [first1, first2, first3] = (await handshake(field, device)) ?? [];
  const [again1, again2, again3] = (await handshake(field, device)) ?? [];
  const certificate = chains.agreeing()?.certificate.length ?? 0;
  // 37, and a label of three bytes; G_Y, the certificate and its header, MAC.
  assert.deepEqual([first1, first3], [40, 19]);
  assert.equal(first2, certificate + 51);
  assert.deepEqual([again1, again2, again3], [45, 57, 19]);
  assert.ok(field.envelopes.every((one) => readEnvelope(one).frame.length <= 51));
  // Another certificate is shown as a whole again.
  await chains.renew();
  const [, other] = (await handshake(field, device)) ?? [];
  assert.ok((other ?? 0) > 200, String(other));
  assert.equal(field.textsOf(device.deviceId).length, 3);
});

test('who does not ask gets the credential that was pinned', async (context) => {
  const { field, device } = await world(context, 'pinned');
  assert.deepEqual(await handshake(field, device), [37, 45, 19]);
});

test('a server without a chain, or of another authority, is told nothing', async (context) => {
  const { field, device } = await world(context, 'chain');
  const foreign = new SessionServerHouse(context, testPki());
  for (const chains of [undefined, await foreign.chains()] as const) {
    field.chains = chains;
    field.restartServer();
    assert.equal(await handshake(field, device), undefined);
    assert.equal(device.count('session'), 0);
  }
  assert.deepEqual(
    [...new Set(reasons(device))],
    ['the server: no certificate', 'the server: no-chain'],
  );
});

test('an old credential is refused once a newer floor was seen, and survives restarts', async (context) => {
  const { house, field, chains, device } = await world(context, 'chain');
  const old = fixed(chains);
  assert.ok(await handshake(field, device));
  await house.servers.raiseFloor(2);
  await chains.renew();
  // Not before a handshake with the newer one: there is nothing that the device could know it by.
  show(field, old);
  assert.ok(await handshake(field, device));
  show(field, chains);
  assert.ok(await handshake(field, device));
  show(field, old);
  assert.equal(await handshake(field, device), undefined);
  assert.ok(reasons(device).includes('the server: an old credential'));
});

test('a handshake that is not finished raises nothing', async (context) => {
  const { house, field, chains, device } = await world(context, 'chain');
  const old = fixed(chains);
  await house.servers.raiseFloor(2);
  await chains.renew();
  device.revoked = true;
  assert.equal(await handshake(field, device), undefined);
  device.revoked = false;
  show(field, old);
  assert.ok(await handshake(field, device));
});

test('fresh status: a stolen current key is of no use once its credential is revoked', async (context) => {
  const { house, field, chains, device } = await world(context, 'fresh');
  const known = (await handshake(field, device)) ?? [];
  // EAD_1 grows by the critical label; EAD_2 by the word.
  assert.equal(known[0], 43);
  const certificate = chains.agreeing()?.certificate ?? new Uint8Array(0);
  assert.equal((known[1] ?? 0) - certificate.length - 51, 77);
  const thief: ServerChains = { ...fixed(chains) };
  await house.revoke(certificate);
  show(field, thief);
  assert.equal(await handshake(field, device), undefined);
  // The server is silent; a thief who has kept an old word does not get further.
  const kept = await house.chains();
  const stale = await house.servers.vouch(
    kept.agreeing()?.certificate ?? certificate,
    new Uint8Array(32),
  );
  show(field, { ...fixed(kept), vouch: () => Promise.resolve(stale) });
  assert.equal(await handshake(field, device), undefined);
  assert.ok(reasons(device).includes('the server: fresh status'));
  // While the authority is away nobody is vouched for.
  const away = new EnvironmentError('away', { retryable: true });
  show(field, { ...fixed(kept), vouch: () => Promise.reject(away) });
  assert.equal(await handshake(field, device), undefined);
  assert.ok(field.refusals('environment') > 0);
  // A device that does not demand it goes on with the stolen key.
  device.trust = 'chain';
  show(field, thief);
  assert.ok(await handshake(field, device));
  device.trust = 'fresh';
  await chains.renew();
  show(field, chains);
  assert.ok(await handshake(field, device));
});

test('a word brings the present floor, and a time below which certificates have ended', async (context) => {
  const { house, field, chains, device } = await world(context, 'fresh');
  const first = fixed(chains);
  await chains.renew();
  const second = fixed(chains);
  await house.servers.raiseFloor(3);
  show(field, second);
  assert.ok(await handshake(field, device));
  device.trust = 'chain';
  show(field, first);
  assert.equal(await handshake(field, device), undefined);
  assert.ok(reasons(device).includes('the server: an old credential'));
  // Years later: nothing raises the floor, and the second credential ends by its date.
  show(field, second);
  assert.ok(await handshake(field, device));
  house.nowMs += 91 * dayMs;
  await chains.renew();
  show(field, chains);
  device.trust = 'fresh';
  assert.ok(await handshake(field, device));
  device.trust = 'chain';
  show(field, second);
  assert.equal(await handshake(field, device), undefined);
  assert.ok(reasons(device).includes('the server: a credential that has ended'));
});

test('in rough air, with the power cut at any write, it comes to the same end', async (context) => {
  for (let cut = 1; cut <= 8; cut += 1) {
    const { house, field, chains, device } = await world(context, 'fresh', cut);
    const old = fixed(chains);
    await house.servers.raiseFloor(2);
    await chains.renew();
    // The first write begins the sealed store.
    const commits = 1;
    device.flash.onCommit = (_moment, commit) => {
      if (commit === commits + cut) throw new PowerCut();
    };
    await device.switchOn();
    await device.submit('first');
    await field.time.pass(300_000);
    await device.cutPower();
    device.flash.onCommit = () => undefined;
    await device.switchOn();
    await device.submit('second');
    await field.time.pass(1_200_000);
    assert.ok(device.count('session') > 0, `cut at write ${cut}`);
    device.trust = 'chain';
    show(field, old);
    const before = device.count('session');
    await handshake(field, device);
    assert.equal(device.count('session'), before, `cut at write ${cut}: the floor is lost`);
  }
});

test('floor and time of an anchor go up only, with a finished handshake, each anchor by itself', async () => {
  const flash = new MemoryDeviceStore();
  const memory = new ServerMemory(flash);
  const certificate = Uint8Array.of(1);
  const news = (floor: number, timeS: number, of = 'aabb') =>
    memory.prepare({ anchor: of, floor, timeS, certificate });
  await memory.finish();
  await news(7, 100);
  assert.deepEqual(await memory.limits('aabb'), { floor: 0, timeS: 0 });
  assert.equal(await memory.seen(), undefined);
  await memory.finish();
  await memory.finish();
  assert.deepEqual(await new ServerMemory(flash).limits('aabb'), { floor: 7, timeS: 100 });
  assert.deepEqual(await memory.seen(), certificate);
  await news(3, 200);
  await memory.finish();
  assert.deepEqual(await memory.limits('aabb'), { floor: 7, timeS: 200 });
  await news(0xffff_ffff, 1, 'ccdd');
  await memory.finish();
  await memory.prepare({ anchor: 'ccdd', floor: 1, timeS: 1, certificate: new Uint8Array(0) });
  await memory.finish();
  assert.equal(await memory.seen(), undefined);
  assert.deepEqual(await memory.limits('aabb'), { floor: 7, timeS: 200 });
  assert.deepEqual(await memory.limits('ccdd'), { floor: 0xffff_ffff, timeS: 1 });
});

/** The credentials of now, whatever is renewed later. */
function fixed(chains: ServerChains): ServerChains {
  const agreeing = chains.agreeing();
  const signing = chains.signing();
  return {
    agreeing: () => agreeing,
    signing: () => signing,
    vouch: (certificate, hash) => chains.vouch(certificate, hash),
  };
}

function show(field: Field, chains: ServerChains): void {
  field.chains = chains;
  field.restartServer();
}
