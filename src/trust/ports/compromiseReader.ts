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

/** Stations, responders and applications have certificates too: a device's are of these profiles. */
export interface DeviceCertificates {
  readonly issuers: readonly string[];
  /** Their names, at least one. */
  readonly profiles: readonly string[];
}

/**
 * `issuers` are authorities as `Intent.issuer` names them, at least one; `limit` is how many of those left
 * behind are named at most. A live certificate is signed, not revoked, and not past its end.
 */
export interface CompromiseReader {
  /** How many `liveLeaves` there are, by profile and version, as `Intent.profile` has them. */
  countLeaves(issuers: readonly string[], nowMs: number): Promise<ReadonlyMap<string, number>>;
  /** Who has a live certificate of a device; behind is who has no identity from birth, ours or its maker's, to enrol anew with. */
  enrolled(holders: DeviceCertificates, nowMs: number, limit: number): Promise<DeviceCounts>;
  /** Who was born with a certificate that is not revoked; behind are all, since no element gets another one. */
  born(issuers: readonly string[], limit: number): Promise<DeviceCounts>;
  /** Whose LDevID by one of those issuers was revoked from `sinceMs` on; behind is who has nothing by `successor`. */
  fallen(
    holders: DeviceCertificates,
    since: { readonly successor: string; readonly sinceMs: number },
    limit: number,
  ): Promise<DeviceCounts>;
  /** Serial numbers of the live certificates of authorities, without births and links between generations. */
  liveLeaves(issuers: readonly string[], nowMs: number): AsyncIterable<Uint8Array>;
  /** Serial numbers of the live certificates of OCSP responders, whoever issued them. */
  liveResponders(nowMs: number): AsyncIterable<Uint8Array>;
}
