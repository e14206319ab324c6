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

export interface RevocationPlan {
  readonly devices: ReadonlyArray<{
    readonly deviceId: string;
    readonly revokedAlready: boolean;
    readonly certificates: number;
  }>;
  readonly unknown: readonly string[];
}
