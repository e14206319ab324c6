/** A new key for the operational certificate: beside the old one, tried, swapped, and cut short anywhere. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { rekeyInSession, type RekeyPorts } from '../../../src/device/enrolment/rekey.ts';
import { enrolInSession } from '../../../src/device/enrolment/sessionEnrolment.ts';
import { signingKeyOf } from '../../../src/device/identity/signingKeys.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import { generateP256, signP256 } from '../../../src/drivers/elements/software/p256.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { PeerVerifier } from '../../../src/trust/peers/verifiedPeer.ts';
import type { EnrolmentPolicy } from '../../../src/trust/enrolment/enrolment.ts';
import type { CertificatePorts } from '../../../src/trust/sessions/certificateCredentials.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { parseEitherCertificate } from '../../../src/wire/c509/either.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { coapWorld, type CoapWorld } from '../../support/coapWorld.ts';
import type { FieldDevice } from '../../support/field.ts';
import { MemoryDeviceStore } from '../../support/memoryDeviceStore.ts';
import { MemoryChainStore } from '../../support/memorySessionWitnesses.ts';
import { testNowMs } from '../../support/pki.ts';
import { sha256Of } from '../../support/registrySamples.ts';
import { SessionEnrolmentWorld } from '../../support/sessionEnrolment.ts';

function certificates({ pki, store }: SessionEnrolmentWorld): CertificatePorts {
  const peers = new PeerVerifier(
    {
      registry: { certificate: (hash) => store.certificate(hash) },
      verifier: new SoftwareVerifier(),
      clock: { nowMs: () => testNowMs },
      sha256: sha256Of,
      decompress: decompressPoint,
    },
    () => ({
      anchors: [{ certificate: pki.operational.certificate, kinds: ['ldevid'] }],
      intermediates: [],
    }),
  );
  return {
    decompress: decompressPoint,
    chains: new MemoryChainStore(),
    verify: (chain) => peers.verifyPeer(chain),
    noteUse: async () => undefined,
  };
}

interface Scene {
  readonly world: SessionEnrolmentWorld;
  readonly coap: CoapWorld;
  readonly device: FieldDevice;
  readonly ports: RekeyPorts;
  /** One message: the trial's session took the place of this one, and what is named has to be the present. */
  readonly speak: () => Promise<void>;
}

/** A device with its first LDevID and a session. */
async function scene(
  context: TestContext,
  popLinking: EnrolmentPolicy['popLinking'] = 'when-present',
): Promise<Scene> {
  const world = new SessionEnrolmentWorld();
  const coap = await coapWorld(context, {
    certificates: certificates(world),
    serve: world.resource,
  });
  const device = coap.field.addDevice(1);
  await world.add(device, 1);
  world.popLinking = popLinking;
  const { session } = await coap.session(device);
  await session.telemetry(utf8('first'));
  const ports: RekeyPorts = {
    exporter: () => session.exporter,
    element: device.element,
    crypto: nodeCrypto,
    clock: { nowMs: () => testNowMs },
    decompress: decompressPoint,
    exchange: (request) => session.exchange(request),
    tryNext: async () => {
      const another = { element: device.element, flash: new MemoryDeviceStore() };
      const trial = await coap.session(another, { showAs: 'ldevid-next' });
      return trial.session.telemetry(utf8('trial')).then(
        () => true,
        (error: unknown) => {
          if (error instanceof DeviceFault) return false;
          throw error;
        },
      );
    },
  };
  assert.equal((await enrolInSession(ports, { blockBytes: 64 })).kind, 'enrolled');
  return { world, coap, device, ports, speak: () => session.telemetry(utf8('on')) };
}

/** The certificate of a slot is for the key that signs for it. */
async function fits(device: FieldDevice, slot: 'ldevid' | 'ldevid-next'): Promise<boolean> {
  const [encoded] = (await device.element.readCertificate(slot)) ?? [];
  if (encoded === undefined) return false;
  const { certificate } = parseEitherCertificate(encoded, decompressPoint);
  const { point } = await signingKeyOf(device.element, slot);
  return Buffer.from(certificate.publicKey.spki).equals(p256Spki(point));
}

async function operationalPoint({ element }: FieldDevice): Promise<Uint8Array | undefined> {
  return element.operational?.publicKey('present');
}

