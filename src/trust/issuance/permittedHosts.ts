/** The hosts that the certificates below an authority may name, as its profile has them (RFC 5280 §4.2.1.10). */
import type { NameConstraints } from '../../wire/x509/extensions.ts';
import { type GeneralName, parseAddress } from '../../wire/x509/generalNames.ts';
import type { AuthorityRules } from './profile.ts';

/** An empty name, and an address with an empty mask, cover everything. */
export const allHosts: readonly GeneralName[] = [
  { kind: 'dNSName', text: '' },
  { kind: 'uniformResourceIdentifier', text: '' },
  { kind: 'iPAddress', address: new Uint8Array(8) },
  { kind: 'iPAddress', address: new Uint8Array(32) },
];

/** `undefined` for an authority without constraints. */
export function constraintsOf({
  excludesHosts,
  permits,
}: AuthorityRules): NameConstraints | undefined {
  if (excludesHosts) return { permitted: [], excluded: allHosts };
  if (permits === undefined) return undefined;
  const permitted = permits.flatMap((text) => subtreeOf(text) ?? []);
  // Permitted names limit those of their own form alone: of the other forms there is to be none.
  const excluded = allHosts.filter((every) => !permitted.some((one) => isOfForm(one, every)));
  return { permitted, excluded };
}

/** A DNS name with all below it, or a range of addresses: 192.0.2.0/24. `undefined` for anything else. */
export function subtreeOf(text: string): GeneralName | undefined {
  const [, start, prefix] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  if (start === undefined || prefix === undefined) {
    return dnsName.test(text) && text.length <= 253 && parseAddress(text) === undefined
      ? { kind: 'dNSName', text }
      : undefined;
  }
  const address = parseAddress(start);
  const bits = Number(prefix);
  if (address === undefined || bits > address.length * 8) return undefined;
  const mask = address.map((_, index) => {
    const left = Math.min(8, Math.max(0, bits - index * 8));
    return 256 - 2 ** (8 - left);
  });
  const isWhole = address.every((octet, index) => (octet & ~(mask[index] ?? 0)) === 0);
  return isWhole ? { kind: 'iPAddress', address: Uint8Array.of(...address, ...mask) } : undefined;
}

const dnsName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

function isOfForm(one: GeneralName, every: GeneralName): boolean {
  if (one.kind === 'iPAddress' && every.kind === 'iPAddress') {
    return one.address.length === every.address.length;
  }
  return one.kind === every.kind;
}
