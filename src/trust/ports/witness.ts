/** Witnesses of a log: others who remember what they saw, so that its past cannot be changed unseen. */

export type WitnessAnswer =
  /** Seen, consistent and remembered. Signature lines of a note, none from a witness without a key. */
  | { readonly kind: 'accepted'; readonly cosignatures: string }
  /** The proof has to begin at this size: what the witness saw last. */
  | {
      readonly kind: 'conflict';
      readonly size: number;
      /** It saw another tree of that very size: two histories. */
      readonly otherRoot?: true;
    }
  | { readonly kind: 'refused'; readonly code: WitnessRefusalCode; readonly reason: string };

export type WitnessRefusalCode =
  | 'malformed'
  | 'unknown-log'
  | 'bad-signature'
  /** The proof does not lead from what it saw to what it is shown. */
  | 'inconsistent';

export interface WitnessTarget {
  /** For people: a folder, an address. */
  readonly name: string;
  /**
   * Body of C2SP tlog-witness' add-checkpoint. Rejects with an `EnvironmentError`, retryable, when the
   * witness cannot be reached.
   */
  submit(body: Uint8Array): Promise<WitnessAnswer>;
}

/** What a witness remembers of each log. */
export interface WitnessMemory {
  /** The signed note that was saved last. */
  last(origin: string): Promise<Uint8Array | undefined>;
  /** Durable. */
  save(origin: string, note: Uint8Array): Promise<void>;
}
