/**
 * Certificates for what exists already: servers, stations, applications, operators, and the operational
 * certificates of devices. A request contributes its key and the proof of its
 * possession; names come from who asks, everything else from the profile.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import {
  completeEither,
  parseEitherCertificate,
  parseEitherRequest,
} from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
} from '../../wire/x509/certificationRequest.ts';
import { keyWitnessOf, witnessedBytes } from '../../wire/x509/keyWitness.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { Clock } from '../ports/clock.ts';
import type {
  AuthorityRefusalCode,
  LdevidOutcome,
  LdevidRequest,
  SecretHolder,
  SecretOutcome,
  SecretRequest,
} from '../ports/enrolment.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { IssuanceStore, IssuedCertificate } from '../ports/issuanceStore.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { SessionLdevidRequest } from '../ports/sessionEnrolment.ts';
import type { OrderStore } from '../ports/orderStore.ts';
import type { ForeignElements } from './foreign.ts';
import {
  type EnrolmentGrants,
  type GrantOutcome,
  lostAnswerMs,
  unsignedRetryAfterS,
} from './grants.ts';
import type { Issuance, Issued, IssueRefusal, IssueRequest } from './issuance.ts';
import { type BirthUse, identifierOfKey } from './issuer.ts';
import { backdatingMs } from './prepare.ts';
import { isNativeTbs } from './nativeForm.ts';
import { birthProfiles, builtInProfiles } from './profiles.ts';
import { isAsAsked, type Living, Succession } from './succession.ts';

export interface CertificationOptions {
  readonly crypto: Crypto;
  readonly issuance: Issuance;
  readonly certificates: IssuanceStore;
  readonly units: Pick<OrderStore, 'unitByDevice' | 'ticket' | 'order'>;
  readonly foreign: ForeignElements;
  readonly grants: EnrolmentGrants;
  readonly clock: Clock;
  readonly verifier: ProofVerifier;
  /** Names of the profiles that elements are born with; without it those that come with Birthmark. */
  readonly births?: ReadonlySet<string>;
  /** For requests in C509; without it they are none. */
  readonly decompress?: PointDecompressor;
}

/** Another request of the device was faster, in this process or another one. */
const overtakenRetryAfterS = 2;

