/** What a certificate says about where its status is found, as its profile and its issuer have it. */
import { shardOf } from '../../wire/crl/shard.ts';
import {
  type AccessLocation,
  accessMethods,
  authorityInfoAccess,
  cRLDistributionPoints,
  encodeExtension,
} from '../../wire/x509/extensions.ts';
import type { Extension } from '../../wire/x509/model.ts';
import { accessUris, type Distribution, listUri } from './distribution.ts';
import type { Issuer } from './issuer.ts';
import type { Profile } from './profile.ts';

/**
 * Where certificates of this profile point to; a root has no status, it is removed as an anchor, and whoever
 * judges a session server has no network to ask. What is rebuilt from a template cannot say which of several
 * lists it is on.
 */
export function distributionOf(profile: Profile, issuer: Issuer): Distribution | undefined {
  const { distribution } = issuer;
  const isUnasked = profile.noCheck === true || profile.generationOid !== undefined;
  if (isUnasked || issuer.role === 'self') return undefined;
  return profile.compressed !== undefined && distribution?.shards !== 1 ? undefined : distribution;
}

/** authorityInfoAccess, the same in all certificates of one profile and issuer; empty for none. */
export function informationAccess(profile: Profile, issuer: Issuer): readonly Extension[] {
  const distribution = distributionOf(profile, issuer);
  if (distribution === undefined) return [];
  const { ocsp, caIssuers } = accessUris(distribution);
  const at = (method: string, text: string): AccessLocation => ({
    method,
    location: { kind: 'uniformResourceIdentifier', text },
  });
  return [
    authorityInfoAccess(
      ...(ocsp === undefined ? [] : [at(accessMethods.ocsp, ocsp)]),
      at(accessMethods.caIssuers, caIssuers),
    ),
  ];
}

/** Encodes cRLDistributionPoints for a serial number: there are only as many as lists. */
export function pointEncoder(
  profile: Profile,
  issuer: Issuer,
): (serialNumber: Uint8Array) => readonly Uint8Array[] {
  const distribution = distributionOf(profile, issuer);
  if (distribution === undefined) return () => [];
  const encodings = new Map<number, readonly Uint8Array[]>();
  return (serialNumber) => {
    const shard = shardOf(serialNumber, distribution.shards);
    const known = encodings.get(shard);
    if (known !== undefined) return known;
    const made = [encodeExtension(cRLDistributionPoints(listUri(distribution, shard)))];
    encodings.set(shard, made);
    return made;
  };
}