for (const form of ['native', 'c509', 'x509'] as const) {
  test(`a new key is tried before it takes the place of the old one, ${form}`, async (context) => {
    // Each request names the session that it comes by.
    const { device, ports, coap, speak } = await scene(context, 'required');
    assert.equal(await operationalPoint(device), undefined);
    assert.deepEqual(await rekeyInSession(ports, { blockBytes: 64, form }), { kind: 'rekeyed' });
    const first = await operationalPoint(device);
    assert.ok(first && !Buffer.from(first).equals(device.element.keys.sign.publicKey));
    assert.ok(await fits(device, 'ldevid'));
    assert.equal(await device.element.readCertificate('ldevid-next'), undefined);
    // Again, from a key that is no key of birth any more; and a renewal that keeps it.
    await speak();
    assert.deepEqual(await rekeyInSession(ports, { blockBytes: 64, form }), { kind: 'rekeyed' });
    const second = await operationalPoint(device);
    assert.ok(second && !Buffer.from(second).equals(first));
    await speak();
    assert.equal((await enrolInSession(ports, { blockBytes: 64 }, 'always')).kind, 'enrolled');
    assert.ok(await fits(device, 'ldevid'));
    assert.deepEqual(await operationalPoint(device), second);
    // It opens sessions with what is in force now.
    await device.flash.commit(new Map([['coap-session', undefined]]));
    const { session } = await coap.session(device, { showAs: 'ldevid' });
    await session.telemetry(utf8('after'));
  });
}

test('what the server does not take is thrown away, and the old one stays', async (context) => {
  const { device, ports } = await scene(context);
  const before = await device.element.readCertificate('ldevid');
  const outcome = await rekeyInSession(
    { ...ports, tryNext: async () => false },
    { blockBytes: 64 },
  );
  assert.deepEqual(outcome, { kind: 'not-taken' });
  assert.deepEqual(await device.element.readCertificate('ldevid'), before);
  assert.equal(await device.element.operational?.publicKey('next'), undefined);
  assert.equal(await device.element.readCertificate('ldevid-next'), undefined);
});

test('a key that the key of birth does not vouch for gets nothing', async (context) => {
  const { world, device, ports } = await scene(context);
  const stranger = generateP256();
  const element = {
    ...device.element,
    sign: async (_: 'sign', data: Uint8Array) => signP256(stranger.privateKey, data),
  };
  const outcome = await rekeyInSession({ ...ports, element }, { blockBytes: 64 });
  assert.equal(outcome.kind, 'refused');
  assert.deepEqual(world.refusals, ['wrong-identity']);
  assert.equal(world.requests.length, 1);
});

test('an element that makes no keys says so', async (context) => {
  const { device, ports } = await scene(context);
  const { operational: _, ...element } = device.element;
  await assert.rejects(rekeyInSession({ ...ports, element }, { blockBytes: 64 }), DeviceFault);
});

test('power may fail between any two steps', async (context) => {
  const steps = await cutAfter(context, Number.POSITIVE_INFINITY);
  assert.ok(steps >= 6, String(steps));
  for (let cut = 0; cut < steps; cut += 1) await cutAfter(context, cut);
});

/** Cuts the power after that many steps, looks, and switches on again. Returns the steps of a whole run. */
async function cutAfter(context: TestContext, cut: number): Promise<number> {
  const { device, ports } = await scene(context);
  const { element } = device;
  const { operational } = element;
  assert.ok(operational);
  let steps = 0;
  const step = async <Result>(act: () => Promise<Result>): Promise<Result> => {
    if (steps >= cut) throw new DeviceFault('power', { retryable: true });
    steps += 1;
    return act();
  };
  const failing: RekeyPorts = {
    ...ports,
    exchange: (request) => step(() => ports.exchange(request)),
    tryNext: () => step(ports.tryNext),
    element: {
      ...element,
      sign: (slot, data) => step(() => element.sign(slot, data)),
      write: (contents) => step(() => element.write(contents)),
      operational: {
        ...operational,
        generateNext: () => step(() => operational.generateNext()),
        sign: (which, data) => step(() => operational.sign(which, data)),
        promote: () => step(() => operational.promote()),
      },
    },
  };
  const run = rekeyInSession(failing, { blockBytes: 1024 });
  if (cut === Number.POSITIVE_INFINITY) assert.deepEqual(await run, { kind: 'rekeyed' });
  else await assert.rejects(run, /power/);
  // Whatever was cut short, there is a key with its certificate.
  assert.ok(await fits(device, 'ldevid'), `after ${cut} steps`);
  if (cut !== Number.POSITIVE_INFINITY) {
    assert.equal(await operationalPoint(device), undefined);
    assert.deepEqual(await rekeyInSession(ports, { blockBytes: 1024 }), { kind: 'rekeyed' });
    assert.ok(await operationalPoint(device));
    assert.ok(await fits(device, 'ldevid'));
  }
  return steps;
}
