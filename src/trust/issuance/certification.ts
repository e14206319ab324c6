/**
 * Certificates for what exists already: servers, stations, applications, operators, and the operational
 * certificates of devices. A request contributes its key and the proof of its
 * possession; names come from who asks, everything else from the profile.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
} from '../../wire/x509/certificationRequest.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { LdevidOutcome, LdevidRequest } from '../ports/enrolment.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { IssuanceStore, IssuedCertificate } from '../ports/issuanceStore.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { OrderStore } from '../ports/orderStore.ts';
import type { ForeignElements } from './foreign.ts';
import type { Issuance } from './issuance.ts';
import { identifierOfKey } from './issuer.ts';

export interface CertificationOptions {
  readonly crypto: Crypto;
  readonly issuance: Issuance;
  readonly certificates: IssuanceStore;
  readonly units: Pick<OrderStore, 'unitByDevice'>;
  readonly foreign: ForeignElements;
  readonly verifier: ProofVerifier;
}

/** Profiles whose holders have a name of their own. */
export const namedProfiles = ['server', 'station', 'application', 'operator'] as const;

export type NamedProfile = (typeof namedProfiles)[number];

export interface NamedRequest {
  readonly profile: NamedProfile;
  readonly name: string;
  /** DER of PKCS#10. */
  readonly request: Uint8Array;
  /** For servers: DNS names and IP addresses. */
  readonly hosts: readonly string[];
}

export type CertificationRefusal = Refusal<
  'malformed-request' | 'bad-proof' | 'lint' | 'key-taken' | 'rejected'
>;

export class Certification {
  readonly #options: CertificationOptions;

  constructor(options: CertificationOptions) {
    this.#options = options;
  }

  /** DER of the certificate. */
  async certify(named: NamedRequest): Promise<Uint8Array | CertificationRefusal> {
    // Devices are found by their holder too: nobody else may be called like one.
    if (isDeviceId(named.name)) {
      return refuse('rejected', 'The name has the form of a device id.');
    }
    const request = await this.#proven(named.request);
    if (isRefusal(request)) return request;
    const { spki } = request.publicKey;
    const taken = await this.#refusalOfKey(spki, named.name);
    if (taken !== undefined) return taken;
    const { profile, name, hosts } = named;
    return this.#issue(profile, { spki, name, ...(hosts.length > 0 ? { hosts } : {}) });
  }

  /** RFC 7030 §4.2: for a device that showed a certificate, which is judged anew here. */
  async certifyDevice(ldevid: LdevidRequest): Promise<LdevidOutcome> {
    const { deviceId, profile } = ldevid;
    if (profile !== 'ldevid') return refuse('rejected', `Profile ${profile} is not for devices.`);
    if (!isDeviceId(deviceId)) return refuse('rejected', 'No device is called like that.');
    const refused = await this.#refusalOfDevice(ldevid);
    if (refused !== undefined) return refused;
    const request = await this.#proven(ldevid.request);
    if (isRefusal(request)) return refuse('rejected', request.reason);
    const { spki } = request.publicKey;
    const taken = await this.#refusalOfKey(spki, deviceId);
    if (taken !== undefined) return taken;
    const certificate = await this.#issue(profile, { spki, name: deviceId });
    return isRefusal(certificate) ? refuse('rejected', certificate.reason) : { certificate };
  }

