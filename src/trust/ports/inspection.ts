/** What there is to see of an authority without changing it: who issues, what ends when, and the log. */

/** An authority, or the signer of manifests, with its certificate. */
export interface AuthorityView {
  readonly name: string;
  readonly role: string;
  readonly state: string;
  readonly algorithm: string;
  /** Where its key is: `file`, `token`, or `offline` for a root on another machine. */
  readonly key: string;
  readonly subject: string;
  /** Of its certificate, in hexadecimal. */
  readonly sha256: string;
  /** `undefined`: no end. */
  readonly notAfterMs: number | undefined;
}

export interface AuthoritiesView {
  readonly organization: string;
  /** Where the first order's range of EUI-64s begins. */
  readonly eui64Base: Uint8Array;
  readonly authorities: readonly AuthorityView[];
}

export interface HorizonRow {
  readonly kind: 'authority' | 'certificates' | 'list' | 'key';
  readonly name: string;
  /** Subject, or what it is. */
  readonly detail: string;
  /** `undefined`: no end. Of several certificates or lists the first one's. */
  readonly endsMs: number | undefined;
  /** Of authorities with an end: from then on its longest certificate would outlive it, and is not issued. */
  readonly issuesUntilMs?: number | undefined;
}

export interface HorizonEvent {
  readonly atMs: number;
  readonly name: string;
  /** What happens, or has to be done by then, in words. */
  readonly event: string;
}

export interface Horizon {
  /** What ends first stands first. */
  readonly rows: readonly HorizonRow[];
  /** From now to the end of the plan, generations to come included. */
  readonly events: readonly HorizonEvent[];
  /** What has ended, issues no more, or will soon. */
  readonly warnings: readonly string[];
}

export interface LogHead {
  /** Its name, which is the origin of its checkpoints. */
  readonly log: string;
  readonly treeSize: number;
  readonly root: Uint8Array;
  /** Signed note of C2SP tlog-checkpoint. */
  readonly checkpoint: string;
}

export interface LogLeaf {
  /** The entry itself. */
  readonly bytes: Uint8Array;
  /** C2SP tlog-proof: that it stands under the checkpoint in it. */
  readonly proof: string;
}

/** Rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface InspectionDesk {
  authorities(): Promise<AuthoritiesView>;
  /** `untilYear`: how far generations to come are planned. */
  horizon(untilYear: number): Promise<Horizon>;
  log(): Promise<LogHead>;
  /** `undefined` for a leaf that is not under the checkpoint. */
  leaf(index: number): Promise<LogLeaf | undefined>;
}
