/**
 * Where the status of an authority's certificates is found. It is written into each of them at issuance
 * and into the lists byte for byte (RFC 5280 §5.2.5), so it is fixed when the authority is made.
 */
import { shardOf } from '../../wire/crl/shard.ts';
import type { AuthorityLists } from '../ports/statusStore.ts';
import type { IssuerRole } from './profile.ts';
import { respondingRoles } from './profiles.ts';

export interface Distribution {
  /** The authority's name in URLs. */
  readonly authority: string;
  /** Plain http under a name that the maker owns for as long as the certificates live; no slash at the end. */
  readonly baseUrl: string;
  /** Lists that its certificates are spread over. */
  readonly shards: number;
  /** Whether a responder answers for it: not for one whose key sleeps, nor for what ecosystems prescribe. */
  readonly responder: boolean;
}

/** `undefined` for an authority whose certificates say nothing of it: its one list is complete. */
export function distributionFrom(
  role: IssuerRole,
  { authority, shards, baseUrl }: AuthorityLists,
): Distribution | undefined {
  if (baseUrl === undefined) return undefined;
  const responder = respondingRoles.some((one) => one === role);
  return { authority, baseUrl, shards, responder };
}

/** Bounds what every certificate carries three times. */
const maximumBaseUrl = 100;

/** In words; `undefined` when nothing is wrong. */
export function faultOfBaseUrl(baseUrl: string): string | undefined {
  if (baseUrl.length > maximumBaseUrl) return `it has more than ${maximumBaseUrl} characters`;
  // RFC 5280 §8: to check the certificate of an https server one would have to ask that server first.
  if (!baseUrl.startsWith('http://')) return 'it does not begin with http://';
  const host = '[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?';
  const rest = baseUrl.slice('http://'.length);
  return new RegExp(`^${host}(?:/[A-Za-z0-9._~-]+)*$`).test(rest)
    ? undefined
    : 'it is no lower-case host with an optional port and path, without a slash at the end';
}

/** Paths below the base URL, which the status door serves. */
export function listPath(authority: string, shard: number): string {
  return `/crl/${authority}/${shard}.crl`;
}

export function responderPath(authority: string): string {
  return `/ocsp/${authority}`;
}

export function certificatePath(authority: string): string {
  return `/ca/${authority}.cer`;
}

export function listUri({ baseUrl, authority }: Distribution, shard: number): string {
  return baseUrl + listPath(authority, shard);
}

export function listUriOf(distribution: Distribution, serialNumber: Uint8Array): string {
  return listUri(distribution, shardOf(serialNumber, distribution.shards));
}

/** RFC 5280 §4.2.2.1: where responder and certificate of the issuer are. */
export function accessUris(distribution: Distribution): {
  readonly ocsp: string | undefined;
  readonly caIssuers: string;
} {
  const { baseUrl, authority, responder } = distribution;
  return {
    ocsp: responder ? baseUrl + responderPath(authority) : undefined,
    caIssuers: baseUrl + certificatePath(authority),
  };
}