  async #proven(der: Uint8Array): Promise<CertificationRequest | CertificationRefusal> {
    let request: CertificationRequest;
    try {
      request = parseCertificationRequest(der);
      p256Point(request.publicKey.spki);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      return refuse('malformed-request', error.message);
    }
    const { publicKey, signatureAlgorithm, info, signature } = request;
    const proven =
      signatureAlgorithm.oid === signatureAlgorithmOids['ecdsa-with-SHA256'] &&
      (await this.#options.verifier.verifyInPool(
        publicKey.spki,
        signatureAlgorithm.oid,
        info,
        signature,
      ));
    return proven
      ? request
      : refuse('bad-proof', 'The signature of the request is not made by its key.');
  }

  async #refusalOfDevice(ldevid: LdevidRequest): Promise<Refusal<'rejected'> | undefined> {
    const { certificates, foreign, units } = this.#options;
    const { deviceId } = ldevid;
    const shown = await this.#issuedBefore(ldevid.authenticatedBy);
    if (shown === undefined) return foreign.refusalOf(ldevid);
    if (shown.holder !== deviceId) {
      return refuse('rejected', 'The certificate shown was issued for somebody else.');
    }
    const revoked = await foreign.refusalOfRevoked(deviceId);
    if (revoked !== undefined) return revoked;
    const others = await certificates.certificatesOf(deviceId);
    if (others.some((other) => other.revokedMs !== undefined && isBirth(other))) {
      return refuse('rejected', 'The identity from birth is revoked.');
    }
    if (others.some((other) => other.held)) return refuse('rejected', 'The device is on hold.');
    if (shown.revokedMs !== undefined) return refuse('rejected', 'The certificate is revoked.');
    const unit = await units.unitByDevice(deviceId);
    return unit !== undefined && unit.state !== 'locked'
      ? refuse('rejected', `The element was never finished: it is ${unit.state}.`)
      : undefined;
  }

  /** The certificate, octet for octet, as it was issued here. */
  async #issuedBefore(der: Uint8Array): Promise<IssuedCertificate | undefined> {
    let serialNumber: Uint8Array;
    let tbs: Uint8Array;
    let signature: Uint8Array;
    try {
      ({ serialNumber, tbs, signature } = parseCertificate(der));
    } catch (error) {
      if (error instanceof MalformedError) return undefined;
      throw error;
    }
    const magnitude = serialMagnitude(serialNumber);
    if (magnitude === undefined) return undefined;
    const issued = await this.#options.certificates.certificateBySerial(magnitude);
    const same =
      issued !== undefined && equal(issued.tbs, tbs) && equal(issued.signature, signature);
    return same ? issued : undefined;
  }

  async #refusalOfKey(spki: Uint8Array, holder: string): Promise<Refusal<'key-taken'> | undefined> {
    const { crypto, certificates, foreign } = this.#options;
    const known =
      (await certificates.holderOfKey(identifierOfKey(crypto, spki))) ??
      (await foreign.holderOfKey(spki));
    return known === undefined || known === holder
      ? undefined
      : refuse('key-taken', 'The key is certified for somebody else.');
  }

  async #issue(
    profile: string,
    content: { spki: Uint8Array; name: string; hosts?: readonly string[] },
  ): Promise<Uint8Array | Refusal<'lint' | 'rejected'>> {
    const [outcome] = await this.#options.issuance.issue([{ profile, content }]);
    if (outcome === undefined) return refuse('rejected', 'Nothing was issued.');
    if (!isRefusal(outcome)) return outcome.certificate;
    return refuse(outcome.refused === 'lint' ? 'lint' : 'rejected', outcome.reason);
  }
}

/** The 16 bytes that were drawn, from the content octets of the INTEGER; `undefined` for a foreign one. */
export function serialMagnitude(content: Uint8Array): Uint8Array | undefined {
  const digits = content[0] === 0 ? content.subarray(1) : content;
  if (digits.length > serialBytes || (content[0] ?? 0x80) >= 0x80) return undefined;
  const magnitude = new Uint8Array(serialBytes);
  magnitude.set(digits, serialBytes - digits.length);
  return magnitude;
}

const serialBytes = 16;

/** 80 bits in lower-case Crockford base32. */
function isDeviceId(name: string): boolean {
  return /^[0-9a-hjkmnp-tv-z]{16}$/.test(name);
}

function isBirth({ profile }: IssuedCertificate): boolean {
  return profile.startsWith('idevid@');
}
