/** Devices that authenticate in EDHOC by certificate: what opens a session, and what does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { PeerVerifier } from '../../../src/trust/peers/verifiedPeer.ts';
import type { KeyUse } from '../../../src/trust/peers/pathRules.ts';
import type { FetchedResource } from '../../../src/trust/ports/credentialFetch.ts';
import { refuse } from '../../../src/trust/ports/faults.ts';
import { FetchedChains } from '../../../src/trust/sessions/fetchedChains.ts';
import type { CertificatePorts } from '../../../src/trust/sessions/certificateCredentials.ts';
import type { CertificateKind } from '../../../src/trust/ports/registryStore.ts';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { c509FromX509 } from '../../../src/wire/c509/convert.ts';
import { encodeC5t, encodeCoseC509 } from '../../../src/wire/c509/coseHeaders.ts';
import { prepareNativeCertificate } from '../../../src/wire/c509/native.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { readServerIdentity } from '../../../src/wire/edhoc/agreeCredential.ts';
import { startInitiator } from '../../../src/wire/edhoc/initiator.ts';
import { isEdhocRefusal } from '../../../src/wire/edhoc/refusal.ts';
import { readFrame, writeFrame } from '../../../src/wire/relay/frame.ts';
import { keyUsage } from '../../../src/wire/x509/extensions.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { Field, type FieldDevice } from '../../support/field.ts';
import { MemoryChainStore } from '../../support/memorySessionWitnesses.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { ldevidFields, testKey, type TestIdentity, testNowMs, testPki } from '../../support/pki.ts';
import { importedDevice, sha256Of } from '../../support/registrySamples.ts';

const roaming = { ingress: 'coap', linkAddress: empty };
const pki = testPki();
const verifier = new SoftwareVerifier();

interface Shown {
  /** Header map of ID_CRED_I. */
  readonly idCred: Uint8Array;
  readonly cred: Uint8Array;
}

const label = { x5chain: 33, x5t: 34, c5t: 22, c5c: 25 };

function shown(name: keyof typeof label, value: Uint8Array, cred: Uint8Array): Shown {
  return { idCred: cbor.map([cbor.integer(label[name]), value]), cred };
}

const byX5chain = ({ certificate }: TestIdentity): Shown =>
  shown('x5chain', cbor.bytes(certificate.der), cbor.bytes(certificate.der));
const reencoded = ({ certificate }: TestIdentity): Uint8Array =>
  c509FromX509(certificate.der, decompressPoint);
const byC5c = (encoding: Uint8Array): Shown => shown('c5c', encodeCoseC509([encoding]), encoding);
const sha256 = {
  algorithm: -16,
  hash: (data: Uint8Array) => nodeCrypto.hash('SHA-256', data),
} as const;
const byC5t = (encoding: Uint8Array, algorithm: -16 | -15 = -15): Shown =>
  shown('c5t', encodeC5t(encoding, { ...sha256, algorithm }), encoding);
const byX5t = ({ certificate: { der } }: TestIdentity): Shown =>
  shown('x5t', cbor.array(cbor.integer(-16), cbor.bytes(sha256.hash(der))), cbor.bytes(der));

/** The same values, natively signed. */
function native(identity: TestIdentity): Uint8Array {
  const unsigned = prepareNativeCertificate(identity.certificate);
  return unsigned.finish(pki.operational.key.sign(unsigned.toBeSigned));
}

class World {
  readonly store = new MemoryRegistryStore();
  readonly used: string[] = [];
  readonly field: Field;
  readonly device: FieldDevice;
  nowMs = testNowMs;
  /** What is at every place that a device may point at. */
  served: FetchedResource | undefined;

