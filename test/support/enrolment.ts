/** Enrolment around a registry in memory and an authority that signs with a key of `testPki`. */
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { Enrolment, type EnrolmentPolicy } from '../../src/trust/enrolment/enrolment.ts';
import type { PathRules } from '../../src/trust/peers/paths.ts';
import { PeerVerifier, type VerifiedPeer } from '../../src/trust/peers/verifiedPeer.ts';
import type {
  EnrolmentAuthority,
  LdevidOutcome,
  LdevidRequest,
  SecretHolder,
  SecretOutcome,
  SecretRequest,
} from '../../src/trust/ports/enrolment.ts';
import { isRefusal, refuse } from '../../src/trust/ports/faults.ts';
import type { CertificateKind } from '../../src/trust/ports/registryStore.ts';
import { Registry } from '../../src/trust/registry/registry.ts';
import { parseCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import { IssuedOneByOne } from './issuedOneByOne.ts';
import { MemoryRegistryStore } from './memoryRegistryStore.ts';
import { ldevidFields, type TestIdentity, type TestPki, testNowMs, testPki } from './pki.ts';
import { deviceIdOf, importedDevice, sha256Of } from './registrySamples.ts';

const verifier = new SoftwareVerifier();

/** Signs what it is asked for; a test may put another answer in front. */
export class FakeAuthority implements EnrolmentAuthority {
  readonly requests: LdevidRequest[] = [];
  readonly #pki: TestPki;
  answer: ((request: LdevidRequest) => Promise<LdevidOutcome>) | undefined;

  constructor(pki: TestPki) {
    this.#pki = pki;
  }

  /** Holders by their secrets; spent by no one. */
  readonly secrets = new Map<string, SecretHolder>();

  async secretHolder(secret: string): Promise<SecretHolder | undefined> {
    return this.secrets.get(secret);
  }

  readonly issued = new IssuedOneByOne();

  async issueBySecret({
    secret,
    request,
    profile = 'ldevid',
  }: SecretRequest): Promise<SecretOutcome> {
    const holder = this.secrets.get(secret);
    if (holder === undefined) return refuse('bad-secret', 'no such secret');
    const shown = { authenticatedBy: new Uint8Array(0), issuers: [] };
    return this.issueLdevid({ ...holder, ...shown, request, profile });
  }

  /** As the real one, verifies the proof first. */
  async issueLdevid(request: LdevidRequest): Promise<LdevidOutcome> {
    const { publicKey, signatureAlgorithm, info, signature } = parseCertificationRequest(
      request.request,
    );
    if (!verifier.verifyOnce(publicKey.spki, signatureAlgorithm.oid, info, signature)) {
      return refuse('bad-proof', 'not signed by its key');
    }
    this.requests.push(request);
    return this.answer?.(request) ?? this.issued.take(request.deviceId, this.certify(request));
  }

  certify({ request, deviceId }: LdevidRequest): Uint8Array {
    const { publicKey } = parseCertificationRequest(request);
    const issued = this.#pki.operational.issue(ldevidFields(deviceId), { spki: publicKey.spki });
    return issued.certificate.der;
  }
}

export interface TestEnrolment {
  readonly pki: TestPki;
  readonly store: MemoryRegistryStore;
  readonly registry: Registry;
  readonly authority: FakeAuthority;
  readonly enrolment: Enrolment;
  readonly policy: EnrolmentPolicy;
  readonly peers: PeerVerifier;
  /** A device with this number, `released` unless said otherwise, and its birth certificate. */
  born(number: number, state?: 'expected' | 'released'): Promise<BornDevice>;
  /** As the door would have it. Throws when it would not. */
  peer(identity: TestIdentity): Promise<VerifiedPeer>;
}

export interface BornDevice {
  readonly deviceId: string;
  readonly idevid: TestIdentity;
}

export function testEnrolment(): TestEnrolment {
  const pki = testPki();
  const store = new MemoryRegistryStore();
  const clock = { nowMs: () => testNowMs };
  const registry = new Registry(store, clock);
  const authority = new FakeAuthority(pki);

  const anchor = (
    certificate: TestIdentity,
    kind: CertificateKind,
  ): PathRules['anchors'][number] => ({
    certificate: certificate.certificate,
    kinds: [kind],
  });
  const anchors = [anchor(pki.factory, 'idevid'), anchor(pki.operational, 'ldevid')];
  const peers = new PeerVerifier({ registry, verifier, clock, sha256: sha256Of }, () => ({
    anchors,
    intermediates: [],
  }));
  return {
    pki,
    store,
    registry,
    authority,
    peers,
    enrolment: new Enrolment({
      registry,
      authority,
      verifier,
      sha256: sha256Of,
      owner: 'owner',
    }),
    policy: {
      profile: 'ldevid',
      caCertificates: () => [pki.root.certificate.der, pki.operational.certificate.der],
      popLinking: 'when-present',
      again: 'allowed',
    },
    born: async (number, state = 'released') => {
      const deviceId = deviceIdOf(number);
      const idevid = pki.idevid(deviceId);
      const sample = importedDevice(number, { signKeySpki: idevid.key.spki }, state);
      const certificate = { kind: 'idevid', sha256: idevid.sha256, notAfterMs: undefined } as const;
      await registry.importDevices([{ ...sample, certificates: [certificate] }]);
      return { deviceId, idevid };
    },
    peer: async (identity) => {
      const peer = await peers.verifyPeer(identity.chain);
      if (isRefusal(peer)) throw new TypeError(peer.reason);
      return peer;
    },
  };
}
