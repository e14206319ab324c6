/**
 * A certificate profile, as data: what certificates of one kind may and must say. Everything that is
 * issued is built from one and linted against it; a certificate remembers which version it came from.
 */
import { keyPurposes, type KeyUsage } from '../../wire/x509/extensions.ts';
import { subtreeOf } from './permittedHosts.ts';

/**
 * Which authority issues a profile; `self` for what stands above all others. `chip-signer` certifies chips that
 * keep their certificate compressed; a Matter PAA and PAI stand apart from the rest.
 */
export const issuerRoles = [
  'self',
  'root',
  'factory',
  'operational',
  'server',
  'chip-signer',
  'matter-paa',
  'matter-pai',
] as const;

export type IssuerRole = (typeof issuerRoles)[number];

/** Of the authorities that certify births. */
export const birthRoles: readonly IssuerRole[] = ['factory', 'chip-signer', 'matter-pai'];

/**
 * `authority`: O and CN. `device`: O and X520SerialNumber, which is the deviceId (IEEE 802.1AR).
 * `named`: O and CN, the name of a server, station or application. `chip`: O and X520SerialNumber, which is
 * the serial number of the chip in upper-case hexadecimal. `matter`: O, CN, and the vendor id and product id
 * of the profile.
 */
export const subjectForms = ['authority', 'device', 'named', 'chip', 'matter'] as const;

export type SubjectForm = (typeof subjectForms)[number];

/** `hardware-module`: RFC 4108 §5. `hosts`: at least one DNS name or IP address. */
export const alternativeNameForms = ['none', 'hardware-module', 'hosts'] as const;

export type AlternativeNameForm = (typeof alternativeNameForms)[number];

export type Lifetime =
  /** 99991231235959Z: no well-defined expiration (RFC 5280 §4.1.2.5). */
  | { readonly kind: 'unlimited' }
  | { readonly kind: 'days'; readonly days: number }
  /** To the same day and second, that many years on. */
  | { readonly kind: 'years'; readonly years: number };

export interface Profile {
  readonly name: string;
  /** Grows with every change of meaning. */
  readonly version: number;
  readonly issuedBy: readonly IssuerRole[];
  readonly subject: SubjectForm;
  readonly alternativeName: AlternativeNameForm;
  readonly lifetime: Lifetime;
  readonly keyUsage: readonly KeyUsage[];
  /** Dotted; empty for no extension extKeyUsage, which means no restriction. */
  readonly keyPurposes: readonly string[];
  /** Present in profiles of authorities. */
  readonly authority?: AuthorityRules;
  /**
   * Nobody asks for its status (RFC 6960 §4.2.2.2.1), so it says nowhere to find it: for responders, which
   * could only vouch for themselves. It has to be short-lived instead.
   */
  readonly noCheck?: boolean;
  /**
   * Credentials of session servers: OID of the extension with generation and floor. Devices without IP
   * judge them, so that nothing in them leads to a network.
   */
  readonly generationOid?: string;
  /** How keys are identified: 160 bits of SHA-256 (RFC 7093 §2) unless told; SHA-1 where a reader computes that. */
  readonly keyIdentifier?: 'sha1';
  /** Present in profiles with subject `matter`. */
  readonly matter?: MatterIds;
  /**
   * The certificate can be kept as the 72 bytes of an ATECC and rebuilt from them: it begins on the hour, lives
   * whole years, its serial number follows from key and dates, and all else is the same within one signer.
   */
  readonly compressed?: CompressedIds;
}

/** Four upper-case hexadecimal digits each, as they stand in names. */
export interface MatterIds {
  readonly vendorId?: string;
  readonly productId?: string;
}

/** 0 to 15 each: by which a reader of the chip finds the template and the chain. */
export interface CompressedIds {
  readonly templateId: number;
  readonly chainId: number;
}

/** Without status nothing but the end of its life stops a certificate. */
const maximumUncheckedDays = 31;

export interface AuthorityRules {
  /** Authorities that may follow below; absent for no limit. */
  readonly pathLength?: number;
  /** No certificate below may name a DNS name, an IP address or a URI: its holders are no servers. */
  readonly excludesHosts: boolean;
  /** The only hosts that certificates below may name: DNS names with all below them, ranges of addresses. */
  readonly permits?: readonly string[];
  /** O of the authority, and so of all that it issues, where it speaks for another than whoever certifies it. */
  readonly organization?: string;
  /** From one key of an authority to another under one name (RFC 4210 §4.4): self-issued, not self-signed. */
  readonly linksGenerations?: boolean;
}

/** `name@version`, as it is stored with each certificate. */
export function profileLabel(profile: Profile): string {
  return `${profile.name}@${profile.version}`;
}

/** Every contradiction in a profile, in words; empty when it is sound. */
export function faultsOfProfile(profile: Profile): string[] {
  return [
    ...faultsOfCertificate(profile),
    ...faultsOfAuthority(profile.authority),
    ...faultsOfMatter(profile),
    ...faultsOfCompressed(profile),
  ];
}

