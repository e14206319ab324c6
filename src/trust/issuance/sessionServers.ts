/**
 * Credentials of session servers (docs/server-identity.md): each with the next generation of its server and
 * the present floor, and, as long as it counts, a signed word for whoever shows it.
 */
import { equal, equalConstantTime } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import {
  completeEither,
  parseEitherCertificate,
  parseEitherRequest,
} from '../../wire/c509/either.ts';
import {
  possessionHash,
  possessionKeyOf,
  possessionMac,
  readPossessionProof,
} from '../../wire/c509/possession.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import type { Crypto, EphemeralKey } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { encodeStatus, statusToBeSigned } from '../../wire/edhoc/serverStatus.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import type { CertificationRequest } from '../../wire/x509/certificationRequest.ts';
import type { Name } from '../../wire/x509/model.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { decodeServerGeneration } from '../../wire/x509/serverGeneration.ts';
import { findExtension } from '../../wire/x509/extensions.ts';
import type { Clock } from '../ports/clock.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import { isLost, type IssuanceStore, type IssuedCertificate } from '../ports/issuanceStore.ts';
import type { ProofVerifier, Signer } from '../ports/keys.ts';
import type {
  CredentialStanding,
  FloorDesk,
  FloorView,
  LiveCredential,
  ServerGenerations,
  SessionServerAuthority,
  SessionServerCredential,
  SessionServerRefusalCode,
  SessionServerRequest,
} from '../ports/sessionServerAuthority.ts';
import { serialMagnitude } from './certification.ts';
import type { Issuance } from './issuance.ts';
import { identifierOfKey } from './issuer.ts';
import { builtInProfiles } from './profiles.ts';
import type { GenerationCounter } from './serverGenerations.ts';

export interface SessionServerOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly decompress: PointDecompressor;
  readonly issuance: Issuance;
  readonly certificates: IssuanceStore;
  readonly generations: GenerationCounter;
  readonly verifier: ProofVerifier;
  /** Of the authority that issues them. */
  readonly issuerName: Name;
  /** P-256, and used for nothing else: a handshake of anybody makes it sign. */
  readonly statusSigner: Signer;
}

/** Proofs that are open at a time; the oldest makes room. */
const maximumOpenProofs = 16;
const proofLifetimeMs = 60_000;
const hashBytes = 32;

export class SessionServers implements SessionServerAuthority, FloorDesk {
  readonly #options: SessionServerOptions;
  /** By public key, in hexadecimal. */
  readonly #proofs = new Map<string, { readonly key: EphemeralKey; readonly endsMs: number }>();

  constructor(options: SessionServerOptions) {
    this.#options = options;
  }

