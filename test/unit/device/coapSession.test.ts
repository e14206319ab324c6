/** A device on IP that shows a certificate, and one that knows its server by a chain, over the real door. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { encodeAnchors } from '../../../src/wire/line/slotData.ts';
import { judgeServer } from '../../../src/device/identity/x509Server.ts';
import { CoapSession } from '../../../src/device/sessions/coapSession.ts';
import type { HandshakeOptions } from '../../../src/device/sessions/coapHandshake.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { PeerVerifier } from '../../../src/trust/peers/verifiedPeer.ts';
import type { CertificatePorts } from '../../../src/trust/sessions/certificateCredentials.ts';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { c509FromX509 } from '../../../src/wire/c509/convert.ts';
import { encodeCoseC509 } from '../../../src/wire/c509/coseHeaders.ts';
import { prepareNativeCertificate } from '../../../src/wire/c509/native.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import type { OwnCredential } from '../../../src/wire/edhoc/credential.ts';
import { parseMessage1 } from '../../../src/wire/edhoc/messages.ts';
import type { CredentialReference } from '../../../src/wire/edhoc/idCred.ts';
import { keyUsage } from '../../../src/wire/x509/extensions.ts';
import type { Extension } from '../../../src/wire/x509/model.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import {
  decodeServerGeneration,
  exampleGenerationOid,
  serverGeneration,
} from '../../../src/wire/x509/serverGeneration.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { coapWorld, type CoapWorld } from '../../support/coapWorld.ts';
import type { Field, FieldDevice } from '../../support/field.ts';
import { MemoryDeviceStore, PowerCut } from '../../support/memoryDeviceStore.ts';
import { SessionServerHouse } from '../../support/sessionServers.ts';
import { MemoryChainStore } from '../../support/memorySessionWitnesses.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { type TestIdentity, testNowMs, testPki } from '../../support/pki.ts';
import { importedDevice, sha256Of } from '../../support/registrySamples.ts';

const pki = testPki();
const store = new MemoryRegistryStore();
const chains = new MemoryChainStore();

function certificates(): CertificatePorts {
  const registry = { certificate: (hash: Uint8Array) => store.certificate(hash) };
  const clock = { nowMs: () => testNowMs };
  const ports = { registry, verifier: new SoftwareVerifier(), clock, sha256: sha256Of };
  const anchors = [
    { certificate: pki.operational.certificate, kinds: ['ldevid'] as const },
    { certificate: pki.factory.certificate, kinds: ['idevid'] as const },
  ];
  const peers = new PeerVerifier({ ...ports, decompress: decompressPoint }, () => ({
    anchors,
    intermediates: [],
  }));
  return {
    decompress: decompressPoint,
    chains,
    verify: (chain) => peers.verifyPeer(chain),
    noteUse: async () => undefined,
  };
}

/** The server's key for EDHOC in a certificate of the server authority. */
function serverCertificate(
  field: Field,
  generation: number,
  floor: number,
  extensions: readonly Extension[] = [keyUsage('keyAgreement')],
  authority = pki.server,
): TestIdentity {
  const stated = serverGeneration({ generation, floor }, exampleGenerationOid);
  const fields = {
    subject: encodeName(['commonName', 'sessions']),
    extensions: [...extensions, stated],
  };
  return authority.issue(fields, { spki: p256Spki(field.serverKey.publicKey) });
}

/** As the server shows it: C509 by value, re-encoded or natively signed. */
function shownAs(field: Field, { certificate }: TestIdentity, native = false): OwnCredential {
  const unsigned = prepareNativeCertificate(certificate);
  const encoded = native
    ? unsigned.finish(pki.server.key.sign(unsigned.toBeSigned))
    : c509FromX509(certificate.der, decompressPoint);
  const publicKey = nodeCrypto.importPublicKey('P-256', field.serverKey.publicKey);
  assert.ok(publicKey);
  const idCred = cbor.map([cbor.integer(25), encodeCoseC509([encoded])]);
  return { idCred, cred: encoded, publicKey };
}

function serve(world: CoapWorld, identity: OwnCredential): void {
  world.field.identity = identity;
  world.field.restartServer();
}

async function telemetry(
  world: CoapWorld,
  device: FieldDevice,
  options: Partial<HandshakeOptions>,
): Promise<number[] | undefined> {
  const { session, handshakes } = await world.session(device, options);
  await session.telemetry(utf8('x'));
  return handshakes[0];
}

/** Each handshake anew: what is stored is the floor alone. */
async function forget(device: FieldDevice): Promise<void> {
  const names = ['coap-session', 'coap-resumption'].map((name) => [name, undefined] as const);
  await device.flash.commit(new Map(names));
}

