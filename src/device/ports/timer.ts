/** Waking up later, for retransmissions, retries and telemetry at intervals. */

export interface Timer {
  /** Milliseconds since an arbitrary moment, never going back; says nothing about the date. */
  nowMs(): number;
  /**
   * Calls `wake` once, not before `atMs`; at once when that is past. Returns what cancels it. A promise
   * of `wake` never rejects.
   */
  wakeAt(atMs: number, wake: () => Promise<void>): () => void;
}