  async openProof(): Promise<Uint8Array> {
    const { crypto, clock } = this.#options;
    const key = crypto.generateKeyPair('P-256');
    const point = crypto.publicPoint(key);
    const [oldest] = this.#proofs.keys();
    if (oldest !== undefined && this.#proofs.size >= maximumOpenProofs) this.#proofs.delete(oldest);
    this.#proofs.set(toHex(point), { key, endsMs: clock.nowMs() + proofLifetimeMs });
    return point;
  }

  async issueSessionServer(
    asked: SessionServerRequest,
  ): Promise<SessionServerCredential | Refusal<SessionServerRefusalCode>> {
    const { issuance, generations, statusSigner } = this.#options;
    const request = this.#parse(asked.request);
    if (isRefusal(request)) return request;
    const profile = await this.#profileProven(request, asked.challenge);
    if (profile === undefined) return refuse('bad-proof', 'The key of the request is not proven.');
    const { spki } = request.publicKey;
    const taken = await this.#refusalOf(asked.name, spki);
    if (taken !== undefined) return taken;
    const counted = await generations.take(asked.name);
    if (isRefusal(counted)) return counted;
    const generation = { ...counted, statusKey: compressed(statusSigner.publicKeySpki) };
    const content = { spki, name: asked.name, generation };
    const [issued] = await issuance.issue([{ profile, content, form: asked.form }]);
    if (issued === undefined) return refuse('rejected', 'Nothing was issued.');
    if (!isRefusal(issued)) return { certificate: issued.certificate, ...counted };
    return refuse(issued.refused === 'lint' ? 'lint' : 'rejected', issued.reason);
  }

  async standing(certificate: Uint8Array): Promise<CredentialStanding> {
    const { floor } = await this.#options.generations.present();
    const known = await this.#known(certificate);
    return { floor, counts: known !== undefined && known.generation >= floor };
  }

  async vouch(
    certificate: Uint8Array,
    hashOfMessage1: Uint8Array,
  ): Promise<Uint8Array | Refusal<'rejected'>> {
    const { crypto, clock, statusSigner } = this.#options;
    if (hashOfMessage1.length !== hashBytes) return refuse('rejected', 'That is no hash.');
    const { floor, counts } = await this.standing(certificate);
    if (!counts) return refuse('rejected', 'The credential does not count.');
    const word = { timeS: Math.floor(clock.nowMs() / 1000), floor };
    const certificateSha256 = crypto.hash('SHA-256', certificate);
    const signature = await statusSigner.sign(
      statusToBeSigned(word, { hashOfMessage1, certificateSha256 }),
    );
    return encodeStatus({ ...word, signature: fixedSignature(signature, coordinateBytes) });
  }

  async generations(): Promise<FloorView> {
    const present = await this.#options.generations.present();
    const credentials: LiveCredential[] = [];
    for (const { name } of present.servers) credentials.push(...(await this.#liveOf(name)));
    return { ...present, credentials };
  }

  raiseFloor(floor: number): Promise<ServerGenerations | Refusal<'rejected'>> {
    return this.#options.generations.raiseFloor(floor);
  }

  async #liveOf(server: string): Promise<readonly LiveCredential[]> {
    const { certificates, crypto, clock } = this.#options;
    const live: LiveCredential[] = [];
    const issued = await certificates.certificatesOf(server);
    for (const { tbs, signature } of issued.filter((one) => isAlive(one, clock.nowMs()))) {
      const encoding = completeEither(tbs, signature);
      const known = await this.#known(encoding);
      if (known === undefined) continue;
      const { profile, generation, notAfterMs } = known;
      const sha256 = crypto.hash('SHA-256', encoding);
      live.push({ server, profile, generation, sha256, notAfterMs });
    }
    return live;
  }

  #parse(bytes: Uint8Array): CertificationRequest | Refusal<'malformed-request'> {
    try {
      const { request } = parseEitherRequest(bytes, this.#options.decompress);
      p256Point(request.publicKey.spki);
      return request;
    } catch (error) {
      if (!isPeers(error)) throw error;
      return refuse('malformed-request', error.message);
    }
  }

  /** What the proof says that the key can do, which is all that it is certified for. */
  async #profileProven(
    request: CertificationRequest,
    challenge: Uint8Array | undefined,
  ): Promise<'session-server' | 'session-signer' | undefined> {
    const { signatureAlgorithm, publicKey, info, signature } = request;
    if (possessionHash(signatureAlgorithm) === 'SHA-256') {
      return this.#isAgreed(request, challenge) ? 'session-server' : undefined;
    }
    const { oid } = signatureAlgorithm;
    if (oid !== signatureAlgorithmOids['ecdsa-with-SHA256']) return undefined;
    const { verifier } = this.#options;
    const signed = await verifier.verifyInPool(publicKey.spki, oid, info, signature);
    return signed ? 'session-signer' : undefined;
  }

  #isAgreed(
    { publicKey, info, signature }: CertificationRequest,
    challenge: Uint8Array | undefined,
  ): boolean {
    const { crypto, clock, issuerName } = this.#options;
    const id = challenge === undefined ? '' : toHex(challenge);
    const open = this.#proofs.get(id);
    // One proof each: the next one has another key.
    this.#proofs.delete(id);
    const peer = crypto.importPublicKey('P-256', p256Point(publicKey.spki));
    if (open === undefined || open.endsMs < clock.nowMs() || peer === undefined) return false;
    const secret = crypto.agree(open.key, peer);
    if (secret === undefined) return false;
    const mac = possessionMac(crypto, possessionKeyOf(crypto, secret), {
      hash: 'SHA-256',
      verifierSubject: issuerName,
      verifierIssuer: issuerName,
      toBeSigned: info,
    });
    try {
      return equalConstantTime(mac, readPossessionProof(signature).mac);
    } catch (error) {
      if (error instanceof MalformedError) return false;
      throw error;
    }
  }

  async #refusalOf(
    name: string,
    spki: Uint8Array,
  ): Promise<Refusal<'key-taken' | 'rejected'> | undefined> {
    const { crypto, certificates } = this.#options;
    // Devices are found by their holder too: nobody else may be called like one.
    if (name.length === 0 || name.length > 64 || /^[0-9a-hjkmnp-tv-z]{16}$/.test(name)) {
      return refuse('rejected', 'The name is empty, too long, or has the form of a device id.');
    }
    const holder = await certificates.holderOfKey(identifierOfKey(crypto, spki));
    return holder === undefined || holder === name
      ? undefined
      : refuse('key-taken', 'The key is certified for somebody else.');
  }

  /** `undefined` for what was not issued here, octet for octet, or counts no more. */
  async #known(
    certificate: Uint8Array,
  ): Promise<(IssuedCertificate & { readonly generation: number }) | undefined> {
    const { certificates, clock, decompress } = this.#options;
    let generation: number | undefined;
    let magnitude: Uint8Array | undefined;
    try {
      const read = parseEitherCertificate(certificate, decompress).certificate;
      magnitude = serialMagnitude(read.serialNumber);
      for (const { generationOid } of builtInProfiles.values()) {
        const found = generationOid && findExtension(read.extensions, generationOid);
        if (found) generation = decodeServerGeneration(found.value).generation;
      }
    } catch (error) {
      if (!isPeers(error)) throw error;
    }
    if (magnitude === undefined || generation === undefined) return undefined;
    const issued = await certificates.certificateBySerial(magnitude);
    if (issued === undefined || !isAlive(issued, clock.nowMs())) return undefined;
    const same = equal(completeEither(issued.tbs, issued.signature), certificate);
    return same ? { ...issued, generation } : undefined;
  }
}

const coordinateBytes = 32;

/** Of a certificate that only the log knows there is nothing to compare with. */
function isAlive(issued: IssuedCertificate, nowMs: number): boolean {
  const { revokedMs, held, notAfterMs } = issued;
  return revokedMs === undefined && !held && notAfterMs >= nowMs && !isLost(issued);
}

function isPeers(error: unknown): error is MalformedError | UnsupportedError {
  return error instanceof MalformedError || error instanceof UnsupportedError;
}

/** SEC 1 §2.3.3, from an SPKI of a P-256 key. */
function compressed(spki: Uint8Array): Uint8Array {
  const point = p256Point(spki);
  const short = point.slice(0, 1 + coordinateBytes);
  short[0] = 2 + ((point[2 * coordinateBytes] ?? 0) & 1);
  return short;
}
