/** What an operator asks and decides about profiles at the authority: a process of its own. */
import type { Refusal } from './faults.ts';

export interface ProfileView {
  readonly name: string;
  readonly version: number;
  /** Over the profile as JSON with sorted members and no white space. */
  readonly sha256: Uint8Array;
  /** Comes with this version of Birthmark, and cannot be replaced. */
  readonly builtIn: boolean;
  /** Later certificates are issued from a later version. */
  readonly former: boolean;
  readonly addedMs: number;
  /** The profile as JSON. */
  readonly text: string;
}

/** Rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface ProfileDesk {
  /** By name and version. */
  profiles(): Promise<readonly ProfileView[]>;
  /** `document`: JSON that the schema has accepted, or not yet. */
  addProfile(document: unknown, approval?: Uint8Array): Promise<ProfileView | Refusal<string>>;
}
