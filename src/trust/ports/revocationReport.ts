/** What a revocation did, or would do: what is told to whoever asked for it. */

export interface RevocationReport {
  readonly devices: ReadonlyArray<{
    readonly deviceId: string;
    /** False when it had been so before; it is cleared of live connections all the same. */
    readonly changed: boolean;
    readonly certificates: number;
  }>;
  /** What was ended, by the name of its `LiveConnections`. */
  readonly ended: Readonly<Record<string, number>>;
  /** From the request until the last connection was ended, durable write included. */
  readonly killMs: number;
}

/**
 * How lists and answers stand to a change: they follow within seconds, or when the authority is reached
 * again; or it is more than one person may change in a day, and they follow with an approval or later.
 */
export type ListsState = (typeof listsStates)[number];

export const listsStates = ['follow', 'untold', 'approval-needed'] as const;

/** What is told to whoever changed something. */
export interface Heard {
  readonly lists: ListsState;
}

export interface RevocationPlan {
  readonly devices: ReadonlyArray<{
    readonly deviceId: string;
    readonly revokedAlready: boolean;
    readonly certificates: number;
  }>;
  readonly unknown: readonly string[];
}
