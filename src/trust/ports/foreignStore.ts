/**
 * Elements of other makers at the authority, as a store: which of their authorities are believed for which
 * product, and which device goes by which birth certificate. Nothing is deleted.
 */

import type { Spending, SpendingFault } from './approvalStore.ts';

/** A decision of a person: this authority's birth certificates make so many devices of that product. */
export interface ForeignAnchor {
  readonly product: string;
  /** DER. */
  readonly certificate: Uint8Array;
  /** Over the certificate; names the decision together with the product. */
  readonly sha256: Uint8Array;
  /** Devices that may be bound; an authority of a large maker certifies the elements of everybody. */
  readonly count: number;
  /** Devices that are. */
  readonly taken: number;
  readonly pinnedMs: number;
  /** No device is bound any more from then on; those that are keep what they have. */
  readonly retiredMs: number | undefined;
}

export interface ForeignDevice {
  readonly deviceId: string;
  readonly product: string;
  /** Of the birth certificate. */
  readonly certificateSha256: Uint8Array;
  /** First 160 bits of SHA-256 over the bits of its key. */
  readonly keyIdentifier: Uint8Array;
  readonly boundMs: number;
  readonly revokedMs: number | undefined;
}

export interface AnchorRetirement {
  readonly product: string;
  readonly sha256: Uint8Array;
  readonly atMs: number;
  readonly entry: Uint8Array;
}

export type BindingOutcome =
  | 'bound'
  /** The same binding was there already. */
  | 'known'
  | 'no-anchor'
  | 'quota-exhausted'
  /** Device, certificate or key is bound otherwise, or belongs to a unit that was born here. */
  | 'taken';

export interface ForeignStore {
  /** Also raises or lowers the count of an anchor that is pinned, and takes back its retirement. */
  pin(
    anchor: Omit<ForeignAnchor, 'taken' | 'retiredMs'>,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'pinned' | SpendingFault>;
  /** `unknown` when no such anchor is pinned, or it is retired already. */
  retire(
    retirement: AnchorRetirement,
    spending?: Spending,
  ): Promise<'retired' | 'unknown' | SpendingFault>;
  /** In the order they were pinned, retired ones included. */
  anchors(): Promise<readonly ForeignAnchor[]>;
  /** One transaction with its count and its audit leaf. */
  bind(
    device: Omit<ForeignDevice, 'revokedMs'>,
    anchorSha256: Uint8Array,
    entry: Uint8Array,
  ): Promise<BindingOutcome>;
  device(deviceId: string): Promise<ForeignDevice | undefined>;
  /** The device that was bound with this key. */
  deviceOfKey(keyIdentifier: Uint8Array): Promise<string | undefined>;
  deviceOfCertificate(sha256: Uint8Array): Promise<string | undefined>;
  /** Final. False for a device that is not bound, or is revoked already. */
  revoke(deviceId: string, atMs: number, entry: Uint8Array): Promise<boolean>;
}
