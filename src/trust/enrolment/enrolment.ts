/**
 * Who gets an operational certificate (RFC 7030 §4.2, IEEE 802.1AR LDevID): a device that is authenticated
 * by a certificate of ours, may enrol, and has shown that it holds the key. A request contributes its key
 * and that proof; names and extensions come from registry and profile.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { linksTo } from '../../wire/est/popLinking.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
} from '../../wire/x509/certificationRequest.ts';
import type { VerifiedPeer } from '../peers/verifiedPeer.ts';
import type {
  AuthorityRefusalCode,
  EnrolmentAuthority,
  LdevidOutcome,
  SecretHolder,
  SecretOutcome,
} from '../ports/enrolment.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { CertificateEntry, DeviceRecord, ImportedDevice } from '../ports/registryStore.ts';
import type { EnrolmentRefusal, ImportRefusal, ImportSummary } from '../registry/registry.ts';
import { subjectMismatch } from './subjectRule.ts';

/** The part of `Registry` that enrolment asks. */
export interface EnrolmentRegistry {
  device(deviceId: string): Promise<DeviceRecord | undefined>;
  mayEnrol(deviceId: string): Promise<DeviceRecord | Refusal<EnrolmentRefusal>>;
  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined>;
  enrolDevice(
    entry: CertificateEntry & { readonly kind: 'ldevid' },
    beside: readonly Uint8Array[],
  ): Promise<undefined | Refusal<EnrolmentRefusal>>;
  importDevices(
    devices: readonly ImportedDevice[],
  ): Promise<ImportSummary | Refusal<ImportRefusal>>;
}

/** What one EST label stands for. */
export interface EnrolmentPolicy {
  /** Name of the profile of the certificates. */
  readonly profile: string;
  /** No label chose the profile: whoever knows a one-time secret gets the one that it was made for. */
  readonly secretDecides?: boolean;
  /** DER: the current root and everything between it and a device (RFC 7030 §4.1.3). */
  readonly caCertificates: () => readonly Uint8Array[];
  /** A challengePassword is verified whenever it is there (RFC 7030 §3.5); `required`: it has to be. */
  readonly popLinking: 'when-present' | 'required';
  /** Whether a device that has an LDevID may get another one with its IDevID: after a reset, or too long asleep. */
  readonly again: 'allowed' | 'refused';
}

export interface EnrolmentPorts {
  readonly registry: EnrolmentRegistry;
  readonly authority: EnrolmentAuthority;
  /** For those who show no certificate. Keys of requests are met once: they are not kept. */
  readonly verifier: ProofVerifier;
  readonly sha256: (data: Uint8Array) => Uint8Array;
  /** Whose devices those become that enrol by a secret and were not known before. */
  readonly owner: string;
}

export interface SentRequest {
  /** DER of PKCS#10. */
  readonly der: Uint8Array;
  /** Of the connection it came by; `undefined` where there is none to be had. Few requests ask for it. */
  readonly channelBinding: () => Uint8Array | undefined;
}

export type EnrolmentRefusalCode =
  | EnrolmentRefusal
  | AuthorityRefusalCode
  | 'bad-secret'
  | 'wrong-identity'
  | 'enrolled-already'
  | 'pop-linking'
  | 'subject-mismatch';

export type EnrolmentOutcome =
  /** DER of the LDevID; it opens doors from now on. */
  | { readonly certificate: Uint8Array; readonly deviceId: string }
  | { readonly retryAfterS: number }
  | Refusal<EnrolmentRefusalCode>;

/** A device that asks again while its first request is being answered. */
const busyRetryAfterS = 2;

export class Enrolment {
  readonly #ports: EnrolmentPorts;
  readonly #inFlight = new Set<string>();

  constructor(ports: EnrolmentPorts) {
    this.#ports = ports;
  }

