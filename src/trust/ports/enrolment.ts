/** The authority as enrolment sees it: in a process of its own, reached over the local socket. */
import type { Refusal } from './faults.ts';

export interface LdevidRequest {
  readonly deviceId: string;
  /** DER of the certificate by which the device was authenticated: the authority judges it anew. */
  readonly authenticatedBy: Uint8Array;
  /** DER of the certificates above it, which the authority needs where it did not issue it itself. */
  readonly issuers: readonly Uint8Array[];
  /** Of the device, as the registry has it; decides which other makers are believed. */
  readonly product: string;
  /** DER of PKCS#10. The authority verifies its signature and takes its key, nothing else. */
  readonly request: Uint8Array;
  /** Name of the profile. */
  readonly profile: string;
}

/**
 * `bad-proof`: the request is not signed by its key. `key-taken`: that is certified for somebody else.
 * `rejected`: profile, lint or quota say no.
 */
export type AuthorityRefusalCode = 'bad-proof' | 'key-taken' | 'rejected';

export type LdevidOutcome =
  | {
      /** DER, or natively signed C509. Signed, stored and logged. */
      readonly certificate: Uint8Array;
      /** SHA-256 of the device's other operational certificates that still count; all the others are revoked. */
      readonly beside: readonly Uint8Array[];
    }
  /** Not decided yet, as where a person has to approve: the same request later. */
  | { readonly retryAfterS: number }
  | Refusal<AuthorityRefusalCode>;

/** A device without a certificate, that knows a one-time secret. */
export interface SecretRequest {
  readonly secret: string;
  /** DER of PKCS#10, as in `LdevidRequest`. */
  readonly request: Uint8Array;
  /** `undefined`: the one that the secret was made for. */
  readonly profile: string | undefined;
}

/** Labels of EST that say how requests come, and choose no profile. */
export const formLabels: readonly string[] = ['linked', 'wrapped'];

/** Whom a secret makes its bearer. */
export interface SecretHolder {
  readonly deviceId: string;
  readonly product: string;
}

export type SecretOutcome = LdevidOutcome | Refusal<'bad-secret'>;

/** Every call rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface EnrolmentAuthority {
  issueLdevid(request: LdevidRequest): Promise<LdevidOutcome>;
  /** `undefined` for a secret that opens nothing, or nothing any more. Changes nothing. */
  secretHolder(secret: string): Promise<SecretHolder | undefined>;
  /** Binds the secret to the key of the first request; spent once. */
  issueBySecret(request: SecretRequest): Promise<SecretOutcome>;
}