const ecdsaWithSha256 = signatureAlgorithmOids['ecdsa-with-SHA256'];

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
  readonly #births: ReadonlySet<string>;
  readonly #succession: Succession;

  constructor(options: CertificationOptions) {
    this.#options = options;
    this.#births = options.births ?? birthProfiles(builtInProfiles);
    this.#succession = new Succession({ ...options, births: this.#births });
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
    const content = { spki, name, ...(hosts.length > 0 ? { hosts } : {}) };
    const issued = await this.#issue({ profile, content });
    if (!isRefusal(issued)) return issued.certificate;
    return refuse(issued.refused === 'lint' ? 'lint' : 'rejected', issued.reason);
  }

  /**
   * As `certify`, for an act that is taken up again: what came of it since `sinceMs`, before whatever
   * stopped it, is the certificate, and no second one is made.
   */
  async certifyAgain(
    named: NamedRequest,
    sinceMs: number,
  ): Promise<Uint8Array | CertificationRefusal> {
    const request = await this.#proven(named.request);
    if (isRefusal(request)) return request;
    const { spki } = request.publicKey;
    const made = (await this.#options.certificates.certificatesOf(named.name))
      .filter(({ profile, revokedMs }) => {
        return profile.startsWith(`${named.profile}@`) && revokedMs === undefined;
      })
      .map(({ tbs, signature }) => completeEither(tbs, signature))
      .find((certificate) => {
        const { publicKey, notBeforeMs } = parseCertificate(certificate);
        return equal(publicKey.spki, spki) && notBeforeMs >= sinceMs - backdatingMs - 1_000;
      });
    return made ?? this.certify(named);
  }

  /** RFC 7030 §4.2: for a device that showed a certificate, which is judged anew here. */
  async certifyDevice(ldevid: LdevidRequest): Promise<LdevidOutcome> {
    const { deviceId, profile } = ldevid;
    if (!isDeviceId(deviceId)) return refuse('rejected', 'No device is called like that.');
    const shown = await this.#shownBy(ldevid);
    if (isRefusal(shown)) return shown;
    const spki = await this.#provenKey(ldevid.request, deviceId);
    if (isRefusal(spki)) return spki;
    const granted = await this.#options.grants.judge({
      deviceId,
      profile,
      keyIdentifier: identifierOfKey(this.#options.crypto, spki),
      ...shown,
    });
    return this.#issueGranted(granted, { profile, deviceId, spki, shown: shown.ldevid });
  }

  /**
   * For a device that was authenticated in a session of the provisioner. That is only heard: what counts
   * is that the request is signed by the key that was certified here for this device at birth, or by another
   * one that this key vouches for.
   */
  async certifyInSession(asked: SessionLdevidRequest): Promise<LdevidOutcome> {
    const { deviceId, profile } = asked;
    if (!isDeviceId(deviceId)) return refuse('rejected', 'No device is called like that.');
    const revoked = await this.#refusalOfRevoked(deviceId);
    if (revoked !== undefined) return revoked;
    const request = await this.#provenRequest(asked.request, deviceId);
    if (isRefusal(request)) return request;
    const { spki } = request.publicKey;
    // Who asks natively is answered natively (draft-ietf-cose-cbor-encoded-cert §4).
    const form = this.#formOf(asked.request);
    const issued = await this.#options.certificates.certificatesOf(deviceId);
    const birth = issued.filter((one) => this.#isBirth(one));
    const isDevices =
      birth.some((one) => this.#certifies(one, spki)) || (await this.#isWitnessed(request, birth));
    if (!isDevices) return refuse('rejected', 'The key was not certified here at birth.');
    const granted = await this.#options.grants.judge({
      deviceId,
      profile,
      keyIdentifier: identifierOfKey(this.#options.crypto, spki),
      cause: birth.length === issued.length ? 'first' : 'renewal',
      expiredForMs: 0,
    });
    return this.#issueGranted(granted, { profile, deviceId, spki, form });
  }

  /** Changes nothing: whether the device may enrol is asked elsewhere first. */
  async secretHolder(secret: string): Promise<SecretHolder | undefined> {
    const known = await this.#options.grants.secret(secret);
    return known === undefined ? undefined : { deviceId: known.deviceId, product: known.product };
  }

  /** RFC 7030 §3.2.3: for a device that has no certificate, and knows a secret that was made for it. */
  async certifyBySecret(asked: SecretRequest): Promise<SecretOutcome> {
    const { grants, crypto } = this.#options;
    const secret = await grants.secret(asked.secret);
    if (secret === undefined) return refuse('bad-secret', 'The secret opens nothing.');
    const { deviceId, profile } = secret;
    if (asked.profile !== undefined && profile !== asked.profile) {
      return refuse('rejected', `The secret is for profile ${profile}.`);
    }
    const revoked = await this.#refusalOfRevoked(deviceId);
    if (revoked !== undefined) return revoked;
    const spki = await this.#provenKey(asked.request, deviceId);
    if (isRefusal(spki)) return spki;
    const keyIdentifier = identifierOfKey(crypto, spki);
    // The first key that proves itself has the secret; whoever learns it later has nothing.
    const used = await grants.useSecret(secret, keyIdentifier);
    if (used === undefined) return refuse('bad-secret', 'The secret is bound to another key.');
    return this.#issueGranted(used, { profile, deviceId, spki });
  }

  #isBirth({ profile }: IssuedCertificate): boolean {
    return this.#births.has(profile.slice(0, profile.lastIndexOf('@')));
  }

  #certifies(issued: IssuedCertificate, spki: Uint8Array): boolean {
    return equal(this.#keyOf(issued), spki);
  }

  #keyOf(issued: IssuedCertificate): Uint8Array {
    return this.#read(issued).publicKey.spki;
  }

  #read({ tbs, signature }: IssuedCertificate): Certificate {
    const { decompress } = this.#options;
    const encoding = completeEither(tbs, signature);
    return decompress === undefined
      ? parseCertificate(encoding)
      : parseEitherCertificate(encoding, decompress).certificate;
  }

  #formOf(request: Uint8Array): 'der' | 'native' {
    const { decompress } = this.#options;
    if (decompress === undefined) return 'der';
    return parseEitherRequest(request, decompress).form === 'native' ? 'native' : 'der';
  }

  async #proven(der: Uint8Array): Promise<CertificationRequest | CertificationRefusal> {
    let request: CertificationRequest;
    try {
      const { decompress } = this.#options;
      request =
        decompress === undefined
          ? parseCertificationRequest(der)
          : parseEitherRequest(der, decompress).request;
      p256Point(request.publicKey.spki);
    } catch (error) {
      const isPeers = error instanceof MalformedError || error instanceof UnsupportedError;
      if (!isPeers) throw error;
      return refuse('malformed-request', error.message);
    }
    const { publicKey, signatureAlgorithm, info, signature } = request;
    const proven =
      signatureAlgorithm.oid === ecdsaWithSha256 &&
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

  /** What the certificate is that the device has shown, when it makes it that device. */
  async #shownBy(ldevid: LdevidRequest): Promise<Shown | Refusal<'rejected'>> {
    const { clock, foreign } = this.#options;
    const { deviceId } = ldevid;
    const shown = await this.#issuedBefore(ldevid.authenticatedBy);
    if (shown === undefined) {
      const refusal = await foreign.refusalOf(ldevid);
      return refusal ?? { cause: 'first', expiredForMs: 0, ldevid: undefined };
    }
    if (shown.holder !== deviceId) {
      return refuse('rejected', 'The certificate shown was issued for somebody else.');
    }
    if (shown.revokedMs !== undefined) return refuse('rejected', 'The certificate is revoked.');
    const refusal = await this.#refusalOfRevoked(deviceId);
    return (
      refusal ?? {
        cause: this.#isBirth(shown) ? 'first' : 'renewal',
        expiredForMs: clock.nowMs() - shown.notAfterMs,
        ldevid: this.#isBirth(shown) ? undefined : shown.serialNumber,
      }
    );
  }

  async #refusalOfRevoked(deviceId: string): Promise<Refusal<'rejected'> | undefined> {
    const { certificates, foreign, units } = this.#options;
    const revoked = await foreign.refusalOfRevoked(deviceId);
    if (revoked !== undefined) return revoked;
    const stopped = await certificates.stoppedOf(deviceId);
    if (stopped.some((one) => one.revokedMs !== undefined && this.#isBirth(one))) {
      return refuse('rejected', 'The identity from birth is revoked.');
    }
    if (stopped.some((one) => one.held)) return refuse('rejected', 'The device is on hold.');
    const unit = await units.unitByDevice(deviceId);
    return unit !== undefined && unit.state !== 'locked'
      ? refuse('rejected', `The element was never finished: it is ${unit.state}.`)
      : undefined;
  }

  /** DER of the key, proven by the request and nobody else's. */
  async #provenKey(
    der: Uint8Array,
    deviceId: string,
  ): Promise<Uint8Array | Refusal<AuthorityRefusalCode>> {
    const request = await this.#provenRequest(der, deviceId);
    return isRefusal(request) ? request : request.publicKey.spki;
  }

  async #provenRequest(
    der: Uint8Array,
    deviceId: string,
  ): Promise<CertificationRequest | Refusal<AuthorityRefusalCode>> {
    const request = await this.#proven(der);
    if (isRefusal(request)) {
      return refuse(request.refused === 'bad-proof' ? 'bad-proof' : 'rejected', request.reason);
    }
    return (await this.#refusalOfKey(request.publicKey.spki, deviceId)) ?? request;
  }

  /** Whether a key that was certified at birth vouches for the key of the request. */
  async #isWitnessed(
    { attributes, publicKey }: CertificationRequest,
    birth: readonly IssuedCertificate[],
  ): Promise<boolean> {
    const witness = keyWitnessOf(attributes);
    if (witness === undefined) return false;
    const data = witnessedBytes(publicKey.spki);
    const judged = birth.map((one) =>
      this.#options.verifier.verifyInPool(this.#keyOf(one), ecdsaWithSha256, data, witness),
    );
    return (await Promise.all(judged)).includes(true);
  }

  async #issueGranted(granted: GrantOutcome, asked: GrantedContent): Promise<LdevidOutcome> {
    if (isRefusal(granted) || 'retryAfterS' in granted) return granted;
    if ('spentOn' in granted) return this.#issuedOn(granted.spentOn, asked);
    const { profile, deviceId, spki, form = 'der', shown } = asked;
    const { grants } = granted;
    const content = { spki, name: deviceId };
    const use = this.#options.issuance.isShared(profile) ? await this.#useOf(deviceId) : undefined;
    const living = await this.#succession.livingOf(deviceId);
    const lost = grants.length === 0 ? this.#unanswered(living, asked) : undefined;
    if (lost !== undefined) return this.#again(lost, living);
    const replaces = this.#succession.replacement(living, shown);
    const issued = await this.#issue({ profile, content, grants, replaces, form, use });
    if (!isRefusal(issued)) {
      return { certificate: issued.certificate, beside: this.#succession.beside(living, shown) };
    }
    return issued.refused === 'overtaken'
      ? { retryAfterS: overtakenRetryAfterS }
      : refuse('rejected', issued.reason);
  }

  /** The newest, when it was made for the same request a while ago and the device has not shown it. */
  #unanswered(
    { certificates }: Living,
    { profile, spki, form = 'der', shown }: GrantedContent,
  ): IssuedCertificate | undefined {
    const newest = certificates.at(-1);
    if (newest === undefined || !isAsAsked(newest, { profile, form })) return undefined;
    if (shown !== undefined && equal(newest.serialNumber, shown)) return undefined;
    const { publicKey, notBeforeMs, notAfterMs } = this.#read(newest);
    const issuedMs = notBeforeMs + backdatingMs;
    // Of a short life a third: a device that keeps its key asks for the next one well after that.
    const isRecent =
      this.#options.clock.nowMs() - issuedMs < Math.min(lostAnswerMs, (notAfterMs - issuedMs) / 3);
    return isRecent && equal(publicKey.spki, spki) ? newest : undefined;
  }

  #again(issued: IssuedCertificate, living: Living): LdevidOutcome {
    const certificate = completeEither(issued.tbs, issued.signature);
    return { certificate, beside: this.#succession.others(living, issued) };
  }

  /** By this authority's own records: of its births, and of those that it has bound. */
  async #useOf(deviceId: string): Promise<BirthUse | undefined> {
    const { units, foreign } = this.#options;
    const unit = await units.unitByDevice(deviceId);
    if (unit === undefined) {
      const product = await foreign.productOf(deviceId);
      return product === undefined ? undefined : { product, batch: '' };
    }
    const ticket = await units.ticket(unit.ticketId);
    const order = ticket && (await units.order(ticket.order));
    return order && ticket && { product: order.product, batch: ticket.batch };
  }

  /** The answer got lost: the same key gets the same certificate, and nothing new is made. */
  async #issuedOn(
    serialNumber: Uint8Array,
    { deviceId, spki, form = 'der' }: GrantedContent,
  ): Promise<LdevidOutcome> {
    const issued = await this.#options.certificates.certificateBySerial(serialNumber);
    if (issued === undefined) return { retryAfterS: unsignedRetryAfterS };
    if (issued.revokedMs !== undefined) return refuse('rejected', 'The certificate is revoked.');
    const isSameForm = isNativeTbs(issued.tbs) === (form === 'native');
    return isSameForm && this.#certifies(issued, spki)
      ? this.#again(issued, await this.#succession.livingOf(deviceId))
      : refuse('rejected', 'The certificate is for another key.');
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

  async #issue(request: IssueRequest): Promise<Issued | IssueRefusal> {
    const [outcome] = await this.#options.issuance.issue([request]);
    if (outcome === undefined) throw new InvariantError('a request got no outcome');
    return outcome;
  }
}

/** DER of the key in a request of PKCS#10, not yet proven. */
export function keyOfRequest(der: Uint8Array): Uint8Array | Refusal<'malformed-request'> {
  try {
    return parseCertificationRequest(der).publicKey.spki;
  } catch (error) {
    if (!(error instanceof MalformedError) && !(error instanceof UnsupportedError)) throw error;
    return refuse('malformed-request', 'The request cannot be read.');
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

/** How a device was authenticated. */
interface Shown {
  readonly cause: 'first' | 'renewal';
  /** 0 or less while the certificate is valid. */
  readonly expiredForMs: number;
  /** Serial number of the LDevID that it was. */
  readonly ldevid: Uint8Array | undefined;
}

/** 80 bits in lower-case Crockford base32. */
export function isDeviceId(name: string): boolean {
  return /^[0-9a-hjkmnp-tv-z]{16}$/.test(name);
}

interface GrantedContent {
  readonly profile: string;
  readonly deviceId: string;
  readonly spki: Uint8Array;
  /** X.509 unless the request was native C509. */
  readonly form?: 'der' | 'native';
  /** Serial number of the LDevID that the device has shown. */
  readonly shown?: Uint8Array | undefined;
}
