/** Evidence in a handshake, from a device's element to a server that decides by it, over the real door. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { elementAttester } from '../../../src/device/identity/elementAttester.ts';
import type { Attester } from '../../../src/device/ports/attester.ts';
import type { HandshakeOptions } from '../../../src/device/sessions/coapHandshake.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import type { PresentedEvidence } from '../../../src/trust/ports/attestation.ts';
import { EvidenceVerifier } from '../../../src/trust/sessions/evidenceVerifier.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import type { Measurement } from '../../../src/wire/edhoc/attestation.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { coapWorld, type CoapWorld } from '../../support/coapWorld.ts';
import type { FieldDevice } from '../../support/field.ts';
import { MemoryDeviceStore } from '../../support/memoryDeviceStore.ts';

const contentFormats = [258];
const firmware = (name: string): Measurement => ({ contentFormat: 60, content: cbor.text(name) });

interface Scene {
  readonly coap: CoapWorld;
  readonly device: FieldDevice;
  readonly attester: Attester;
  readonly presented: PresentedEvidence[];
  /** Of whom it is demanded, by the name of what is good. */
  readonly demand: { name: string | undefined };
  running: string;
}

async function scene(context: TestContext, policy: 'none' | 'wanted' | 'demanded'): Promise<Scene> {
  const presented: PresentedEvidence[] = [];
  const devices = new Map<string, FieldDevice>();
  const verifier = new EvidenceVerifier({
    crypto: nodeCrypto,
    contentFormats,
    signKeyOf: async (deviceId) => {
      const device = devices.get(deviceId);
      return device && p256Spki(device.element.keys.sign.publicKey);
    },
    isGood: async (_, measurements) =>
      measurements.every(({ content }) => Buffer.from(content).equals(cbor.text('good'))),
  });
  const watched = {
    contentFormats,
    nonce: () => verifier.nonce(),
    appraise: (one: PresentedEvidence) => {
      presented.push(one);
      return verifier.appraise(one);
    },
  };
  const demand: { name: string | undefined } = {
    name: policy === 'demanded' ? 'first' : undefined,
  };
  const demandOf = async (): Promise<string | undefined> => demand.name;
  const options = policy === 'none' ? {} : { attestation: { verifier: watched, demandOf } };
  const coap = await coapWorld(context, options);
  const device = coap.field.addDevice(1);
  devices.set(device.deviceId, device);
  const all: Scene = {
    coap,
    device,
    demand,
    presented,
    running: 'good',
    attester: elementAttester({
      element: device.element,
      crypto: nodeCrypto,
      contentFormats,
      measure: async () => [firmware(all.running)],
    }),
  };
  return all;
}

/** The bytes of a handshake that led to a session; `undefined` where there was none. */
async function handshake(
  { coap, device }: Scene,
  attester?: Attester,
  more: Partial<HandshakeOptions> = {},
): Promise<readonly number[] | undefined> {
  const fresh = { element: device.element, flash: new MemoryDeviceStore() };
  const options = { ...more, ...(attester === undefined ? {} : { attester }) };
  const { session, handshakes } = await coap.session(fresh, options);
  try {
    await session.telemetry(utf8('x'));
  } catch (error) {
    assert.ok(error instanceof DeviceFault, String(error));
    return undefined;
  }
  return handshakes[0];
}

function refusals({ coap }: Scene): readonly string[] {
  return coap.field.observations.flatMap((one) =>
    one.kind === 'not-attested' ? [one.reason] : [],
  );
}

test('good evidence opens a session, where it is wanted and where it is demanded', async (context) => {
  for (const policy of ['wanted', 'demanded'] as const) {
    const all = await scene(context, policy);
    const sizes = await handshake(all, all.attester);
    assert.ok((sizes?.[2] ?? 0) > 120, String(sizes));
    assert.equal(all.presented.length, 1);
    assert.deepEqual(refusals(all), []);
  }
});

