/** Reads what an x5u or c5u points at. Whether it may be read at all was decided before (`trust/sessions`). */
import type { Refusal } from './faults.ts';

export interface FetchedResource {
  /** As the server named it, in lower case and without parameters: `application/pkix-cert`. */
  readonly mediaType: string;
  readonly body: Uint8Array;
}

export type FetchRefusal =
  /** Any status but 200. */
  | 'not-found'
  /** Somewhere else, which nobody allowed: never followed. */
  | 'redirected'
  | 'too-large'
  | 'too-slow'
  | 'unreachable';

export interface CredentialFetcher {
  /** One GET of exactly that URI, bounded in bytes and in time as a whole. Never rejects. */
  fetch(uri: string): Promise<FetchedResource | Refusal<FetchRefusal>>;
}
