/**
 * Whom the loss of a key concerns, as an authority's database has it at one moment. Reads only; the authority
 * may be running.
 */

/** Some devices, and those of them that are left behind. */
export interface DeviceCounts {
  readonly devices: number;
  readonly behind: number;
  /** The first that are left behind, in order of their names. */
  readonly firstBehind: readonly string[];
}

/**
 * `issuers` are authorities as `Intent.issuer` names them, at least one; `limit` is how many of those left
 * behind are named at most. A live certificate is signed, not revoked, and not past its end.
 */
export interface CompromiseReader {
  /** Live certificates by profile and version, as `Intent.profile` has them. */
  countLive(issuers: readonly string[], nowMs: number): Promise<ReadonlyMap<string, number>>;
  /** Who has a live certificate; behind is who has no identity from birth, ours or its maker's, to enrol anew with. */
  enrolled(issuers: readonly string[], nowMs: number, limit: number): Promise<DeviceCounts>;
  /** Who was born with a certificate that is not revoked; behind are all, since no element gets another one. */
  born(issuers: readonly string[], limit: number): Promise<DeviceCounts>;
  /** Whose LDevID by `lost` was revoked from `sinceMs` on; behind is who has nothing by `successor`. */
  fallen(
    loss: { readonly lost: string; readonly successor: string; readonly sinceMs: number },
    limit: number,
  ): Promise<DeviceCounts>;
  /** Serial numbers of the live certificates of an authority, without births and links between generations. */
  liveLeaves(issuer: string, nowMs: number): AsyncIterable<Uint8Array>;
  /** Serial numbers of the live certificates of OCSP responders, whoever issued them. */
  liveResponders(nowMs: number): AsyncIterable<Uint8Array>;
}