test('no policy: an offer is not taken up, and no evidence leaves the device', async (context) => {
  const all = await scene(context, 'none');
  let asked = 0;
  const counting: Attester = {
    contentFormats,
    evidence: (...request) => {
      asked += 1;
      return all.attester.evidence(...request);
    },
  };
  const sizes = await handshake(all, counting);
  assert.equal(sizes?.[2], 121, 'as long as without an offer');
  assert.equal(asked, 0);
});

test('a device that offers nothing: let pass where it is wanted, refused where it is demanded', async (context) => {
  const wanted = await scene(context, 'wanted');
  assert.ok(await handshake(wanted));
  const demanded = await scene(context, 'demanded');
  assert.equal(await handshake(demanded), undefined);
  const other: Attester = { ...demanded.attester, contentFormats: [61] };
  assert.equal(await handshake(demanded, other), undefined);
  assert.equal(demanded.presented.length, 0);
  const codes = demanded.coap.field.observations.flatMap((one) =>
    one.kind === 'refused' ? [one.code] : [],
  );
  assert.deepEqual([...new Set(codes)], ['not-attested']);
});

test('a bad state, a wrong nonce, another handshake and old evidence are each refused', async (context) => {
  for (const policy of ['wanted', 'demanded'] as const) {
    const all = await scene(context, policy);
    const { attester } = all;
    const refused = async (evidence: Attester['evidence'], reason: string): Promise<void> => {
      const before = refusals(all).length;
      assert.equal(await handshake(all, { contentFormats, evidence }), undefined);
      // A device that is refused tries again: each time for the same reason.
      const reasons = refusals(all).slice(before);
      assert.ok(reasons.length > 0);
      assert.deepEqual([...new Set(reasons)], [reason]);
    };
    all.running = 'something else';
    await refused((...given) => attester.evidence(...given), 'not-acceptable');
    all.running = 'good';
    const otherNonce = { contentFormat: 258, nonce: new Uint8Array(8) };
    await refused((_, binder) => attester.evidence(otherNonce, binder), 'wrong-nonce');
    const otherBinder = new Uint8Array(32);
    await refused((request) => attester.evidence(request, otherBinder), 'not-authentic');
    assert.ok(await handshake(all, attester));
    const old = all.presented.at(-1)?.evidence;
    assert.ok(old);
    await refused(async () => old, 'wrong-nonce');
    await refused(async () => Uint8Array.of(0xd2, 0x80), 'malformed');
    // A true question, answered by somebody else's element.
    const stranger = all.coap.field.addDevice(2);
    const theirs = elementAttester({
      element: stranger.element,
      crypto: nodeCrypto,
      contentFormats,
      measure: async () => [firmware('good')],
    });
    await refused((...given) => theirs.evidence(...given), 'not-authentic');
    assert.equal(all.coap.field.observations.filter(isSession).length, 1);
  }
});

function isSession({ kind }: { readonly kind: string }): boolean {
  return kind === 'session-began';
}

test('evidence that was asked for and does not come ends the handshake', async (context) => {
  const all = await scene(context, 'wanted');
  // What the device processes of EAD_2 it does not answer: an attester that was taken away.
  const silent: Attester = {
    contentFormats,
    evidence: () => Promise.reject(new DeviceFault('no attester', { retryable: true })),
  };
  assert.equal(await handshake(all, silent), undefined);
  assert.equal(all.presented.length, 0);
});

test('a restart between question and answer forgets nothing', async (context) => {
  const all = await scene(context, 'demanded');
  const { coap, attester } = all;
  const restarting: Attester = {
    contentFormats,
    evidence: (...given) => {
      coap.field.restartServer();
      return attester.evidence(...given);
    },
  };
  assert.ok(await handshake(all, restarting));
  assert.equal(all.presented.length, 1);
});

test('the reverse flow does not go around it', async (context) => {
  for (const policy of ['wanted', 'demanded'] as const) {
    const all = await scene(context, policy);
    const sizes = await handshake(all, all.attester, { flow: 'reverse' });
    assert.equal(sizes === undefined, policy === 'demanded');
    assert.equal(refusals(all).includes('missing'), policy === 'demanded');
  }
});

