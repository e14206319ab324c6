/**
 * What was refused, apart from the record of what was done: bad proofs, quotas, approvals, logins. It is
 * for finding attacks and mistakes, may be incomplete under a flood, and proves nothing.
 */

export interface RefusalNote {
  /** Where: a door, or a step of the line. */
  readonly door: string;
  /** Stable. */
  readonly code: string;
  /** In words of ours, never a peer's text. */
  readonly reason?: string;
  /** Whom it concerns, as far as it is known: a device, a ticket, a unit. No secret. */
  readonly subject?: string;
}

export interface SecurityLog {
  /** Returns at once and never throws. */
  note(refusal: RefusalNote): void;
}
