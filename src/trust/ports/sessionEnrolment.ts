/** The authority as enrolment inside a session sees it. */
import type { LdevidOutcome } from './enrolment.ts';

export interface SessionLdevidRequest {
  /** Whom the session is with. The authority does not rely on it. */
  readonly deviceId: string;
  /**
   * PKCS#10, or a natively signed C509 request, which gets a natively signed certificate. It has to be
   * signed by the key that the authority itself certified for that device at birth.
   */
  readonly request: Uint8Array;
  /** Name of the profile. */
  readonly profile: string;
}

export interface SessionEnrolmentAuthority {
  /** Rejects with an `EnvironmentError` when the authority cannot be reached. */
  issueInSession(request: SessionLdevidRequest): Promise<LdevidOutcome>;
}
