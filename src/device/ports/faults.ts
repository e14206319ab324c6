/**
 * What a device's ports fail with. A driver that has an error class of its own gives it these two
 * members; the ring asks by shape, since it shares no class with anybody.
 */

/** Radio, network, server or flash did not do what was asked. */
export class DeviceFault extends Error {
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable: boolean;

  constructor(message: string, options: { readonly retryable: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.name = 'DeviceFault';
    this.retryable = options.retryable;
  }
}

/** Anything that a port rejects with and that may pass by itself: worth another try, later. */
export function isRetryable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ('retryable' in error) return error.retryable === true;
  return error.name === 'ElementError' && 'code' in error && error.code === 'unreachable';
}
