/**
 * Operational certificates inside a session (EST over OSCORE). The device was authenticated by EDHOC, with
 * its agree key or a certificate; its request has to be made by the sign key that it was born with, or by
 * one that this key vouches for, which is what the authority, who believes nobody, can check by itself.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import {
  type EncodingForm,
  parseEitherCertificate,
  parseEitherRequest,
} from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { edhocUnique } from '../../wire/est/popLinking.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import type { CertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { keyWitnessOf, witnessedBytes } from '../../wire/x509/keyWitness.ts';
import { attributeText, isEmptyName } from '../../wire/x509/names.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { DeviceRecord } from '../ports/registryStore.ts';
import type { SessionEnrolmentAuthority } from '../ports/sessionEnrolment.ts';
import type { SessionPeer } from '../sessions/liveSession.ts';
import {
  type EnrolmentPolicy,
  type EnrolmentRefusalCode,
  type EnrolmentRegistry,
  refusalOfLink,
} from './enrolment.ts';

export interface SessionEnrolmentPorts {
  readonly registry: Pick<EnrolmentRegistry, 'mayEnrol' | 'enrolDevice' | 'deviceBySignKey'>;
  readonly authority: SessionEnrolmentAuthority;
  readonly verifier: SignatureVerifier;
  readonly sha256: (data: Uint8Array) => Uint8Array;
  readonly decompress: PointDecompressor;
}

export type SessionEnrolmentOutcome =
  /** DER, or the C509 array where the request was natively signed. */
  | { readonly certificate: Uint8Array; readonly form: Exclude<EncodingForm, 'reencoded'> }
  | { readonly retryAfterS: number }
  | Refusal<EnrolmentRefusalCode>;

const ecdsaWithSha256 = signatureAlgorithmOids['ecdsa-with-SHA256'];

/** A device that asks again while its first request is being answered. */
const busyRetryAfterS = 2;

export class SessionEnrolment {
  readonly #ports: SessionEnrolmentPorts;
  readonly #inFlight = new Set<string>();

  constructor(ports: SessionEnrolmentPorts) {
    this.#ports = ports;
  }

  /**
   * RFC 7030 §4.2.1. `sent`: PKCS#10 or C509. Throws a `MalformedError` or `UnsupportedError` for a request
   * that is none.
   */
  enroll(
    peer: SessionPeer,
    sent: Uint8Array,
    policy: EnrolmentPolicy,
  ): Promise<SessionEnrolmentOutcome> {
    return this.#enrol(peer, sent, policy, () => undefined);
  }

  /** RFC 7030 §4.2.2: the same for a device that has one, under the same name. */
  reenroll(
    peer: SessionPeer,
    sent: Uint8Array,
    policy: EnrolmentPolicy,
  ): Promise<SessionEnrolmentOutcome> {
    return this.#enrol(peer, sent, policy, ({ subject }) => {
      const same = attributeText(subject, 'serialNumber') === peer.deviceId;
      return isEmptyName(subject) || same
        ? undefined
        : refuse('subject-mismatch', 'the subject is another device');
    });
  }

  async #enrol(
    peer: SessionPeer,
    sent: Uint8Array,
    policy: EnrolmentPolicy,
    rule: (request: CertificationRequest) => Refusal<'subject-mismatch'> | undefined,
  ): Promise<SessionEnrolmentOutcome> {
    const { deviceId } = peer;
    const device = await this.#ports.registry.mayEnrol(deviceId);
    if (isRefusal(device)) return device;
    const { request, form } = parseEitherRequest(sent, this.#ports.decompress);
    const refusal =
      rule(request) ??
      (await this.#refusalOfKey(request, device)) ??
      refusalOfLink(request, () => bindingOf(peer), policy);
    if (refusal !== undefined) return refusal;
    // A burst of requests would leave the device with a handful of identities.
    if (this.#inFlight.has(deviceId)) return { retryAfterS: busyRetryAfterS };
    this.#inFlight.add(deviceId);
    try {
      return await this.#issue(deviceId, request, form === 'native' ? 'native' : 'der', policy);
    } finally {
      this.#inFlight.delete(deviceId);
    }
  }

  async #refusalOfKey(
    request: CertificationRequest,
    device: DeviceRecord,
  ): Promise<Refusal<EnrolmentRefusalCode> | undefined> {
    const { publicKey, signatureAlgorithm, info, signature } = request;
    const { registry, verifier } = this.#ports;
    const isBirthKey = equal(publicKey.spki, device.signKeySpki);
    if (!isBirthKey && !this.#isWitnessed(request, device)) {
      return refuse(
        'wrong-identity',
        'the request is not for the key that the device was born with, nor vouched for by it',
      );
    }
    const owner = isBirthKey ? undefined : await registry.deviceBySignKey(publicKey.spki);
    if (owner !== undefined) return refuse('key-taken', 'the key belongs to somebody else');
    const proven = verifier.verify(publicKey.spki, signatureAlgorithm.oid, info, signature);
    return proven ? undefined : refuse('bad-proof', 'the request is not signed by its own key');
  }

  #isWitnessed(
    { attributes, publicKey }: CertificationRequest,
    { signKeySpki }: DeviceRecord,
  ): boolean {
    const witness = keyWitnessOf(attributes);
    if (witness === undefined) return false;
    const data = witnessedBytes(publicKey.spki);
    return this.#ports.verifier.verify(signKeySpki, ecdsaWithSha256, data, witness);
  }

  async #issue(
    deviceId: string,
    request: CertificationRequest,
    form: 'der' | 'native',
    { profile }: EnrolmentPolicy,
  ): Promise<SessionEnrolmentOutcome> {
    const { authority, registry, sha256, decompress } = this.#ports;
    const outcome = await authority.issueInSession({ deviceId, request: request.der, profile });
    if (!('certificate' in outcome)) return outcome;
    const issued = parseEitherCertificate(outcome.certificate, decompress);
    const { publicKey, notAfterMs } = issued.certificate;
    if (issued.form !== form || !equal(publicKey.spki, request.publicKey.spki)) {
      throw new InvariantError('the authority certified another key, or in another form');
    }
    // A crash here leaves a certificate that no door knows: the device gets none, asks again, and the
    // unknown one opens nothing. Revoked in the meantime, the device is refused by the registry.
    const entry = {
      sha256: sha256(outcome.certificate),
      kind: 'ldevid',
      holder: deviceId,
      notAfterMs: notAfterMs === noExpirationMs ? undefined : notAfterMs,
    } as const;
    const refusal = await registry.enrolDevice(entry, outcome.beside);
    return refusal ?? { certificate: outcome.certificate, form };
  }
}

/** `undefined` once the keys of the handshake were replaced: then there is nothing to name. */
function bindingOf(peer: SessionPeer): Uint8Array | undefined {
  const exporter = peer.exporter();
  return exporter && edhocUnique(exporter);
}
