/**
 * What the authority does for session servers: credentials with generation and floor, and a fresh word
 * about one of them (docs/server-identity.md). Every call rejects with an `EnvironmentError`, retryable,
 * when it cannot be reached.
 */
import type { Refusal } from './faults.ts';

export interface SessionServerRequest {
  /** Generations are counted for each name. */
  readonly name: string;
  /**
   * C509 or PKCS#10. A signature makes a credential for a server that signs; a static Diffie-Hellman proof
   * (SHA-256), with the name of the issuing authority on both sides of the secret, one that agrees.
   */
  readonly request: Uint8Array;
  /** The key of `openProof` that a Diffie-Hellman proof was made with. */
  readonly challenge?: Uint8Array;
  /** C509 signed as CBOR, or X.509. */
  readonly form: 'native' | 'der';
}

export interface SessionServerCredential {
  /** The certificate alone: its issuer is what devices have as their anchor. */
  readonly certificate: Uint8Array;
  readonly generation: number;
  readonly floor: number;
}

export interface CredentialStanding {
  /** That the authority signs now. */
  readonly floor: number;
  /** Issued here, not revoked, not on hold and not below the floor. */
  readonly counts: boolean;
}

export interface ServerGenerations {
  readonly floor: number;
  readonly servers: ReadonlyArray<{ readonly name: string; readonly generation: number }>;
}

/** A credential that has not ended and is not revoked. */
export interface LiveCredential {
  readonly server: string;
  readonly profile: string;
  readonly generation: number;
  /** Of the certificate: by it `birthmark revoke certificate` finds it. */
  readonly sha256: Uint8Array;
  readonly notAfterMs: number;
}

export interface FloorView extends ServerGenerations {
  readonly credentials: readonly LiveCredential[];
}

export type SessionServerRefusalCode =
  | 'malformed-request'
  | 'bad-proof'
  | 'key-taken'
  | 'lint'
  | 'rejected';

export interface SessionServerAuthority {
  /** An ephemeral key, 65 bytes, for one proof within a minute. */
  openProof(): Promise<Uint8Array>;
  issueSessionServer(
    request: SessionServerRequest,
  ): Promise<SessionServerCredential | Refusal<string>>;
  standing(certificate: Uint8Array): Promise<CredentialStanding>;
  /** Value of the EAD item of `wire/edhoc/serverStatus.ts`. Refused for what does not count. */
  vouch(certificate: Uint8Array, hashOfMessage1: Uint8Array): Promise<Uint8Array | Refusal<string>>;
}

/** The same for whoever decides. */
export interface FloorDesk {
  generations(): Promise<FloorView>;
  /** Durable, with a leaf of the audit log. Never lowers it, and never above the newest generation. */
  raiseFloor(floor: number): Promise<ServerGenerations | Refusal<'rejected'>>;
}