  constructor() {
    this.field = new Field({ certificates: this.#ports() });
    this.device = this.field.addDevice(1);
  }

  #ports(): CertificatePorts {
    const clock = { nowMs: () => this.nowMs };
    const { store } = this;
    const registry = { certificate: (hash: Uint8Array) => store.certificate(hash) };
    const kinds: readonly CertificateKind[] = ['ldevid'];
    const rules = (keyUse: KeyUse) => () => ({
      anchors: [
        { certificate: pki.operational.certificate, kinds },
        { certificate: pki.factory.certificate, kinds: ['idevid'] as const },
        { certificate: pki.server.certificate, kinds: ['application'] as const },
      ],
      intermediates: [],
      keyUse,
    });
    const ports = { registry, verifier, clock, sha256: sha256Of, decompress: decompressPoint };
    const signing = new PeerVerifier(ports, rules('signature'));
    const agreeing = new PeerVerifier(ports, rules('agreement'));
    return {
      decompress: decompressPoint,
      chains: new MemoryChainStore(),
      located: new FetchedChains(
        { fetch: async () => this.served ?? refuse('not-found', 'nothing here') },
        ['https://pki.example.com/'],
      ),
      verify: (chain, use) => (use === 'signature' ? signing : agreeing).verifyPeer(chain),
      noteUse: async ({ holder }) => void this.used.push(holder),
    };
  }

  get sessions(): number {
    return this.field.observations.filter(({ kind }) => kind === 'session-began').length;
  }

  get spki(): Uint8Array {
    return p256Spki(this.device.element.keys.sign.publicKey);
  }

  async enter(
    identity: TestIdentity,
    encoding = identity.certificate.der,
    kind: 'ldevid' | 'application' = 'ldevid',
  ) {
    const { deviceId } = this.device;
    if ((await this.store.device(deviceId)) === undefined) {
      await this.store.importDevices([importedDevice(1, { deviceId, signKeySpki: this.spki })], 1);
    }
    const entry = { sha256: sha256Of(encoding), kind, holder: deviceId, notAfterMs: undefined };
    if (kind === 'ldevid') await this.store.enrolDevice(entry, 1);
    else await this.store.addCertificate({ ...entry, holder: 'dashboard' }, 1);
  }

  /** A whole handshake of method 1, or 3 with a key for agreement. `undefined`, or why message_3 led to nothing. */
  async handshake(
    own: Shown,
    options: { method?: 1 | 3; key?: TestIdentity } = {},
  ): Promise<string | undefined> {
    const { method = 1, key } = options;
    const { keys } = this.device.element;
    const profile = { method, suites: [2], message4: false };
    const { next, message1 } = startInitiator(nodeCrypto, profile, { connectionId: fromHex('05') });
    const answer = await this.field.relay.take(
      roaming,
      writeFrame({ kind: 'edhoc-start', message1 }),
    );
    if (!(answer instanceof Uint8Array)) return String(answer);
    const second = readFrame(answer);
    assert.ok(second.kind === 'edhoc');
    const read = next.readMessage2(second.message);
    assert.ok(!isEdhocRefusal(read), JSON.stringify(read));
    const connectionId = read.peerConnectionId.slice();
    const verified = read.accept(readServerIdentity(nodeCrypto, this.field.serverIdentity));
    assert.ok(!isEdhocRefusal(verified));
    const point = method === 1 ? keys.sign.publicKey : keys.agree.publicKey;
    const publicKey = nodeCrypto.importPublicKey('P-256', key?.certificate.publicKey.key ?? point);
    assert.ok(publicKey);
    const needed = verified.compose({ own: { ...own, publicKey } });
    assert.ok(!isEdhocRefusal(needed));
    const step =
      needed.kind === 'signature-needed'
        ? needed.finish(
            fixedSignature(
              key?.key.sign(needed.toBeSigned) ??
                (await this.device.element.sign('sign', needed.toBeSigned)),
              32,
            ),
          )
        : needed.finish((await this.device.element.agree('agree', needed.peerPublicKey)) ?? empty);
    const outcome = await this.field.relay.take(
      roaming,
      writeFrame({ kind: 'edhoc', connectionId, message: step.message3 }),
    );
    return outcome === undefined ? undefined : String(outcome);
  }
}

test('X.509 and C509 of both types open a session, by value and then by thumbprint', async () => {
  const world = new World();
  const ldevid = pki.ldevid(world.device.deviceId, { spki: world.spki });
  const natively = native(ldevid);
  await world.enter(ldevid);
  await world.enter(ldevid, natively);
  // Nobody has shown these bytes yet.
  assert.equal(await world.handshake(byC5t(natively)), 'unknown-credential');
  for (const own of [
    byX5chain(ldevid),
    byX5t(ldevid),
    byC5c(reencoded(ldevid)),
    byC5t(reencoded(ldevid)),
    byC5c(natively),
    byC5t(natively),
    byC5t(natively, -16),
  ]) {
    assert.equal(await world.handshake(own), undefined);
  }
  assert.equal(world.used.length, 7);
  assert.equal(world.sessions, 7);
});

test('a certificate by its place opens a session; elsewhere nobody looks', async () => {
  const world = new World();
  const ldevid = pki.ldevid(world.device.deviceId, { spki: world.spki });
  await world.enter(ldevid);
  const { der } = ldevid.certificate;
  const at = (uri: string): Shown => ({
    idCred: cbor.map([cbor.integer(35), cbor.tag(32, cbor.text(uri))]),
    cred: cbor.bytes(der),
  });
  assert.equal(await world.handshake(at('https://pki.example.com/1')), 'unknown-credential');
  world.served = { mediaType: 'application/pkix-cert', body: der };
  assert.equal(await world.handshake(at('https://pki.example.com/1')), undefined);
  assert.equal(await world.handshake(at('https://elsewhere.example/1')), 'unknown-credential');
  // From now on its hash is enough.
  assert.equal(await world.handshake(byX5t(ldevid)), undefined);
  assert.equal(world.sessions, 2);
});

test('every certificate that opens nothing', async () => {
  const world = new World();
  const { deviceId } = world.device;
  const { spki } = world;
  const ldevid = pki.ldevid(deviceId, { spki });
  const by = async (identity: TestIdentity): Promise<string | undefined> =>
    world.handshake(byC5c(reencoded(identity)));
  // A path that holds, and no entry in the registry.
  assert.equal(await by(ldevid), 'not-authentic');
  await world.enter(ldevid);
  assert.equal(await by(ldevid), undefined);
  const another = testPki().ldevid(deviceId, { spki });
  await world.enter(another);
  assert.equal(await by(another), 'not-authentic');
  const expired = pki.ldevid(deviceId, { spki, notAfterMs: testNowMs - 1 });
  await world.enter(expired);
  assert.equal(await by(expired), 'not-authentic');
  const application = pki.application('dashboard', { spki });
  await world.enter(application, application.certificate.der, 'application');
  assert.equal(await by(application), 'not-authentic');
  // Revoked, by value and by the thumbprint that was taken before.
  await world.store.setCertificateState(sha256Of(ldevid.certificate.der), 'revoked', 'lost', 2);
  assert.equal(await by(ldevid), 'not-authentic');
  assert.equal(await world.handshake(byC5t(reencoded(ldevid))), 'not-authentic');
  // DER where C509 is announced, a thumbprint of a hash that nobody uses, a URI.
  const { der } = ldevid.certificate;
  assert.equal(
    await world.handshake(shown('c5c', cbor.bytes(der), cbor.bytes(der))),
    'unknown-credential',
  );
  const strange = cbor.array(cbor.integer(-44), cbor.bytes(new Uint8Array(64)));
  assert.equal(await world.handshake(shown('x5t', strange, cbor.bytes(der))), 'unknown-credential');
  const uri = {
    idCred: cbor.map([cbor.integer(35), cbor.text('https://evil.example/')]),
    cred: der,
  };
  assert.equal(await world.handshake(uri), 'unknown-credential');
  // The right certificate, and beside it a parameter that says who knows what.
  const twice = {
    idCred: cbor.map(
      [cbor.integer(4), cbor.bytes(Uint8Array.of(1))],
      [cbor.integer(label.x5chain), cbor.bytes(der)],
    ),
    cred: cbor.bytes(der),
  };
  const also = {
    ...twice,
    idCred: cbor.map(
      [cbor.integer(label.x5chain), cbor.bytes(der)],
      [cbor.integer(label.x5t), cbor.array(cbor.integer(-16), cbor.bytes(sha256Of(der)))],
    ),
  };
  for (const shownTwice of [twice, also]) {
    assert.equal(await world.handshake(shownTwice), 'unknown-credential');
  }
  assert.equal(world.sessions, 1);
});

test('a certificate of somebody whose key is not there proves nothing', async () => {
  const world = new World();
  const stranger = testKey();
  const theirs = pki.ldevid(world.device.deviceId, { key: stranger });
  await world.enter(theirs);
  assert.equal(await world.handshake(byC5c(reencoded(theirs))), 'not-authentic');
  assert.equal(await world.handshake(byC5c(reencoded(theirs)), { key: theirs }), undefined);
});

test('keys that sign do not agree, and keys that agree do not sign', async () => {
  const world = new World();
  const { deviceId, element } = world.device;
  const signing = pki.ldevid(deviceId, { spki: p256Spki(element.keys.agree.publicKey) });
  await world.enter(signing);
  assert.equal(await world.handshake(byC5c(reencoded(signing)), { method: 3 }), 'not-authentic');
  const [, ...others] = ldevidFields(deviceId).extensions;
  const agreeing = pki.ldevid(deviceId, {
    spki: p256Spki(element.keys.agree.publicKey),
    extensions: [keyUsage('keyAgreement'), ...others],
  });
  await world.enter(agreeing);
  assert.equal(await world.handshake(byC5c(reencoded(agreeing)), { method: 3 }), undefined);
  const crossed = pki.ldevid(deviceId, {
    spki: world.spki,
    extensions: [keyUsage('keyAgreement'), ...others],
  });
  await world.enter(crossed);
  assert.equal(await world.handshake(byC5c(reencoded(crossed))), 'not-authentic');
  // A kid names keys for agreement: with a signature it names nothing.
  const byKid = {
    idCred: cbor.map([cbor.integer(4), cbor.bytes(world.device.kid)]),
    cred: cbor.map(),
  };
  assert.equal(await world.handshake(byKid), 'unknown-credential');
});

test('without the port nothing but kid and static Diffie-Hellman is there', async () => {
  const world = new World();
  const plain = new Field();
  const { message1 } = startInitiator(
    nodeCrypto,
    { method: 1, suites: [2], message4: false },
    { connectionId: fromHex('05') },
  );
  const frame = writeFrame({ kind: 'edhoc-start', message1 });
  assert.equal(await plain.relay.take(roaming, frame), 'unsupported');
  assert.ok((await world.field.relay.take(roaming, frame)) instanceof Uint8Array);
});
