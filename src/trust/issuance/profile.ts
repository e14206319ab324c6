/**
 * A certificate profile, as data: what certificates of one kind may and must say. Everything that is
 * issued is built from one and linted against it; a certificate remembers which version it came from.
 */
import type { KeyUsage } from '../../wire/x509/extensions.ts';

/** Which authority issues a profile; `self` for the root alone. */
export type IssuerRole = 'self' | 'root' | 'factory' | 'operational' | 'server';

/**
 * `authority`: O and CN. `device`: O and X520SerialNumber, which is the deviceId (IEEE 802.1AR).
 * `named`: O and CN, the name of a server, station or application.
 */
export type SubjectForm = 'authority' | 'device' | 'named';

/** `hardware-module`: RFC 4108 §5. `hosts`: at least one DNS name or IP address. */
export type AlternativeNameForm = 'none' | 'hardware-module' | 'hosts';

export type Lifetime =
  /** 99991231235959Z: no well-defined expiration (RFC 5280 §4.1.2.5). */
  { readonly kind: 'unlimited' } | { readonly kind: 'days'; readonly days: number };

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
}

/** Without status nothing but the end of its life stops a certificate. */
const maximumUncheckedDays = 31;

export interface AuthorityRules {
  /** Authorities that may follow below; absent for no limit. */
  readonly pathLength?: number;
  /** No certificate below may name a DNS name, an IP address or a URI: its holders are no servers. */
  readonly excludesHosts: boolean;
  /** From one key of an authority to another under one name (RFC 4210 §4.4): self-issued, not self-signed. */
  readonly linksGenerations?: boolean;
}

/** `name@version`, as it is stored with each certificate. */
export function profileLabel(profile: Profile): string {
  return `${profile.name}@${profile.version}`;
}

/** Every contradiction in a profile, in words; empty when it is sound. */
export function faultsOfProfile(profile: Profile): string[] {
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
    isAuthority !== (profile.subject === 'authority'),
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
      (lifetime.kind === 'unlimited' || lifetime.days > maximumUncheckedDays),
    'nobody asks for its status, and it is not short-lived',
  );
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
