/**
 * The one way from a certificate to a peer that is acted for: a verified path, then the exact
 * certificate in the registry, active and of a kind that its authority vouches for at this door.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import type { Clock } from '../ports/clock.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { CertificateRegistry } from '../ports/peers.ts';
import type { CertificateKind, CertificateRecord } from '../ports/registryStore.ts';
import { knownExtensions } from './knownExtensions.ts';
import { servesAs } from './pathRules.ts';
import { type PathRefusal, type PathRules, type VerifiedPath, verifyPath } from './paths.ts';

/** Certificates of a peer that are looked at. */
export const maximumChainLength = 5;

export type PeerRefusal =
  | PathRefusal
  | 'no-certificate'
  | 'unknown-certificate'
  | 'wrong-kind'
  | 'held'
  | 'superseded'
  | 'revoked';

/** Held by this module alone, so that nobody else can make a `VerifiedPeer`. */
const seal: unique symbol = Symbol('verified');

/** Somebody whose certificate was verified and found active in the registry. Only `PeerVerifier` makes one. */
export class VerifiedPeer {
  readonly kind: CertificateKind;
  /** A deviceId for devices, else the name that the kind makes unique. */
  readonly holder: string;
  /** Over the whole DER certificate. */
  readonly sha256: Uint8Array;
  /** The same in lower-case hexadecimal. */
  readonly certificateSha256: string;
  /** Until when the door takes this certificate, grace included; `undefined` for no end. */
  readonly notAfterMs: number | undefined;
  /** Past the end of its path, and taken within the grace of its authority. */
  readonly expired: boolean;
  /** DER of the authorities above it, up to the anchor. */
  readonly issuers: readonly Uint8Array[];
  /** Private, so that no other object is of this type. */
  readonly #certificate: Certificate;

  constructor(made: typeof seal, record: CertificateRecord, path: VerifiedPath, leaf: Certificate) {
    if (made !== seal) throw new TypeError('a verified peer comes from PeerVerifier alone');
    this.kind = record.kind;
    this.holder = record.holder;
    this.sha256 = record.sha256;
    this.certificateSha256 = toHex(record.sha256);
    this.notAfterMs = endOf(path);
    this.expired = path.expired;
    this.issuers = path.certificates.slice(1).map(({ der }) => der);
    this.#certificate = leaf;
  }

  get certificate(): Certificate {
    return this.#certificate;
  }
}

function endOf({ certificates, anchor }: VerifiedPath): number | undefined {
  const end = Math.min(...certificates.map(({ notAfterMs }) => notAfterMs));
  const lastMs = end + (anchor.expiryGraceMs ?? 0);
  return lastMs < noExpirationMs ? lastMs : undefined;
}

export interface PeerVerifierPorts {
  readonly registry: CertificateRegistry;
  readonly verifier: SignatureVerifier;
  readonly clock: Clock;
  readonly sha256: (data: Uint8Array) => Uint8Array;
  /** Where peers may also come with C509 (RFC 9528; never over TLS). */
  readonly decompress?: PointDecompressor;
}

/** Verifies the peers of one door. */
export class PeerVerifier {
  readonly #ports: PeerVerifierPorts;
  readonly #rules: () => PathRules;

  /** `rules` are asked for at every peer: an anchor that is removed counts from the next connection on. */
  constructor(ports: PeerVerifierPorts, rules: () => PathRules) {
    this.#ports = ports;
    this.#rules = rules;
  }

  /**
   * `chain`: as the peer sent it, its own certificate first. Rejects only where the registry does.
   * To be asked on every connection, resumed or not: nothing is remembered here.
   */
  async verifyPeer(chain: readonly Uint8Array[]): Promise<VerifiedPeer | Refusal<PeerRefusal>> {
    const { registry, verifier, clock, sha256, decompress } = this.#ports;
    const certificates = parseChain(chain, decompress);
    if (isRefusal(certificates)) return certificates;
    const [certificate] = certificates;
    if (certificate === undefined) return refuse('no-certificate', 'the peer sent no certificate');
    const rules = this.#rules();
    const path = verifyPath(certificates, rules, verifier, clock.nowMs());
    if (isRefusal(path)) return path;
    const record = await registry.certificate(sha256(certificate.der));
    if (record === undefined) {
      return refuse('unknown-certificate', 'the certificate is not in the registry');
    }
    const refusal = refusalOf(record, path, certificate, rules.keyUse);
    return refusal ?? new VerifiedPeer(seal, record, path, certificate);
  }
}

function parseChain(
  chain: readonly Uint8Array[],
  decompress: PointDecompressor | undefined,
): readonly Certificate[] | Refusal<PeerRefusal> {
  try {
    return chain
      .slice(0, maximumChainLength)
      .map((one) =>
        decompress === undefined
          ? parseCertificate(one)
          : parseEitherCertificate(one, decompress).certificate,
      );
  } catch (error) {
    if (error instanceof UnsupportedError) return refuse('malformed', error.message);
    if (error instanceof MalformedError) return refuse('malformed', error.message);
    throw error;
  }
}

function refusalOf(
  record: CertificateRecord,
  { anchor }: VerifiedPath,
  certificate: Certificate,
  keyUse: PathRules['keyUse'],
): Refusal<PeerRefusal> | undefined {
  const { state, kind } = record;
  if (state !== 'active') return refuse(state, `the certificate is ${state}`);
  const vouchedFor =
    anchor.kinds.includes(kind) && servesAs(knownExtensions(certificate), kind, keyUse);
  return vouchedFor
    ? undefined
    : refuse('wrong-kind', `a certificate of kind ${kind}, not for here`);
}