  /**
   * RFC 7030 §4.2.1: the first operational certificate, or another one, with the identity from birth.
   * Throws a `MalformedError` for a request that is none.
   */
  async simpleEnroll(
    peer: VerifiedPeer,
    sent: SentRequest,
    policy: EnrolmentPolicy,
  ): Promise<EnrolmentOutcome> {
    if (peer.kind !== 'idevid') {
      return refuse('wrong-identity', 'a first enrolment takes the IDevID');
    }
    const device = await this.#ports.registry.mayEnrol(peer.holder);
    if (isRefusal(device)) return device;
    if (device.state === 'enrolled' && policy.again === 'refused') {
      return refuse('enrolled-already', 'the device is enrolled: renew with its LDevID');
    }
    return this.#enrol(peer, device, sent, policy, () => undefined);
  }

  /**
   * RFC 7030 §3.2.3: the first operational certificate of a device that has none to show, and knows a
   * one-time secret. Throws a `MalformedError` for a request that is none.
   */
  async enrollWithSecret(
    secret: string,
    sent: SentRequest,
    policy: EnrolmentPolicy,
  ): Promise<EnrolmentOutcome> {
    const { authority, registry } = this.#ports;
    const request = parseCertificationRequest(sent.der);
    const unproven =
      (await this.#refusalOfProof(request)) ?? refusalOfLink(request, sent.channelBinding, policy);
    if (unproven !== undefined) return unproven;
    const holder = await authority.secretHolder(secret);
    if (holder === undefined) return refuse('bad-secret', 'the secret opens nothing');
    const { deviceId } = holder;
    if ((await registry.device(deviceId)) !== undefined) {
      const device = await registry.mayEnrol(deviceId);
      if (isRefusal(device)) return device;
    }
    const taken = await this.#refusalOfKey(request, deviceId);
    if (taken !== undefined) return taken;
    return this.#oneAtATime(deviceId, async () => {
      const profile = policy.secretDecides === true ? undefined : policy.profile;
      const outcome = await authority.issueBySecret({ secret, request: request.der, profile });
      const refusal =
        'certificate' in outcome ? await this.#refusalOfBirth(holder, request) : undefined;
      return refusal ?? this.#entered(deviceId, request, outcome);
    });
  }

  /**
   * RFC 7030 §4.2.2: renewal, with the same key or a new one, under the same names. Throws a
   * `MalformedError` for a request that is none.
   */
  async simpleReenroll(
    peer: VerifiedPeer,
    sent: SentRequest,
    policy: EnrolmentPolicy,
  ): Promise<EnrolmentOutcome> {
    if (peer.kind !== 'ldevid') return refuse('wrong-identity', 'a renewal takes the LDevID');
    const device = await this.#ports.registry.mayEnrol(peer.holder);
    if (isRefusal(device)) return device;
    return this.#enrol(peer, device, sent, policy, (request) =>
      subjectMismatch(request, peer.certificate),
    );
  }

  async #enrol(
    peer: VerifiedPeer,
    device: DeviceRecord,
    sent: SentRequest,
    policy: EnrolmentPolicy,
    rule: (request: CertificationRequest) => Refusal<'subject-mismatch'> | undefined,
  ): Promise<EnrolmentOutcome> {
    const request = parseCertificationRequest(sent.der);
    // Whether the request is signed by its key is verified where it counts: by the authority.
    const refusal =
      rule(request) ??
      refusalOfLink(request, sent.channelBinding, policy) ??
      (await this.#refusalOfKey(request, peer.holder));
    if (refusal !== undefined) return refusal;
    const { deviceId, product } = device;
    return this.#oneAtATime(deviceId, async () => {
      const outcome = await this.#ports.authority.issueLdevid({
        deviceId,
        authenticatedBy: peer.certificate.der,
        issuers: peer.issuers,
        product,
        request: request.der,
        profile: policy.profile,
      });
      return this.#entered(deviceId, request, outcome);
    });
  }

  /** A burst of requests would leave the device with a handful of identities. */
  async #oneAtATime(
    deviceId: string,
    act: () => Promise<EnrolmentOutcome>,
  ): Promise<EnrolmentOutcome> {
    if (this.#inFlight.has(deviceId)) return { retryAfterS: busyRetryAfterS };
    this.#inFlight.add(deviceId);
    try {
      return await act();
    } finally {
      this.#inFlight.delete(deviceId);
    }
  }

  /** Before a stranger's secret is asked about. */
  async #refusalOfProof({
    publicKey,
    signatureAlgorithm,
    info,
    signature,
  }: CertificationRequest): Promise<Refusal<'bad-proof'> | undefined> {
    const { verifier } = this.#ports;
    const { oid } = signatureAlgorithm;
    const proven = await verifier.verifyInPool(publicKey.spki, oid, info, signature);
    return proven ? undefined : refuse('bad-proof', 'the request is not signed by its own key');
  }

  /** A key that another device was born with; the authority knows the certified ones besides. */
  async #refusalOfKey(
    { publicKey }: CertificationRequest,
    deviceId: string,
  ): Promise<Refusal<'key-taken'> | undefined> {
    const owner = await this.#ports.registry.deviceBySignKey(publicKey.spki);
    const taken = owner !== undefined && owner.deviceId !== deviceId;
    return taken ? refuse('key-taken', 'the key belongs to somebody else') : undefined;
  }

  /** What the authority said, in the registry: an issued certificate opens doors from then on. */
  async #entered(
    deviceId: string,
    request: CertificationRequest,
    outcome: LdevidOutcome | SecretOutcome,
  ): Promise<EnrolmentOutcome> {
    const { registry, sha256 } = this.#ports;
    if (!('certificate' in outcome)) return outcome;
    const { certificate, beside } = outcome;
    const { publicKey, notAfterMs } = parseCertificate(certificate);
    if (!equal(publicKey.spki, request.publicKey.spki)) {
      throw new InvariantError('the authority certified another key than the one it was given');
    }
    // A crash here leaves a certificate that no door knows: the device gets none, asks again, and the
    // unknown one opens nothing. Revoked in the meantime, the device is refused by the registry.
    const entry = {
      sha256: sha256(certificate),
      kind: 'ldevid',
      holder: deviceId,
      notAfterMs: notAfterMs === noExpirationMs ? undefined : notAfterMs,
    } as const;
    const refusal = await registry.enrolDevice(entry, beside);
    return refusal ?? { certificate, deviceId };
  }

  /** Enters the device when the secret is the first that is heard of it. */
  async #refusalOfBirth(
    { deviceId, product }: SecretHolder,
    request: CertificationRequest,
  ): Promise<Refusal<'key-taken'> | undefined> {
    const { registry } = this.#ports;
    if ((await registry.device(deviceId)) !== undefined) return undefined;
    const born = await registry.importDevices([this.#newDevice(deviceId, product, request)]);
    return isRefusal(born) ? refuse('key-taken', born.reason) : undefined;
  }

  /** A device without an identity from birth: it is known by the key that it enrolled with. */
  #newDevice(
    deviceId: string,
    product: string,
    { publicKey }: CertificationRequest,
  ): ImportedDevice {
    return {
      identity: {
        deviceId,
        family: 'enrolled',
        uid: utf8(deviceId),
        eui64: undefined,
        product,
        owner: this.#ports.owner,
        signKeySpki: publicKey.spki,
        agreeKey: undefined,
        kid: undefined,
        proofLevel: 'possession',
      },
      state: 'released',
      certificates: [],
    };
  }
}

/** RFC 7030 §3.5: what binds the request to the connection, or the session, that it came by. */
export function refusalOfLink(
  { challengePassword }: Pick<CertificationRequest, 'challengePassword'>,
  channelBinding: () => Uint8Array | undefined,
  { popLinking }: EnrolmentPolicy,
): Refusal<'pop-linking'> | undefined {
  if (challengePassword === undefined) {
    return popLinking === 'required'
      ? refuse('pop-linking', 'the request must name its connection (RFC 7030 section 3.5)')
      : undefined;
  }
  // RFC 7030 §3.5: whenever it is there it is channel binding, and MUST be verified.
  const binding = channelBinding();
  const linked = binding !== undefined && linksTo(challengePassword, binding);
  return linked ? undefined : refuse('pop-linking', 'the request names another connection');
}
