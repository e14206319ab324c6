/**
 * When a sensor renews its keys, and by what. In rising cost: EDHOC_KeyUpdate (no byte on air, the old keys
 * are gone), resumption with a PSK (85 bytes, fresh Diffie-Hellman), a handshake with the long-term keys (101
 * bytes, both sides prove who they are again).
 */

export interface RenewalPolicy {
  /** Sequence numbers of one key. */
  readonly renewEvery: number;
  /** How long one key serves, as far as the timer counts: it may stand still while the sensor is off. */
  readonly renewAfterMs: number;
  /** Key updates in a row before there is fresh Diffie-Hellman. */
  readonly updatesPerHandshake: number;
  /** Resumptions in a row before the long-term keys are used again. */
  readonly resumptionsPerHandshake: number;
}

export const renewalDefaults: RenewalPolicy = {
  renewEvery: 65_536,
  renewAfterMs: 30 * 86_400_000,
  updatesPerHandshake: 8,
  resumptionsPerHandshake: 16,
};

export interface KeyAge {
  /** Of the sequence, so that numbers that were skipped count. */
  readonly nextNumber: number;
  readonly ageMs: number;
  /** Three quarters of a limit of the algorithm are used (key-limits §2.1). */
  readonly isWearingOut: boolean;
}

export function isDue(policy: RenewalPolicy, age: KeyAge): boolean {
  return (
    age.isWearingOut || age.nextNumber >= policy.renewEvery || age.ageMs >= policy.renewAfterMs
  );
}

export type RenewalStep = 'update' | 'resumption' | 'handshake';

/** `uses`: resumptions in a row so far; `undefined` without a resumption key. */
export function nextStep(
  policy: RenewalPolicy,
  epoch: number | undefined,
  uses: number | undefined,
): RenewalStep {
  if (epoch !== undefined && epoch < policy.updatesPerHandshake) return 'update';
  const canResume = uses !== undefined && uses < policy.resumptionsPerHandshake;
  return canResume ? 'resumption' : 'handshake';
}
