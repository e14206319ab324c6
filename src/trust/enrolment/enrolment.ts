/**
 * Who gets an operational certificate (RFC 7030 §4.2, IEEE 802.1AR LDevID): a device that is authenticated
 * by a certificate of ours, may enrol, and has shown that it holds the key. A request contributes its key
 * and that proof; names and extensions come from registry and profile.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { linksTo } from '../../wire/est/popLinking.ts';
import { type CsrAttribute, encodeCsrAttributes } from '../../wire/est/csrAttributes.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { curveOids, keyTypeOids, signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
  requestAttributeOids,
} from '../../wire/x509/certificationRequest.ts';
import type { VerifiedPeer } from '../peers/verifiedPeer.ts';
import type { AuthorityRefusalCode, EnrolmentAuthority } from '../ports/enrolment.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { CertificateEntry, DeviceRecord } from '../ports/registryStore.ts';
import type { EnrolmentRefusal } from '../registry/registry.ts';
import { subjectMismatch } from './subjectRule.ts';

/** The part of `Registry` that enrolment asks. */
export interface EnrolmentRegistry {
  mayEnrol(deviceId: string): Promise<DeviceRecord | Refusal<EnrolmentRefusal>>;
  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined>;
  enrolDevice(
    entry: CertificateEntry & { readonly kind: 'ldevid' },
  ): Promise<undefined | Refusal<EnrolmentRefusal>>;
}

/** What one EST label stands for. */
export interface EnrolmentPolicy {
  /** Name of the profile of the certificates. */
  readonly profile: string;
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
  readonly verifier: SignatureVerifier;
  readonly sha256: (data: Uint8Array) => Uint8Array;
}

export interface SentRequest {
  /** DER of PKCS#10. */
  readonly der: Uint8Array;
  /** Of the connection it came by; `undefined` where there is none to be had. */
  readonly channelBinding: Uint8Array | undefined;
}

export type EnrolmentRefusalCode =
  | EnrolmentRefusal
  | AuthorityRefusalCode
  | 'wrong-identity'
  | 'enrolled-already'
  | 'bad-proof'
  | 'pop-linking'
  | 'subject-mismatch';

export type EnrolmentOutcome =
  /** DER of the LDevID; it opens doors from now on. */
  | { readonly certificate: Uint8Array }
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
    const refusal =
      rule(request) ??
      this.#refusalOfProof(request) ??
      refusalOfLink(request, sent.channelBinding, policy) ??
      (await this.#refusalOfKey(request, peer.holder));
    if (refusal !== undefined) return refusal;
    // One at a time for each device, or a burst of requests would leave it with a handful of identities.
    if (this.#inFlight.has(peer.holder)) return { retryAfterS: busyRetryAfterS };
    this.#inFlight.add(peer.holder);
    try {
      return await this.#issue(peer, device, request, policy);
    } finally {
      this.#inFlight.delete(peer.holder);
    }
  }

  #refusalOfProof({
    publicKey,
    signatureAlgorithm,
    info,
    signature,
  }: CertificationRequest): Refusal<'bad-proof'> | undefined {
    const { verifier } = this.#ports;
    const proven = verifier.verify(publicKey.spki, signatureAlgorithm.oid, info, signature);
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

  async #issue(
    peer: VerifiedPeer,
    { product }: DeviceRecord,
    request: CertificationRequest,
    { profile }: EnrolmentPolicy,
  ): Promise<EnrolmentOutcome> {
    const { authority, registry, sha256 } = this.#ports;
    const outcome = await authority.issueLdevid({
      deviceId: peer.holder,
      authenticatedBy: peer.certificate.der,
      issuers: peer.issuers,
      product,
      request: request.der,
      profile,
    });
    if (!('certificate' in outcome)) return outcome;
    const { certificate } = outcome;
    const { publicKey, notAfterMs } = parseCertificate(certificate);
    if (!equal(publicKey.spki, request.publicKey.spki)) {
      throw new InvariantError('the authority certified another key than the one it was given');
    }
    // A crash here leaves a certificate that no door knows: the device gets none, asks again, and the
    // unknown one opens nothing. Revoked in the meantime, the device is refused by the registry.
    const refusal = await registry.enrolDevice({
      sha256: sha256(certificate),
      kind: 'ldevid',
      holder: peer.holder,
      notAfterMs: notAfterMs === noExpirationMs ? undefined : notAfterMs,
    });
    return refusal ?? { certificate };
  }
}

/** DER of what a server with this policy wants to see in a request (RFC 7030 §4.5.2). */
export function csrAttributesOf({ popLinking }: EnrolmentPolicy): Uint8Array {
  const wanted: CsrAttribute[] = [
    { type: keyTypeOids.ecPublicKey, values: [curveOids['P-256']] },
    { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
  ];
  const password = { oid: requestAttributeOids.challengePassword };
  return encodeCsrAttributes(popLinking === 'required' ? [password, ...wanted] : wanted);
}

function refusalOfLink(
  { challengePassword }: CertificationRequest,
  channelBinding: Uint8Array | undefined,
  { popLinking }: EnrolmentPolicy,
): Refusal<'pop-linking'> | undefined {
  if (challengePassword === undefined) {
    return popLinking === 'required'
      ? refuse('pop-linking', 'the request must name its connection (RFC 7030 section 3.5)')
      : undefined;
  }
  // RFC 7030 §3.5: whenever it is there it is channel binding, and MUST be verified.
  const linked = channelBinding !== undefined && linksTo(challengePassword, channelBinding);
  return linked ? undefined : refuse('pop-linking', 'the request names another connection');
}
