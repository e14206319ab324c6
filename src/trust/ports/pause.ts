/** Waiting as a port: the rings set no timers of their own. */
export interface Pause {
  wait(durationMs: number): Waiting;
}

export interface Waiting {
  /** Resolves when the time is over or the waiting was cancelled; never rejects. */
  readonly over: Promise<void>;
  cancel(): void;
}
