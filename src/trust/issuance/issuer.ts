/** An authority that issues: its certificate's facts and the key behind them. */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { encodeSignatureAlgorithm } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeBasicConstraints,
  decodeNameConstraints,
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
  type NameConstraints,
} from '../../wire/x509/extensions.ts';
import type { Name } from '../../wire/x509/model.ts';
import { attributeText, parseName } from '../../wire/x509/names.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import type { Signer } from '../ports/keys.ts';
import type { Distribution } from './distribution.ts';
import type { IssuerRole, Profile } from './profile.ts';

/** What an element is born for: it decides which of several authorities certifies it, then and later. */
export interface BirthUse {
  readonly product: string;
  readonly batch: string;
}

/** With what, as its order says. */
export interface Birth extends BirthUse {
  readonly profile: string;
}

/** Of an authority that is not for every birth: one name that fits is enough. */
export interface Serves {
  readonly products: readonly string[];
  readonly batches: readonly string[];
}

/**
 * Of those that issue, in their order: the one for this batch, else for this product, else the first that is
 * for everything.
 */
export function issuerFor<One extends Pick<Issuer, 'serves'>>(
  issuers: readonly One[],
  use: BirthUse | undefined,
): One | undefined {
  const everything = issuers.find(({ serves }) => serves === undefined);
  if (use === undefined) return everything;
  return (
    issuers.find(({ serves }) => serves?.batches.includes(use.batch)) ??
    issuers.find(({ serves }) => serves?.products.includes(use.product)) ??
    everything
  );
}

/** Of those that issue: whose certificates the profile's are, of the vendor that it names. */
export function issuersOf(
  { issuedBy, matter }: Profile,
  issuers: readonly Issuer[],
): readonly Issuer[] {
  const ofRole = issuers.filter(({ role }) => issuedBy.includes(role));
  const wanted = matter?.vendorId;
  if (wanted === undefined) return ofRole;
  return ofRole.filter(
    ({ subject }) => (attributeText(subject, 'matterVendorId') ?? wanted) === wanted,
  );
}

export interface Issuer {
  readonly role: IssuerRole;
  /** Of this key among all of its role: what it issues, its lists and its responder are known by it. */
  readonly name: string;
  readonly subject: Name;
  readonly keyIdentifier: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly pathLength: number | undefined;
  /** Names that it may certify; absent for all. */
  readonly nameConstraints?: NameConstraints | undefined;
  /** DER of the AlgorithmIdentifier of its signatures. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signer: Signer;
  /** Absent where its certificates do not say where their status is found. */
  readonly distribution?: Distribution | undefined;
  /** Absent for one that issues whatever nobody else is for. */
  readonly serves?: Serves | undefined;
}

/**
 * `name`: the role's unless told. Throws a `TypeError` when the certificate is no authority's or the key is
 * not its key.
 */
export function issuerFrom(
  role: IssuerRole,
  certificate: Uint8Array,
  signer: Signer,
  {
    name = role,
    distribution,
    serves,
  }: Partial<Pick<Issuer, 'name' | 'distribution' | 'serves'>> = {},
): Issuer {
  const { publicKey, subject, extensions, notBeforeMs, notAfterMs } = parseCertificate(certificate);
  if (!equal(publicKey.spki, signer.publicKeySpki)) {
    throw new TypeError(`the key of the ${role} authority does not belong to its certificate`);
  }
  const constraints = findExtension(extensions, extensionOids.basicConstraints);
  const identifier = findExtension(extensions, extensionOids.subjectKeyIdentifier);
  if (constraints === undefined || identifier === undefined) {
    throw new TypeError(`the certificate of the ${role} authority is no authority's`);
  }
  const names = findExtension(extensions, extensionOids.nameConstraints);
  const { ca, pathLength } = decodeBasicConstraints(constraints.value);
  if (!ca) throw new TypeError(`the certificate of the ${role} authority is no authority's`);
  return {
    role,
    name,
    subject,
    keyIdentifier: decodeSubjectKeyIdentifier(identifier.value),
    notBeforeMs,
    notAfterMs,
    pathLength,
    nameConstraints: names && decodeNameConstraints(names.value),
    signatureAlgorithm: encodeSignatureAlgorithm(signer.algorithm),
    signer,
    distribution,
    serves,
  };
}

/** A root before its certificate: it issues that one itself. `subject` is DER of its name. */
export function rootToBe(
  crypto: Crypto,
  subject: Uint8Array,
  signer: Signer,
  period: { readonly notBeforeMs: number; readonly notAfterMs: number },
): Issuer {
  return {
    role: 'self',
    name: 'self',
    subject: parseName(subject),
    keyIdentifier: identifierOfKey(crypto, signer.publicKeySpki),
    ...period,
    pathLength: undefined,
    signatureAlgorithm: encodeSignatureAlgorithm(signer.algorithm),
    signer,
  };
}

/** What a certificate of the profile calls its key; SHA-1 is method 1 of RFC 5280 §4.2.1.2. */
export function identifierIn(profile: Profile, crypto: Crypto, keyBits: Uint8Array): Uint8Array {
  return profile.keyIdentifier === 'sha1'
    ? crypto.hash('SHA-1', keyBits)
    : identifierOfBits(crypto, keyBits);
}

/** RFC 7093 §2, method 1: the first 160 bits of SHA-256 over the key's bits. */
export function identifierOfKey(crypto: Crypto, spki: Uint8Array): Uint8Array {
  return identifierOfBits(crypto, parseSpki(spki).key);
}

/** `keyBits`: content of the BIT STRING, for elliptic curves the point. */
export function identifierOfBits(crypto: Crypto, keyBits: Uint8Array): Uint8Array {
  return crypto.hash('SHA-256', keyBits).slice(0, 20);
}

/** O of everything it issues: an authority speaks for one organization. */
export function organizationOf(issuer: Issuer): string {
  return attributeText(issuer.subject, 'organizationName') ?? '';
}
