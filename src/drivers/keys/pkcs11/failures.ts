/** What an error of the module means for the process that holds it. Return values: PKCS#11 2.40 §5.1. */
import { ck, returnValueOf } from './module.ts';

/**
 * `lost`: token, session or object handles are gone, and this module will not find them again, even with
 * the token back; another process may. `pin`: the token refused the login; the same PIN must not be tried
 * again. `other`: this call alone cannot be done.
 */
export type FailureCause = 'lost' | 'pin' | 'other';

/** No return value says it, but the token, or what was known of it, is gone. */
export class TokenLost extends Error {}

/** Whatever a token says to a PIN but that it is gone: tokens lock after a few wrong ones. */
export class LoginRefused extends Error {}

const lost: ReadonlySet<number> = new Set([
  ck.CKR_HOST_MEMORY,
  ck.CKR_SLOT_ID_INVALID,
  // "Some horrible, unrecoverable error": what SoftHSM says to nearly everything when its token is gone.
  ck.CKR_GENERAL_ERROR,
  ck.CKR_FUNCTION_FAILED,
  ck.CKR_DEVICE_ERROR,
  ck.CKR_DEVICE_REMOVED,
  ck.CKR_KEY_HANDLE_INVALID,
  ck.CKR_OBJECT_HANDLE_INVALID,
  ck.CKR_SESSION_CLOSED,
  ck.CKR_SESSION_HANDLE_INVALID,
  ck.CKR_TOKEN_NOT_PRESENT,
  ck.CKR_TOKEN_NOT_RECOGNIZED,
  // One login holds as long as the token is there (§5.6), so that it was away.
  ck.CKR_USER_NOT_LOGGED_IN,
  ck.CKR_CRYPTOKI_NOT_INITIALIZED,
]);

export function causeOf(error: unknown): FailureCause {
  if (error instanceof LoginRefused) return 'pin';
  return error instanceof TokenLost || lost.has(returnValueOf(error) ?? -1) ? 'lost' : 'other';
}

export function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
