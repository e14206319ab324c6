/** What the authority and the process that holds the PKCS#11 module say to each other, over Node's IPC. */
import type { FailureCause } from './failures.ts';

/** Key types that a token may hold for us, by the name of the signature they make. */
export type TokenAlgorithm = 'ecdsa-with-SHA256' | 'ecdsa-with-SHA384' | 'Ed25519';

export interface OpenCommand {
  readonly command: 'open';
  readonly modulePath: string;
  readonly tokenLabel: string;
  /** Crosses the IPC channel only: never an argument, environment variable or log line. */
  readonly pin: string;
  /** Sessions kept open; one signature is under way in each. */
  readonly sessions: number;
}

export interface FindCommand {
  readonly command: 'find';
  readonly keyLabel: string;
}

export interface GenerateCommand {
  readonly command: 'generate';
  readonly keyLabel: string;
  readonly algorithm: TokenAlgorithm;
}

export interface SignCommand {
  readonly command: 'sign';
  readonly keyLabel: string;
  /** Of the key that is meant: another token may have come with one of the same label. */
  readonly point: Uint8Array;
  /** The data itself; the process hashes it where the mechanism wants a hash. */
  readonly data: Uint8Array;
}

export type Command = OpenCommand | FindCommand | GenerateCommand | SignCommand;

export interface Request {
  readonly id: number;
  readonly body: Command;
}

/** A public key of the token; `point` as CKA_EC_POINT holds it, without its OCTET STRING. */
export interface TokenKey {
  readonly algorithm: TokenAlgorithm;
  readonly point: Uint8Array;
}

export type Outcome =
  | { readonly kind: 'opened' }
  | { readonly kind: 'key'; readonly key: TokenKey }
  | { readonly kind: 'absent' }
  /** r‖s for ECDSA, 64 bytes for Ed25519. */
  | { readonly kind: 'signature'; readonly signature: Uint8Array }
  | Failure;

export interface Failure {
  readonly kind: 'failed';
  /** What the module said, for a person. */
  readonly problem: string;
  readonly cause: FailureCause;
}

export interface Answer {
  readonly id: number;
  readonly outcome: Outcome;
}
