/**
 * Errors say whose fault it was. Bad bytes of a peer are `MalformedError` of `wire/bytes`; a caller's
 * misuse is a `TypeError`; an expected refusal is not an error but a value of type `Refusal`.
 */

/** Disk, database, HSM or network failed. `retryable`: the same call may succeed later, unchanged. */
export class EnvironmentError extends Error {
  readonly retryable: boolean;

  constructor(message: string, options: { retryable: boolean; cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'EnvironmentError';
    this.retryable = options.retryable;
  }
}

/** An invariant of ours does not hold: a defect to report, never the peer's fault. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`${message} (a defect of birthmark; please report it)`);
    this.name = 'InvariantError';
  }
}

/**
 * An expected no. `code` is closed per decision and stable, so that doors map it to their protocol and
 * programs may switch on it; `reason` tells a person what happened and what to do next.
 */
export interface Refusal<Code extends string> {
  readonly refused: Code;
  readonly reason: string;
}

export function refuse<Code extends string>(refused: Code, reason: string): Refusal<Code> {
  return { refused, reason };
}

/** Narrows a union of a value and its refusals. */
export function isRefusal(outcome: unknown): outcome is Refusal<string> {
  return typeof outcome === 'object' && outcome !== null && 'refused' in outcome;
}
