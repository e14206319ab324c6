/**
 * Certificate chains that devices have shown by value, so that a thumbprint finds them again. They are bytes
 * and grant nothing: whoever is found by one is verified anew.
 */

export type ThumbprintKind = 'x5t' | 'c5t';

export interface ShownChain {
  readonly kind: ThumbprintKind;
  /** The first 8 bytes of SHA-256 of the leaf: what the shortest thumbprint has. */
  readonly hash: Uint8Array;
  readonly deviceId: string;
  /** Leaf first, as they were shown. */
  readonly certificates: readonly Uint8Array[];
}

/** Chains of one device that are kept: birth and operational certificate, in two forms each. */
export const maximumShownChains = 4;

export interface ChainStore {
  chain(kind: ThumbprintKind, hash: Uint8Array): Promise<readonly Uint8Array[] | undefined>;
  /** Durable when it resolves; takes the place of what was kept under that hash. */
  remember(shown: ShownChain): Promise<void>;
}