async function worldWithDevice(
  context: TestContext,
): Promise<{ world: CoapWorld; device: FieldDevice }> {
  const world = await coapWorld(context, {
    certificates: certificates(),
    door: { longestMessage2Bytes: 400 },
  });
  const device = world.field.addDevice(1);
  device.element.data.set('anchors', encodeAnchors([pki.server.certificate.der]));
  return { world, device };
}

test('a device shows its LDevID: whole, and then by its hash', async (context) => {
  const { world, device } = await worldWithDevice(context);
  const { deviceId, element } = device;
  const spki = p256Spki(element.keys.sign.publicKey);
  await store.importDevices([importedDevice(1, { deviceId, signKeySpki: spki })], 1);
  const { certificate, sha256 } = pki.ldevid(deviceId, { spki });
  await store.enrolDevice({ sha256, kind: 'ldevid', holder: deviceId, notAfterMs: undefined }, 1);
  const options = { showAs: 'ldevid', byThumbprint: true } as const;
  for (const stored of [certificate.der, c509FromX509(certificate.der, decompressPoint)]) {
    element.certificates.set('ldevid', [stored]);
    // The server has never seen it: it says so (RFC 9528 §6.4), and gets it by value.
    const whole = await telemetry(world, device, options);
    await forget(device);
    // The server forgets nothing in a restart.
    world.field.restartServer();
    const hashed = await telemetry(world, device, options);
    await forget(device);
    const byValue = await telemetry(world, device, { showAs: 'ldevid' });
    await forget(device);
    assert.deepEqual(whole, byValue);
    assert.ok(
      (hashed?.[2] ?? 0) < 140 && (whole?.[2] ?? 0) > 200,
      `${String(hashed)} ${String(whole)}`,
    );
  }
  assert.equal(world.field.textsOf(deviceId).length, 6);
  assert.deepEqual(world.defects, []);
  // A certificate that is in the element and in no registry opens nothing.
  element.certificates.set('idevid', pki.idevid(deviceId, { spki }).chain);
  await assert.rejects(telemetry(world, device, { showAs: 'idevid' }), /refused the handshake/);
  await assert.rejects(
    telemetry(world, world.field.addDevice(2), { showAs: 'ldevid' }),
    /has no ldevid/,
  );
});

test('a server shown by a C509 chain; the floor is raised by a finished handshake alone', async (context) => {
  const { world, device } = await worldWithDevice(context);
  const { field } = world;
  const trust = { trust: 'chain' } as const;
  const at = (generation: number, floor: number, native = false): void =>
    serve(world, shownAs(field, serverCertificate(field, generation, floor), native));
  at(3, 2);
  const sizes = await telemetry(world, device, trust);
  assert.ok((sizes?.[1] ?? 0) > 180 && (sizes?.[1] ?? 0) < 400, String(sizes));
  // Below the floor that was seen.
  await forget(device);
  at(1, 1);
  await assert.rejects(telemetry(world, device, trust), /an old credential/);
  // At the floor; a lower floor lowers nothing.
  at(2, 1, true);
  await telemetry(world, device, trust);
  await forget(device);
  at(1, 1);
  await assert.rejects(telemetry(world, device, trust), /an old credential/);
  // A server that cannot finish the handshake raises nothing.
  at(9, 9);
  device.revoked = true;
  await assert.rejects(telemetry(world, device, trust), /refused/);
  device.revoked = false;
  at(2, 2);
  await telemetry(world, device, trust);
  // Restarted, the device still knows.
  await forget(device);
  at(5, 5);
  await telemetry(world, device, trust);
  await forget(device);
  at(4, 4);
  await assert.rejects(telemetry(world, device, trust), /an old credential/);
});

test('whoever has a session has its floor, wherever power is cut', async (context) => {
  let sessions = 0;
  for (let cutAt = 1; cutAt <= 6; cutAt++) {
    const { world, device } = await worldWithDevice(context);
    serve(world, shownAs(world.field, serverCertificate(world.field, 5, 5)));
    device.flash.onCommit = (when, count) => {
      if (when === 'after' && count === cutAt) throw new PowerCut();
    };
    await telemetry(world, device, { trust: 'chain' }).catch((error: unknown) => {
      assert.ok(error instanceof PowerCut);
    });
    device.flash.onCommit = () => undefined;
    if (!device.flash.values.has('coap-session')) continue;
    sessions += 1;
    await forget(device);
    serve(world, shownAs(world.field, serverCertificate(world.field, 4, 4)));
    await assert.rejects(telemetry(world, device, { trust: 'chain' }), /an old credential/);
  }
  assert.ok(sessions > 1);
});

