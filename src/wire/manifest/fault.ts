/** The fault of a manifest: which entry, which member, what is wrong with it. */
import { MalformedError } from '../bytes/malformed.ts';

export interface EntryPosition {
  /** Position in the array, from 0. */
  readonly index: number;
  /** Bytes before the entry's opening brace. */
  readonly offset: number;
}

export class ManifestFault extends MalformedError {
  /** Position of the entry in the array, from 0. */
  readonly entry: number;
  /** Path of the member: `payload.publicKeySet.keys[1].x`; empty when the entry as a whole is meant. */
  readonly member: string;
  /** What is wrong with it, in words that follow the name. */
  readonly problem: string;

  constructor(at: EntryPosition, member: string, problem: string) {
    super('manifest', at.offset, `entry ${at.index}: ${member}${member && ' '}${problem}`);
    this.name = 'ManifestFault';
    this.entry = at.index;
    this.member = member;
    this.problem = problem;
  }
}
