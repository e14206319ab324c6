/**
 * From a request to the bytes that would be signed. What profile and issuer fix is encoded once; a
 * request adds key, name and dates. Nothing here is trusted to be right: the lints read the result anew.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { generalizedTimeText, noExpirationMs, yearsLater } from '../../wire/der/time.ts';
import { serialOfKeyAndDates } from '../../wire/manifest/compressedCertificate.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  encodeExtension,
  extKeyUsage,
  keyUsage,
  nameConstraints,
  ocspNoCheck,
  subjectAltName,
} from '../../wire/x509/extensions.ts';
import { type GeneralName, parseAddress } from '../../wire/x509/generalNames.ts';
import { hashOfRootKey } from '../../wire/x509/hashOfRootKey.ts';
import { encodeName, type NamePart } from '../../wire/x509/names.ts';
import { serverGeneration, type ServerGeneration } from '../../wire/x509/serverGeneration.ts';
import { p256Point, parseSpki } from '../../wire/x509/spki.ts';
import type { Extension } from '../../wire/x509/model.ts';
import {
  compileTemplate,
  deviceNameEncoder,
  hardwareModuleNameEncoder,
  subjectKeyIdentifierEncoder,
} from '../../wire/x509/templates.ts';
import { drawnSerialNumbers } from './drawn.ts';
import { identifierIn, identifierOfKey, type Issuer, organizationOf } from './issuer.ts';
import { constraintsOf } from './permittedHosts.ts';
import type { Lifetime, Profile } from './profile.ts';
import { informationAccess, pointEncoder } from './statusExtensions.ts';

/** What a certificate is asked to say; its profile decides everything else. */
export interface CertificateContent {
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Of that key (`identifierOfBits`), from whoever has it already. A lint computes it once more. */
  readonly keyIdentifier?: Uint8Array;
  /** deviceId for device certificates, else the common name. */
  readonly name: string;
  /** For profiles with alternative name `hardware-module` or subject `chip`. */
  readonly hardware?: { readonly hwType: string; readonly hwSerialNum: Uint8Array };
  /** For profiles with alternative name `hosts`: DNS names and IP addresses as text. */
  readonly hosts?: readonly string[];
  /** For profiles with a `generationOid`. */
  readonly generation?: ServerGeneration;
  /** For a root that says which key the next one will have: SHA-256 of that SubjectPublicKeyInfo. */
  readonly nextRootSha256?: Uint8Array;
}

export interface Prepared {
  readonly profile: Profile;
  readonly issuer: Issuer;
  readonly serialNumber: Uint8Array;
  readonly keyIdentifier: Uint8Array;
  readonly notAfterMs: number;
  readonly tbs: Uint8Array;
}

/** Clocks of others that are behind ours by no more than this accept a new certificate at once. */
export const backdatingMs = 300_000;
const dayMs = 86_400_000;

/** An encoder for one profile under one issuer; keep it, it is what makes issuing cheap. */
export function compileProfile(
  crypto: Crypto,
  profile: Profile,
  issuer: Issuer,
): (content: CertificateContent, nowMs: number, serialNumber?: Uint8Array) => Prepared {
  const encodeTbs = compileTemplate({
    signatureAlgorithm: issuer.signatureAlgorithm,
    issuer: issuer.subject.der,
    extensions: fixedExtensions(profile, issuer),
  });
  const encodeSubject = subjectEncoder(profile, organizationOf(issuer));
  const encodeKeyIdentifier = subjectKeyIdentifierEncoder();
  const encodeAlternativeName = alternativeNameEncoder(profile);
  const encodePoint = pointEncoder(profile, issuer);
  return (content, nowMs, drawn = drawnSerialNumbers(crypto, nowMs, 1)(0)) => {
    const { spki, keyIdentifier = identifierOfKey(crypto, spki) } = content;
    const period = periodOf(profile, issuer, nowMs);
    // The same key in the same hour is the same certificate, so that a chip can be written again.
    const serialNumber =
      profile.compressed === undefined
        ? drawn
        : serialOfKeyAndDates(p256Point(spki), period, crypto);
    const named =
      profile.keyIdentifier === undefined
        ? keyIdentifier
        : identifierIn(profile, crypto, parseSpki(spki).key);
    const tbs = encodeTbs({
      serialNumber,
      ...period,
      subject: encodeSubject(content),
      spki,
      extensions: [
        encodeKeyIdentifier(named),
        ...encodeAlternativeName(content),
        ...encodeGeneration(profile, content),
        ...encodeCommitment(content),
        ...encodePoint(serialNumber),
      ],
    });
    const { notAfterMs } = period;
    return { profile, issuer, serialNumber, keyIdentifier, notAfterMs, tbs };
  };
}

/** RFC 8649 §3. The lints judge whether it has its place. */
function encodeCommitment({ nextRootSha256 }: CertificateContent): readonly Uint8Array[] {
  return nextRootSha256 === undefined ? [] : [encodeExtension(hashOfRootKey(nextRootSha256))];
}

