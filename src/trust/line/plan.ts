/**
 * What to do with the element in front of the station, decided from what the journal says about its uid
 * and what the element itself says. The one place where a resumed station and a new one differ.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { ElementLifecycle } from '../ports/element.ts';
import type { UnitKeys, UnitRecord } from '../ports/stationJournal.ts';

/** What the element shows of itself. */
export interface Observation {
  readonly lifecycle: ElementLifecycle;
  readonly signKey: Uint8Array | undefined;
  readonly agreeKey: Uint8Array | undefined;
}

export type Plan =
  /** Make keys, ask for an identity. */
  | { readonly plan: 'begin' }
  /** An identity may exist for these keys: ask again, which costs nothing, and finish. */
  | { readonly plan: 'continue'; readonly keys: UnitKeys }
  /** Finished earlier, in whichever bin it belongs. */
  | { readonly plan: 'pass'; readonly bin: 'finished' | 'scrapped' }
  /** Not ours to touch: a person has to look. */
  | { readonly plan: 'hold'; readonly reason: string }
  | { readonly plan: 'scrap'; readonly reason: string; readonly keys: UnitKeys };

export function planFor(
  record: UnitRecord | undefined,
  ticketId: Uint8Array,
  seen: Observation,
): Plan {
  if (record === undefined) return planForStranger(seen.lifecycle);
  switch (record.stage) {
    case 'scrapped':
      return { plan: 'pass', bin: 'scrapped' };
    case 'locked':
      return isOurs(record.keys, seen) && seen.lifecycle === 'locked'
        ? { plan: 'pass', bin: 'finished' }
        : hold('was locked here before, and this is not that element: two of one uid');
    case 'met':
      // Nothing was asked for under the earlier ticket, so that this one may begin anew.
      return seen.lifecycle === 'locked'
        ? hold('locked, but never endorsed here')
        : { plan: 'begin' };
    case 'requested':
    case 'locking':
      if (!equal(record.ticketId, ticketId)) {
        return hold('begun under another ticket, which has to be finished or closed first');
      }
      return planForBegun(record.stage, record.keys, seen);
  }
}

function planForStranger(lifecycle: ElementLifecycle): Plan {
  if (lifecycle === 'blank') return { plan: 'begin' };
  return lifecycle === 'locked'
    ? hold('locked elsewhere')
    : hold('holds something that this station did not write');
}

function planForBegun(stage: 'requested' | 'locking', keys: UnitKeys, seen: Observation): Plan {
  if (!isOurs(keys, seen)) {
    return { plan: 'scrap', keys, reason: 'the keys of its request are no longer inside' };
  }
  // The journal says `locking` before the lock happens: locked without it was somebody else.
  if (stage === 'requested' && seen.lifecycle === 'locked') {
    return { plan: 'scrap', keys, reason: 'locked by somebody else before it was verified' };
  }
  return { plan: 'continue', keys };
}

function isOurs(keys: UnitKeys, { signKey, agreeKey }: Observation): boolean {
  return sameKey(keys.sign, signKey) && sameKey(keys.agree, agreeKey);
}

function sameKey(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}

function hold(reason: string): Plan {
  return { plan: 'hold', reason };
}