test('a resumption rests on evidence that counts now, or the device is asked again', async (context) => {
  for (const policy of ['wanted', 'demanded'] as const) {
    const all = await scene(context, policy);
    const { coap, device, demand } = all;
    const flash = new MemoryDeviceStore();
    const often = { renewEvery: 1, updatesPerHandshake: 0, resumptionsPerHandshake: 9 };
    const options = { attester: all.attester, ...often };
    const { session } = await coap.session({ element: device.element, flash }, options);
    const began = async (name: string | undefined): Promise<readonly boolean[]> => {
      demand.name = name;
      const before = resumed(all).length;
      await session.telemetry(utf8('x'));
      return resumed(all).slice(before);
    };
    const { name } = demand;
    assert.deepEqual(await began(name), [false]);
    assert.deepEqual(await began(name), [true]);
    coap.field.restartServer();
    assert.deepEqual(await began(name), [true]);
    assert.equal(all.presented.length, 1);
    // Demanded only since, or another measurement is good now.
    assert.deepEqual(await began('second'), [false]);
    assert.equal(all.presented.length, 2);
    assert.deepEqual(await began('second'), [true]);
    // The device runs what was withdrawn.
    all.running = 'something else';
    demand.name = 'third';
    const sessions = resumed(all).length;
    await assert.rejects(session.telemetry(utf8('no')), DeviceFault);
    assert.equal(resumed(all).length, sessions);
    assert.ok(refusals(all).includes('not-acceptable'));
    assert.deepEqual(coap.defects, []);
  }
});

test('a session ends where evidence that it does not rest on is demanded', async (context) => {
  for (const policy of ['wanted', 'demanded'] as const) {
    const all = await scene(context, policy);
    const { coap, device, demand } = all;
    const world = { element: device.element, flash: new MemoryDeviceStore() };
    // With an update of its keys at every other message.
    const options = { attester: all.attester, renewEvery: 2, updatesPerHandshake: 99 };
    const { session } = await coap.session(world, options);
    const sent = async (): Promise<readonly boolean[]> => {
      const before = resumed(all).length;
      await session.telemetry(utf8('x'));
      return resumed(all).slice(before);
    };
    const ended = (): readonly string[] =>
      coap.field.observations.flatMap((one) => (one.kind === 'session-ended' ? [one.reason] : []));
    assert.deepEqual(await sent(), [false]);
    coap.field.restartServer();
    assert.deepEqual(await sent(), []);
    // In a running server within a minute, in one that was started with another policy at once.
    demand.name = 'second';
    await coap.field.time.pass(61_000);
    assert.deepEqual(await sent(), [false]);
    assert.equal(all.presented.length, 2);
    demand.name = 'third';
    coap.field.restartServer();
    assert.deepEqual(await sent(), [false]);
    assert.equal(all.presented.length, 3);
    assert.deepEqual(ended(), ['not-attested', 'not-attested']);
    // What a session rests on survives updates of its keys, and a time in which nothing was demanded.
    for (const name of ['third', undefined, 'third']) {
      demand.name = name;
      coap.field.restartServer();
      for (let count = 0; count < 3; count++) assert.deepEqual(await sent(), []);
    }
    assert.ok(coap.field.observations.some(({ kind }) => kind === 'keys-updated'));
    all.running = 'something else';
    demand.name = 'fourth';
    await coap.field.time.pass(61_000);
    const before = coap.field.textsOf(device.deviceId).length;
    await assert.rejects(session.telemetry(utf8('no')), DeviceFault);
    assert.equal(coap.field.textsOf(device.deviceId).length, before);
    assert.deepEqual(coap.defects, []);
  }
});

function resumed({ coap }: Scene): readonly boolean[] {
  return coap.field.observations.flatMap((one) =>
    one.kind === 'session-began' ? [one.resumed] : [],
  );
}