interface Period {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

function periodOf(
  { lifetime, compressed, authority }: Profile,
  issuer: Issuer,
  nowMs: number,
): Period {
  const notBeforeMs =
    compressed === undefined
      ? Math.max(toSecond(nowMs - backdatingMs), issuer.notBeforeMs)
      : fullHourOf(nowMs);
  const wholeLifeMs = endOf(lifetime, toSecond(nowMs), notBeforeMs);
  // A link between two authorities ends with the one that signs it.
  const notAfterMs =
    authority === undefined ? wholeLifeMs : Math.min(wholeLifeMs, issuer.notAfterMs);
  return { notBeforeMs, notAfterMs };
}

/** The hour that has begun, but the last one of 28 February on the day after it: there is none in other years. */
function fullHourOf(nowMs: number): number {
  const hourMs = Math.floor(nowMs / wholeHourMs) * wholeHourMs;
  if (generalizedTimeText(hourMs).slice(4, 8) !== '0229') return hourMs;
  return Math.floor(hourMs / dayMs) * dayMs - wholeHourMs;
}

const wholeHourMs = 3_600_000;

/** A certificate is backdated by no more: 29 February steps back over a whole day. */
export const longestBackdatingMs: number = dayMs + wholeHourMs;

/** Days count from `nowMs`, years from the beginning of the certificate. */
export function endOf(lifetime: Lifetime, nowMs: number, notBeforeMs: number): number {
  switch (lifetime.kind) {
    case 'unlimited':
      return noExpirationMs;
    case 'days':
      return nowMs + lifetime.days * dayMs;
    case 'years':
      // 29 February comes to its end a day early.
      return (
        yearsLater(notBeforeMs, lifetime.years) ??
        yearsLater(notBeforeMs - dayMs, lifetime.years) ??
        notBeforeMs
      );
  }
}

function toSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}

function fixedExtensions(profile: Profile, issuer: Issuer): Uint8Array[] {
  const extensions = extensionsOf(profile);
  // RFC 5280 §4.2.1.1: a self-signed certificate may omit it.
  if (issuer.role !== 'self') extensions.push(authorityKeyIdentifier(issuer.keyIdentifier));
  if (profile.noCheck === true) extensions.push(ocspNoCheck());
  extensions.push(...informationAccess(profile, issuer));
  return extensions.map(encodeExtension);
}

/** What a profile fixes by itself, whoever issues. */
export function extensionsOf(profile: Profile): Extension[] {
  const { authority, keyPurposes } = profile;
  const extensions = [keyUsage(...profile.keyUsage)];
  // Matter Core Specification §6.2.2.3: a device says that it is no authority.
  if (isMatterDevice(profile)) extensions.unshift(basicConstraints({ ca: false }));
  if (authority !== undefined) {
    const { pathLength } = authority;
    const constraints = constraintsOf(authority);
    extensions.unshift(
      basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength }),
    );
    if (constraints !== undefined) extensions.push(nameConstraints(constraints));
  }
  if (keyPurposes.length > 0) extensions.push(extKeyUsage(...keyPurposes));
  return extensions;
}

export function isMatterDevice({ subject, authority }: Profile): boolean {
  return subject === 'matter' && authority === undefined;
}

/** DER of the subject that a certificate of the profile has. */
export function encodeSubjectOf(
  profile: Profile,
  organization: string,
  content: Pick<CertificateContent, 'name' | 'hardware'>,
): Uint8Array {
  return subjectEncoder(profile, organization)(content);
}

function subjectEncoder(
  profile: Profile,
  organization: string,
): (content: Pick<CertificateContent, 'name' | 'hardware'>) => Uint8Array {
  const ofMaker: NamePart = ['organizationName', profile.authority?.organization ?? organization];
  switch (profile.subject) {
    case 'device': {
      const encode = deviceNameEncoder(organization);
      return ({ name }) => encode(name);
    }
    case 'chip': {
      const encode = deviceNameEncoder(organization);
      return ({ hardware }) => encode(chipSerialText(hardware?.hwSerialNum));
    }
    case 'authority':
    case 'named':
      return ({ name }) => encodeName(ofMaker, ['commonName', name]);
    case 'matter': {
      const ids = matterParts(profile);
      return ({ name }) => encodeName(ofMaker, ['commonName', name], ...ids);
    }
  }
}

/** Vendor before product. */
function matterParts({ matter }: Profile): readonly NamePart[] {
  const parts: NamePart[] = [];
  if (matter?.vendorId !== undefined) parts.push(['matterVendorId', matter.vendorId]);
  if (matter?.productId !== undefined) parts.push(['matterProductId', matter.productId]);
  return parts;
}

/** As chips and their makers write it; a certificate without one does not pass the lints. */
function chipSerialText(serial: Uint8Array = new Uint8Array(0)): string {
  return toHex(serial).toUpperCase();
}

function alternativeNameEncoder(
  profile: Profile,
): (content: CertificateContent) => readonly Uint8Array[] {
  if (profile.alternativeName === 'none') return () => [];
  if (profile.alternativeName === 'hosts') {
    return ({ hosts = [] }) => [encodeExtension(subjectAltName(hosts.map(hostName)))];
  }
  const encoders = new Map<string, (hwSerialNum: Uint8Array) => Uint8Array>();
  return ({ hardware }) => {
    if (hardware === undefined) return [];
    const { hwType, hwSerialNum } = hardware;
    const encode = encoders.get(hwType) ?? hardwareModuleNameEncoder(hwType);
    if (encoders.size < maximumHardwareTypes) encoders.set(hwType, encode);
    return [encode(hwSerialNum)];
  };
}

function encodeGeneration(
  { generationOid }: Profile,
  { generation }: CertificateContent,
): readonly Uint8Array[] {
  if (generationOid === undefined || generation === undefined) return [];
  return [encodeExtension(serverGeneration(generation, generationOid))];
}

const maximumHardwareTypes = 1_000;

function hostName(host: string): GeneralName {
  const address = parseAddress(host);
  return address === undefined ? { kind: 'dNSName', text: host } : { kind: 'iPAddress', address };
}