test('who is no session server is refused before anything of the device is told', async (context) => {
  const { world, device } = await worldWithDevice(context);
  const { field } = world;
  const rejects = async (identity: OwnCredential, reason: RegExp): Promise<void> => {
    serve(world, identity);
    await assert.rejects(telemetry(world, device, { trust: 'chain' }), reason);
  };
  const usage = [keyUsage('digitalSignature')];
  await rejects(shownAs(field, serverCertificate(field, 1, 1, usage)), /wrong-key-usage/);
  await rejects(shownAs(field, serverCertificate(field, 1, 1, [])), /wrong-key-usage/);
  const strange = { oid: '1.3.6.1.4.1.32473.9', critical: true, value: Uint8Array.of(5, 0) };
  const more = [keyUsage('keyAgreement'), strange];
  await rejects(shownAs(field, serverCertificate(field, 1, 1, more)), /unknown-critical-extension/);
  const factory = serverCertificate(field, 1, 1, [keyUsage('keyAgreement')], pki.factory);
  await rejects(shownAs(field, factory), /no-chain/);
  const agreeing = [keyUsage('keyAgreement')];
  const spki = p256Spki(field.serverKey.publicKey);
  // Of the right authority, for something else.
  const application = pki.application('dashboard', { spki, extensions: agreeing });
  await rejects(shownAs(field, application), /no-session-server/);
  // Pinned is pinned.
  serve(world, shownAs(field, serverCertificate(field, 1, 1)));
  await assert.rejects(telemetry(world, device, {}), /another server/);
  const before = field.observations.filter(({ kind }) => kind === 'session-began').length;
  assert.equal(before, 0);
});

test('what is no certificate is no server', () => {
  const rules = {
    crypto: nodeCrypto,
    decompress: decompressPoint,
    anchors: [pki.server.certificate.der],
    generationOid: exampleGenerationOid,
    keyUse: 'keyAgreement',
  } as const;
  const { der } = pki.server.certificate;
  const references: CredentialReference[] = [
    { kind: 'kid', kid: Uint8Array.of(1) },
    { kind: 'c5c', certificates: [Uint8Array.of(0x8b, 2)] },
    { kind: 'c5c', certificates: [der] },
    { kind: 'x5chain', certificates: [c509FromX509(der, decompressPoint)] },
    { kind: 'x5chain', certificates: [] },
  ];
  for (const reference of references) {
    assert.deepEqual(judgeServer(reference, rules), { fault: 'malformed' });
  }
  const root = { kind: 'x5chain', certificates: [pki.root.certificate.der] } as const;
  assert.deepEqual(judgeServer(root, rules), { fault: 'no-chain' });
  assert.throws(() => decodeServerGeneration(Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 2)), /floor/);
  assert.throws(
    () => serverGeneration({ generation: 1, floor: 2 }, exampleGenerationOid),
    TypeError,
  );
});

test('all four methods, with a chain that is asked for and a word that is demanded', async (context) => {
  const house = new SessionServerHouse(context, pki);
  const chains = await house.chains();
  const { world, device } = await worldWithDevice(context);
  const { field } = world;
  field.chains = chains;
  field.restartServer();
  const { deviceId, element } = device;
  const spki = p256Spki(element.keys.sign.publicKey);
  const { certificate, sha256 } = pki.ldevid(deviceId, { spki });
  await store.importDevices([importedDevice(3, { deviceId, signKeySpki: spki })], 1);
  await store.enrolDevice({ sha256, kind: 'ldevid', holder: deviceId, notAfterMs: undefined }, 1);
  element.certificates.set('ldevid', [certificate.der]);
  const { link, messages } = await listening(world);
  for (const fresh of [false, true]) {
    for (const [showAs, server, method] of [
      ['ldevid', 'signs', 0],
      ['ldevid', 'agrees', 1],
      ['kid', 'signs', 2],
      ['kid', 'agrees', 3],
    ] as const) {
      await forget(device);
      const { session } = await world.session(device, {
        showAs,
        server,
        fresh,
        trust: 'chain',
        link,
      });
      await session.telemetry(utf8(`${method}`));
      assert.equal(parseMessage1(messages.at(-1) ?? new Uint8Array(0)).method, method);
    }
  }
  assert.deepEqual(field.textsOf(deviceId), ['0', '1', '2', '3', '0', '1', '2', '3']);
  assert.deepEqual(world.defects, []);
  // Each key for what it is certified for, and nothing else.
  const [agreeing, signing] = [chains.agreeing(), chains.signing()];
  assert.ok(agreeing && signing);
  field.chains = {
    ...chains,
    agreeing: () => ({ ...agreeing, certificate: signing.certificate }),
    signing: () => ({ ...signing, certificate: agreeing.certificate }),
  };
  field.restartServer();
  for (const server of ['agrees', 'signs'] as const) {
    await forget(device);
    await assert.rejects(telemetry(world, device, { trust: 'chain', server }), /wrong-key-usage/);
  }
  await assert.rejects(telemetry(world, device, { fresh: true }), TypeError);
});

