/**
 * How often a key may be used (draft-ietf-core-oscore-key-limits §2.1). The counts are of keys, not of
 * messages on the air: replays are not counted, failed verifications are.
 */
import type { AeadAlgorithm } from '../crypto/crypto.ts';

export interface KeyUsage {
  /** count_q: messages encrypted with the Sender Key. */
  readonly encryptions: number;
  /** count_v: messages that failed to verify under the Recipient Key. */
  readonly failedVerifications: number;
}

export interface KeyLimits extends KeyUsage {
  /** l, in bytes: longest plaintext with its tag. */
  readonly messageBytes: number;
}

export const unused: KeyUsage = { encryptions: 0, failedVerifications: 0 };

export function keyLimits(algorithm: AeadAlgorithm): KeyLimits {
  if (algorithm === 'ChaCha20/Poly1305') return chachaLimits;
  // Eight bytes of tag make forgery likelier: v = 2^14 and l = 2^8 keep the advantage at 2^-50.
  return shortTags.has(algorithm) ? shortTagLimits : blockCipherLimits;
}

/**
 * - `fine`: nothing to do.
 * - `renew`: beyond the given part of a limit; start a key update while the key still works.
 * - `worn-out`: a limit is reached, the key must not be used any more.
 */
export type KeyState = 'fine' | 'renew' | 'worn-out';

/** `renewAt` is the part of the limit from which on a new context should be made. */
export function keyState(usage: KeyUsage, limits: KeyLimits, renewAt = 0.75): KeyState {
  const used = Math.max(
    usage.encryptions / limits.encryptions,
    usage.failedVerifications / limits.failedVerifications,
  );
  if (used >= 1) return 'worn-out';
  return used >= renewAt ? 'renew' : 'fine';
}

const shortTags: ReadonlySet<AeadAlgorithm> = new Set([
  'AES-CCM-16-64-128',
  'AES-CCM-16-64-256',
  'AES-CCM-64-64-128',
  'AES-CCM-64-64-256',
]);

const shortTagLimits: KeyLimits = {
  encryptions: 2 ** 20,
  failedVerifications: 2 ** 14,
  messageBytes: 2 ** 8 * 16,
};

const blockCipherLimits: KeyLimits = {
  encryptions: 2 ** 20,
  failedVerifications: 2 ** 20,
  messageBytes: 2 ** 10 * 16,
};

/** ChaCha20 has blocks of 64 bytes (draft, Figure 2). */
const chachaLimits: KeyLimits = { ...blockCipherLimits, messageBytes: 2 ** 10 * 64 };
