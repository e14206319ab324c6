/**
 * The gate before every signature. A prepared certificate is read back from its own bytes and held
 * against the rules of RFC 5280 and of its profile; only what passes becomes a `LintedTbs`, and nothing
 * else can be signed.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { type DerReader, readDer } from '../../wire/der/reader.ts';
import { contextConstructed } from '../../wire/der/tags.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { encodeCertificate } from '../../wire/x509/certificateWriter.ts';
import * as extensions from '../../wire/x509/extensions.ts';
import { findHardwareModuleName } from '../../wire/x509/generalNames.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import { identifierIn, type Issuer } from './issuer.ts';
import { extension, type LintSubject, type Rule } from './lints/rule.ts';
import { rules } from './lints/rules.ts';
import type { Siblings } from './lints/siblings.ts';
import { derTbsOf, isNativeTbs, nativeTbsOf } from './nativeForm.ts';
import type { Profile } from './profile.ts';

export interface LintInput {
  readonly tbs: Uint8Array;
  readonly profile: Profile;
  readonly issuer: Issuer;
  /** When the certificate was prepared: dates are judged as of then. */
  readonly nowMs: number;
  /** Where certificates are issued natively as C509 too. */
  readonly decompress?: PointDecompressor | undefined;
}

export interface Finding {
  readonly rule: string;
  readonly clause: string;
  readonly fault: string;
}

/** Proof that these bytes passed every rule. Made by `lint` alone. */
export class LintedTbs {
  readonly #tbs: Uint8Array;
  readonly #issuer: Issuer;
  readonly #profile: Profile;

  constructor(token: typeof passed, { tbs, issuer, profile }: LintInput) {
    if (token !== passed) throw new TypeError('only the lints make a LintedTbs');
    this.#tbs = tbs;
    this.#issuer = issuer;
    this.#profile = profile;
  }

  get tbs(): Uint8Array {
    return this.#tbs;
  }

  get issuer(): Issuer {
    return this.#issuer;
  }

  get profile(): Profile {
    return this.#profile;
  }
}

const passed: unique symbol = Symbol('passed every lint');

export type LintRefusal = Refusal<'lint'>;

/** `siblings` spare the reading of what differs from an earlier certificate in a few values only. */
export function lint(
  crypto: Crypto,
  input: LintInput,
  siblings?: Siblings,
): LintedTbs | LintRefusal {
  if (isNativeTbs(input.tbs)) return lintNative(crypto, input);
  const sibling = siblings?.resembling(crypto, input);
  const [first] = sibling === undefined ? findings(crypto, input, siblings) : broken(sibling);
  if (first === undefined) return new LintedTbs(passed, input);
  return refuse('lint', `${first.fault} (${first.rule}: ${first.clause})`);
}

/**
 * A natively signed certificate says the same as an X.509 certificate would: that one is read from its own
 * bytes and judged, and has to give back these very bytes, so that nothing in them was left unjudged.
 */
function lintNative(crypto: Crypto, input: LintInput): LintedTbs | LintRefusal {
  const { tbs, issuer, decompress } = input;
  if (decompress === undefined) return refuse('lint', 'C509 is not issued here');
  let first: Finding | undefined;
  try {
    const der = derTbsOf(tbs, decompress);
    [first] = findings(crypto, { ...input, tbs: der });
    if (first === undefined && !equal(nativeTbsOf(der, issuer.signatureAlgorithm), tbs)) {
      return refuse('lint', 'the C509 certificate says more, or less, than its X.509 form');
    }
  } catch (error) {
    if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
    return refuse('lint', error.message);
  }
  if (first === undefined) return new LintedTbs(passed, input);
  return refuse('lint', `${first.fault} (${first.rule}: ${first.clause})`);
}

/** Everything that is wrong; bytes that cannot be read are one finding. */
export function findings(crypto: Crypto, input: LintInput, siblings?: Siblings): Finding[] {
  let subject: LintSubject;
  try {
    subject = readSubject(crypto, input);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return [{ rule: 'encoding', clause: 'X.690 §10, RFC 5280 §4.1', fault: error.message }];
  }
  const found = broken(subject);
  if (found.length === 0) siblings?.learn(subject);
  return found;
}

function broken(subject: LintSubject): Finding[] {
  const found: Finding[] = [];
  for (const rule of rules) {
    const fault = faultOf(rule, subject);
    if (fault !== undefined) found.push({ rule: rule.id, clause: rule.clause, fault });
  }
  return found;
}

/** A rule may have to read further into a value: what it cannot read is a fault as well. */
function faultOf(rule: Rule, subject: LintSubject): string | undefined {
  try {
    return rule.fault(subject);
  } catch (error) {
    if (error instanceof MalformedError) return error.message;
    throw error;
  }
}

function readSubject(crypto: Crypto, { tbs, profile, issuer, nowMs }: LintInput): LintSubject {
  // The reader wants a whole certificate; an empty signature stands where the real one will. It also holds
  // the algorithm inside against the issuer's (RFC 5280 §4.1.1.2).
  const unsigned = encodeCertificate(tbs, issuer.signatureAlgorithm, noSignature);
  const certificate = parseCertificate(unsigned);
  const decoded = <Value>(oid: string, decode: (value: Uint8Array) => Value): Value | undefined => {
    const found = extension({ certificate }, oid);
    return found === undefined ? undefined : decode(found.value);
  };
  const oids = extensions.extensionOids;
  const alternativeNames = decoded(oids.subjectAltName, extensions.decodeSubjectAltName);
  return {
    certificate,
    profile,
    issuer,
    nowMs,
    crypto,
    dateTags: readDer(tbs, readDateTags),
    basicConstraints: decoded(oids.basicConstraints, extensions.decodeBasicConstraints),
    keyUsage: decoded(oids.keyUsage, extensions.decodeKeyUsage),
    keyPurposes: decoded(oids.extKeyUsage, extensions.decodeExtKeyUsage),
    alternativeNames,
    hardwareModule:
      alternativeNames === undefined ? undefined : findHardwareModuleName(alternativeNames),
    nameConstraints: decoded(oids.nameConstraints, extensions.decodeNameConstraints),
    subjectKeyIdentifier: decoded(oids.subjectKeyIdentifier, extensions.decodeSubjectKeyIdentifier),
    authorityKeyIdentifier: decoded(
      oids.authorityKeyIdentifier,
      extensions.decodeAuthorityKeyIdentifier,
    ),
    keyIdentifier: identifierIn(profile, crypto, certificate.publicKey.key),
  };
}

const noSignature = new Uint8Array(0);

function readDateTags(reader: DerReader): readonly [number, number] {
  return reader.sequence((tbs) => {
    tbs.optional(contextConstructed(0), (version) => version.element());
    for (let count = 0; count < serialAlgorithmAndIssuer; count++) tbs.element();
    const dateTags = tbs.sequence((dates) => {
      const notBefore = dates.peek() ?? 0;
      dates.element();
      const notAfter = dates.peek() ?? 0;
      dates.element();
      return [notBefore, notAfter] as const;
    });
    while (!tbs.atEnd) tbs.element();
    return dateTags;
  });
}

const serialAlgorithmAndIssuer = 3;