test('a server is shown as X.509 to a device that asks for it, whole each time', async (context) => {
  const house = new SessionServerHouse(context, pki);
  const { world, device } = await worldWithDevice(context);
  world.field.chains = await house.chains();
  world.field.restartServer();
  const chain = { trust: 'chain' } as const;
  for (const server of ['agrees', 'signs'] as const) {
    const c509 = await telemetry(world, device, { ...chain, server });
    const x509 = { ...chain, server, serverForm: 'x509' } as const;
    await forget(device);
    const first = await telemetry(world, device, x509);
    assert.ok((first?.[1] ?? 0) > (c509?.[1] ?? 0) + 100, `${String(c509)} ${String(first)}`);
    await forget(device);
    assert.deepEqual(await telemetry(world, device, x509), first);
    await forget(device);
    // With a word of the authority about it.
    const fresh = await telemetry(world, device, { ...x509, fresh: true });
    assert.ok((fresh?.[1] ?? 0) > (first?.[1] ?? 0));
    await forget(device);
  }
  assert.deepEqual(world.defects, []);
  await house.revoke(world.field.chains.agreeing()?.x509 ?? empty);
  const revoked = { ...chain, serverForm: 'x509', fresh: true } as const;
  await assert.rejects(telemetry(world, device, revoked), /refused the handshake/);
  await telemetry(world, device, { ...chain, fresh: true });
});

test('an element that only signs has sessions too, and a server without chains refuses its methods', async (context) => {
  const house = new SessionServerHouse(context, pki);
  const { world, device } = await worldWithDevice(context);
  const { deviceId, element } = device;
  const spki = p256Spki(element.keys.sign.publicKey);
  const { certificate, sha256 } = pki.ldevid(deviceId, { spki });
  await store.importDevices([importedDevice(4, { deviceId, signKeySpki: spki })], 1);
  await store.enrolDevice({ sha256, kind: 'ldevid', holder: deviceId, notAfterMs: undefined }, 1);
  element.certificates.set('ldevid', [certificate.der]);
  const signing = {
    ...element,
    publicKey: (slot: 'sign' | 'agree') =>
      slot === 'agree' ? Promise.resolve(undefined) : element.publicKey(slot),
    agree: () => Promise.reject(new Error('this element only signs')),
  };
  const ports = {
    element: signing,
    link: await world.client(),
    store: new MemoryDeviceStore(),
    timer: world.field.time,
    crypto: nodeCrypto,
    decompress: decompressPoint,
  };
  const options = { showAs: 'ldevid', trust: 'chain', server: 'signs' } as const;
  const session = await CoapSession.open(ports, () => undefined, options);
  await assert.rejects(session.telemetry(utf8('too early')), /refused the handshake/);
  world.field.chains = await house.chains();
  world.field.restartServer();
  await session.telemetry(utf8('by signatures'));
  assert.deepEqual(world.field.textsOf(deviceId), ['by signatures']);
  await assert.rejects(
    CoapSession.open({ ...ports, element: signing }, () => undefined, { trust: 'chain' }),
    /no agree key/,
  );
});

/** A client, and every message_1 that goes out through it. */
async function listening(world: CoapWorld) {
  const messages: Uint8Array[] = [];
  const link = await world.client();
  const request = link.request.bind(link);
  link.request = (content) => {
    if (content.payload[0] === 0xf5) messages.push(content.payload.subarray(1));
    return request(content);
  };
  return { link, messages };
}

test('a certificate that needs another beside it is asked for as a whole every time', async (context) => {
  const { world, device } = await worldWithDevice(context);
  const { field } = world;
  const between = pki.server.issueAuthority('Between');
  const usage = [keyUsage('keyAgreement')];
  const { certificate } = serverCertificate(field, 1, 1, usage, between);
  const chain = [certificate, between.certificate].map(({ der }) =>
    c509FromX509(der, decompressPoint),
  );
  const [cred = new Uint8Array(0)] = chain;
  const publicKey = nodeCrypto.importPublicKey('P-256', field.serverKey.publicKey);
  assert.ok(publicKey);
  serve(world, { idCred: cbor.map([cbor.integer(25), encodeCoseC509(chain)]), cred, publicKey });
  const first = await telemetry(world, device, { trust: 'chain' });
  await forget(device);
  assert.deepEqual(await telemetry(world, device, { trust: 'chain' }), first);
});
