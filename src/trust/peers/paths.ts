/**
 * Builds and verifies a certification path (RFC 5280 §6) from a peer's certificate to an anchor. Our own
 * word on a peer: what a TLS library reports is the first thing that it happened to find wrong.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import {
  decodeAuthorityKeyIdentifier,
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { sameName } from '../../wire/x509/names.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { CertificateKind } from '../ports/registryStore.ts';
import { breachOfPath, type KeyUse, type RuleRefusal } from './pathRules.ts';

/** Certificates of a path, peer and anchor included. */
export const maximumPathLength = 6;
/** Signatures that are tried for one peer: what a crafted chain can cost. */
export const maximumSignatureChecks = 16;

/** An authority that a door trusts, and for what. */
export interface TrustAnchor {
  readonly certificate: Certificate;
  /** Kinds of certificates that this authority vouches for at this door. */
  readonly kinds: readonly CertificateKind[];
  /**
   * How long after its end a path is still taken when all else holds; 0 by default, infinity where the
   * registry alone decides. A path that has not begun is never taken.
   */
  readonly expiryGraceMs?: number;
}

export interface PathRules {
  /** Several while one authority takes over from another. */
  readonly anchors: readonly TrustAnchor[];
  /** Issuing authorities that peers need not send. */
  readonly intermediates: readonly Certificate[];
  /** What the peer does with its key; by default it signs, as in TLS. */
  readonly keyUse?: KeyUse;
}

export type PathRefusal =
  | RuleRefusal
  | 'malformed'
  | 'unknown-issuer'
  | 'bad-signature'
  | 'too-much-work'
  | 'not-yet-valid'
  | 'expired';

export interface VerifiedPath {
  /** The peer's certificate first, the anchor's last. */
  readonly certificates: readonly Certificate[];
  readonly anchor: TrustAnchor;
  /** Past its end, and taken within the anchor's grace. */
  readonly expired: boolean;
}

/**
 * `chain` is what the peer sent, its own certificate first; the others are only candidates. Among several
 * paths one within its dates is preferred. Dates are judged when everything else holds, so that `expired`
 * says that nothing else is wrong.
 */
export function verifyPath(
  chain: readonly Certificate[],
  rules: PathRules,
  verifier: SignatureVerifier,
  nowMs: number,
): VerifiedPath | Refusal<PathRefusal> {
  const [peer, ...sent] = chain;
  if (peer === undefined) return refuse('malformed', 'no certificate');
  const search = new Search(rules, sent, verifier, nowMs);
  try {
    return search.from(peer);
  } catch (error) {
    // Extensions are decoded while they are judged.
    if (error instanceof MalformedError) return refuse('malformed', error.message);
    throw error;
  }
}

/** How far a candidate came before it failed; the farthest is what is reported. */
const ranks: Readonly<Record<PathRefusal, number>> = {
  malformed: 0,
  'unknown-issuer': 0,
  'bad-signature': 1,
  'too-much-work': 2,
  'unknown-critical-extension': 3,
  'not-an-authority': 3,
  'authority-as-peer': 3,
  'path-too-long': 3,
  'name-excluded': 3,
  'wrong-purpose': 3,
  'not-yet-valid': 4,
  expired: 5,
};

class Search {
  readonly #rules: PathRules;
  readonly #intermediates: readonly Certificate[];
  readonly #verifier: SignatureVerifier;
  readonly #nowMs: number;
  #checksLeft = maximumSignatureChecks;
  #refusal: Refusal<PathRefusal> = refuse('unknown-issuer', 'no path to an authority of this door');
  #late: VerifiedPath | undefined;

  constructor(
    rules: PathRules,
    sent: readonly Certificate[],
    verifier: SignatureVerifier,
    nowMs: number,
  ) {
    this.#rules = rules;
    this.#intermediates = [...rules.intermediates, ...sent];
    this.#verifier = verifier;
    this.#nowMs = nowMs;
  }

  from(peer: Certificate): VerifiedPath | Refusal<PathRefusal> {
    return this.#extend([peer]) ?? this.#late ?? this.#refusal;
  }

  /** `path` starts with the peer; every signature in it was verified but the last one's. */
  #extend(path: readonly Certificate[]): VerifiedPath | undefined {
    const [last] = path.slice(-1);
    if (last === undefined || path.length >= maximumPathLength) {
      this.#note(refuse('path-too-long', `more than ${maximumPathLength} certificates`));
      return undefined;
    }
    for (const anchor of this.#rules.anchors) {
      if (!this.#isIssuer(anchor.certificate, last)) continue;
      const found = this.#conclude([...path, anchor.certificate], anchor);
      if (found !== undefined) return found;
    }
    for (const issuer of this.#intermediates) {
      // A certificate stands in a path once, or two authorities could lead us in circles.
      if (path.some(({ der }) => equal(der, issuer.der))) continue;
      if (!this.#isIssuer(issuer, last)) continue;
      const found = this.#extend([...path, issuer]);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** By name, by key identifier where both have one, and by signature. */
  #isIssuer(issuer: Certificate, subject: Certificate): boolean {
    if (!sameName(issuer.subject, subject.issuer)) return false;
    if (!identifiersAgree(issuer, subject)) return false;
    if (this.#checksLeft === 0) {
      this.#note(refuse('too-much-work', `more than ${maximumSignatureChecks} signatures to try`));
      return false;
    }
    this.#checksLeft -= 1;
    const { tbs, signature, signatureAlgorithm } = subject;
    const { spki } = issuer.publicKey;
    if (this.#verifier.verify(spki, signatureAlgorithm.oid, tbs, signature)) return true;
    this.#note(refuse('bad-signature', 'a signature was not made by the issuer that is named'));
    return false;
  }

  /** A path within its dates ends the search; one past its end is kept in case that nothing better comes. */
  #conclude(certificates: readonly Certificate[], anchor: TrustAnchor): VerifiedPath | undefined {
    const breach = breachOfPath([...certificates].reverse(), anchor.kinds, this.#rules.keyUse);
    if (breach !== undefined) {
      this.#note(breach);
      return undefined;
    }
    const begin = Math.max(...certificates.map(({ notBeforeMs }) => notBeforeMs));
    const end = Math.min(...certificates.map(({ notAfterMs }) => notAfterMs));
    if (this.#nowMs < begin) {
      this.#note(refuse('not-yet-valid', 'a certificate of the path is not valid yet'));
      return undefined;
    }
    if (this.#nowMs <= end) return { certificates, anchor, expired: false };
    if (this.#nowMs - end <= (anchor.expiryGraceMs ?? 0)) {
      this.#late ??= { certificates, anchor, expired: true };
    } else {
      this.#note(refuse('expired', 'a certificate of the path has expired'));
    }
    return undefined;
  }

  #note(refusal: Refusal<PathRefusal>): void {
    if (ranks[refusal.refused] > ranks[this.#refusal.refused]) this.#refusal = refusal;
  }
}

function identifiersAgree(issuer: Certificate, subject: Certificate): boolean {
  const named = findExtension(subject.extensions, extensionOids.authorityKeyIdentifier);
  const own = findExtension(issuer.extensions, extensionOids.subjectKeyIdentifier);
  if (named === undefined || own === undefined) return true;
  const identifier = decodeAuthorityKeyIdentifier(named.value);
  return identifier === undefined || equal(identifier, decodeSubjectKeyIdentifier(own.value));
}
