/**
 * From a request to the bytes that would be signed. What profile and issuer fix is encoded once; a
 * request adds key, name and dates. Nothing here is trusted to be right: the lints read the result anew.
 */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
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
import { encodeName } from '../../wire/x509/names.ts';
import { serverGeneration, type ServerGeneration } from '../../wire/x509/serverGeneration.ts';
import {
  compileTemplate,
  deviceNameEncoder,
  hardwareModuleNameEncoder,
  subjectKeyIdentifierEncoder,
} from '../../wire/x509/templates.ts';
import { identifierOfKey, type Issuer, organizationOf } from './issuer.ts';
import type { Lifetime, Profile } from './profile.ts';
import { informationAccess, pointEncoder } from './statusExtensions.ts';

/** What a certificate is asked to say; its profile decides everything else. */
export interface CertificateContent {
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** deviceId for device certificates, else the common name. */
  readonly name: string;
  /** For profiles with alternative name `hardware-module`. */
  readonly hardware?: { readonly hwType: string; readonly hwSerialNum: Uint8Array };
  /** For profiles with alternative name `hosts`: DNS names and IP addresses as text. */
  readonly hosts?: readonly string[];
  /** For profiles with a `generationOid`. */
  readonly generation?: ServerGeneration;
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
  return (content, nowMs, serialNumber = crypto.random(serialBytes)) => {
    const identifier = identifierOfKey(crypto, content.spki);
    const notBeforeMs = Math.max(toSecond(nowMs - backdatingMs), issuer.notBeforeMs);
    const wholeLifeMs = endOf(profile.lifetime, toSecond(nowMs));
    // A link between two authorities ends with the one that signs it.
    const notAfterMs =
      profile.authority === undefined ? wholeLifeMs : Math.min(wholeLifeMs, issuer.notAfterMs);
    const tbs = encodeTbs({
      serialNumber,
      notBeforeMs,
      notAfterMs,
      subject: encodeSubject(content.name),
      spki: content.spki,
      extensions: [
        encodeKeyIdentifier(identifier),
        ...encodeAlternativeName(content),
        ...encodeGeneration(profile, content),
        ...encodePoint(serialNumber),
      ],
    });
    return { profile, issuer, serialNumber, keyIdentifier: identifier, notAfterMs, tbs };
  };
}

/** RFC 5280 §4.1.2.2: unique and positive; 128 random bits also stop prediction. */
export const serialBytes = 16;

export function endOf(lifetime: Lifetime, nowMs: number): number {
  return lifetime.kind === 'unlimited' ? noExpirationMs : nowMs + lifetime.days * dayMs;
}

function toSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}

function fixedExtensions(profile: Profile, issuer: Issuer): Uint8Array[] {
  const { authority, keyPurposes } = profile;
  const extensions = [keyUsage(...profile.keyUsage)];
  if (authority !== undefined) {
    const { pathLength, excludesHosts } = authority;
    extensions.unshift(
      basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength }),
    );
    if (excludesHosts) extensions.push(nameConstraints({ permitted: [], excluded: allHosts }));
  }
  if (keyPurposes.length > 0) extensions.push(extKeyUsage(...keyPurposes));
  // RFC 5280 §4.2.1.1: a self-signed certificate may omit it.
  if (issuer.role !== 'self') extensions.push(authorityKeyIdentifier(issuer.keyIdentifier));
  if (profile.noCheck === true) extensions.push(ocspNoCheck());
  extensions.push(...informationAccess(profile, issuer));
  return extensions.map(encodeExtension);
}

/** RFC 5280 §4.2.1.10: an empty name, and an address with an empty mask, cover everything. */
export const allHosts: readonly GeneralName[] = [
  { kind: 'dNSName', text: '' },
  { kind: 'uniformResourceIdentifier', text: '' },
  { kind: 'iPAddress', address: new Uint8Array(8) },
  { kind: 'iPAddress', address: new Uint8Array(32) },
];

function subjectEncoder(profile: Profile, organization: string): (name: string) => Uint8Array {
  if (profile.subject === 'device') return deviceNameEncoder(organization);
  return (name) => encodeName(['organizationName', organization], ['commonName', name]);
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