function faultsOfCertificate(profile: Profile): string[] {
  const faults: string[] = [];
  const when = (broken: boolean, fault: string): void => {
    if (broken) faults.push(fault);
  };
  const isAuthority = profile.authority !== undefined;
  const usages = new Set(profile.keyUsage);
  const { lifetime } = profile;
  when(!/^[a-z][a-z0-9-]{0,39}$/.test(profile.name), 'the name is not a short lower-case word');
  when(!Number.isInteger(profile.version) || profile.version < 1, 'the version is not 1 or more');
  when(profile.issuedBy.length === 0, 'no authority issues it');
  when(usages.size === 0, 'no key usage (RFC 5280 §4.2.1.3: at least one bit)');
  when(usages.size !== profile.keyUsage.length, 'a key usage is named twice');
  when(usages.has('keyCertSign') !== isAuthority, 'keyCertSign goes with authorities alone');
  when(
    profile.subject !== 'matter' && isAuthority !== (profile.subject === 'authority'),
    'authorities have names of their own form',
  );
  when(isAuthority && profile.keyPurposes.length > 0, 'an authority with key purposes');
  when(isAuthority && profile.alternativeName !== 'none', 'an authority with alternative names');
  when(
    new Set(profile.keyPurposes).size !== profile.keyPurposes.length,
    'a key purpose is named twice',
  );
  when(
    lifetime.kind === 'days' && (!Number.isInteger(lifetime.days) || lifetime.days < 1),
    'a lifetime of no whole days',
  );
  when(
    lifetime.kind === 'years' && (!Number.isInteger(lifetime.years) || lifetime.years < 1),
    'a lifetime of no whole years',
  );
  const purposes = new Set(profile.keyPurposes);
  when(purposes.has(keyPurposes.anyExtendedKeyUsage), 'anyExtendedKeyUsage opens every door');
  when(
    purposes.has(keyPurposes.ocspSigning) !== (profile.noCheck === true),
    'responders, and nobody else, sign answers about status and have none of their own',
  );
  when(
    purposes.has(keyPurposes.serverAuth) && profile.alternativeName !== 'hosts',
    'a server without the names of its hosts',
  );
  const pathLength = profile.authority?.pathLength;
  when(
    pathLength !== undefined && (!Number.isInteger(pathLength) || pathLength < 0),
    'a path length below zero',
  );
  when(profile.issuedBy.includes('self') && !isAuthority, 'issued by itself and no authority');
  when(
    profile.generationOid !== undefined && (isAuthority || profile.keyPurposes.length > 0),
    'a session server that is an authority, or a server of another kind',
  );
  when(
    profile.noCheck === true &&
      !(lifetime.kind === 'days' && lifetime.days <= maximumUncheckedDays),
    'nobody asks for its status, and it is not short-lived',
  );
  return faults;
}

const maximumPermitted = 64;

function faultsOfAuthority(rules: AuthorityRules | undefined): string[] {
  const { permits, organization, excludesHosts = false } = rules ?? {};
  const faults: string[] = [];
  if (permits !== undefined && (permits.length === 0 || permits.length > maximumPermitted)) {
    faults.push(`an authority permits 1 to ${maximumPermitted} hosts`);
  }
  if (permits !== undefined && excludesHosts) faults.push('hosts that are excluded are permitted');
  for (const text of permits ?? []) {
    if (subtreeOf(text) === undefined)
      faults.push(`${text} is no DNS name and no range of addresses`);
  }
  if (organization !== undefined && !/^[^\p{Cc}]{1,64}$/u.test(organization)) {
    faults.push('an organization of no 1 to 64 characters');
  }
  return faults;
}

/** Matter Core Specification §6.2.2: who names a product names its vendor, and only a leaf must name a product. */
function faultsOfMatter({ subject, matter, authority, issuedBy }: Profile): string[] {
  if ((subject === 'matter') !== (matter !== undefined)) {
    return ['vendor and product ids go with subjects of the form matter'];
  }
  if (matter === undefined) return [];
  const { vendorId, productId } = matter;
  const ids = [vendorId, productId].filter((id) => id !== undefined);
  const faults: string[] = [];
  if (!ids.every((id) => /^[0-9A-F]{4}$/.test(id))) {
    faults.push('a vendor or product id that is not four upper-case hexadecimal digits');
  }
  if (vendorId === '0000') faults.push('vendor id 0000 is no vendor');
  if (vendorId === undefined && !(authority !== undefined && issuedBy.includes('self'))) {
    faults.push('no vendor id, which only a PAA may leave away');
  }
  if (productId === undefined && authority === undefined) {
    faults.push('a device without product id');
  }
  if (productId !== undefined && issuedBy.includes('self')) faults.push('a PAA of one product');
  return faults;
}

/** What 72 bytes can say: docs/ca.md. */
function faultsOfCompressed(profile: Profile): string[] {
  const { compressed, lifetime } = profile;
  if (compressed === undefined) return [];
  const faults: string[] = [];
  const { templateId, chainId } = compressed;
  if (![templateId, chainId].every((id) => Number.isInteger(id) && id >= 0 && id <= 15)) {
    faults.push('a template or chain that is not 0 to 15');
  }
  if (lifetime.kind === 'days' || (lifetime.kind === 'years' && lifetime.years > 31)) {
    faults.push('a compressed certificate lives 1 to 31 whole years, or without end');
  }
  if (profile.subject !== 'chip') faults.push('a compressed certificate names its chip alone');
  if (profile.alternativeName !== 'none')
    faults.push('alternative names in a compressed certificate');
  if (profile.keyIdentifier !== 'sha1') {
    faults.push('a compressed certificate identifies keys by SHA-1');
  }
  return faults;
}

/** Throws a `TypeError` that names every contradiction. */
export function checkedProfiles(profiles: readonly Profile[]): ReadonlyMap<string, Profile> {
  const byName = new Map(profiles.map((profile) => [profile.name, profile]));
  if (byName.size !== profiles.length) throw new TypeError('two profiles of one name');
  for (const profile of profiles) {
    const faults = faultsOfProfile(profile);
    if (faults.length > 0) throw new TypeError(`profile ${profile.name}: ${faults.join('; ')}`);
  }
  return byName;
}
