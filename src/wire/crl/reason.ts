/** Reasons of a revocation (RFC 5280 §5.3.1), shared by CRLs and OCSP answers. */

/** Value 7 is unused; removeFromCRL(8) belongs to delta CRLs, which we do not issue. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
} as const;

export type RevocationReason = keyof typeof revocationReasons;

const names: ReadonlyMap<number, RevocationReason> = new Map(
  Object.entries(revocationReasons).flatMap(([name, value]) =>
    isReason(name) ? [[value, name] as const] : [],
  ),
);

export function isReason(name: string): name is RevocationReason {
  return Object.hasOwn(revocationReasons, name);
}

/** `undefined` for a number that names no reason. */
export function reasonOf(value: number): RevocationReason | undefined {
  return names.get(value);
}
