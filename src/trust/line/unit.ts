/**
 * One unit, from the element in front of the station to the bin it goes to. Every irreversible step has
 * its intent in the journal first; what a crash leaves is said at each.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { EndorsedUnit, RefusedUnit, UnitRequest } from '../../wire/line/endorsement.ts';
import type { OpenAnswer } from '../../wire/line/opening.ts';
import { type Element, ElementError } from '../ports/element.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type {
  LockedUnit,
  ScrappedUnit,
  StationJournal,
  TakenValue,
  UnitKeys,
  UnitRecord,
} from '../ports/stationJournal.ts';
import { CheckedIdentity, findDifference } from './checkedIdentity.ts';
import { LineHalted } from './halt.ts';
import { type Observation, planFor } from './plan.ts';
import { makeKeys, proveKeys } from './proof.ts';
import type { Quota } from './quota.ts';
import { findInsanity, type SanityMemory } from './sanity.ts';

export interface Endorsement {
  readonly unit: EndorsedUnit;
  readonly chain: readonly Uint8Array[];
}

/** What all units of a run share. */
export interface Line {
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
  readonly journal: StationJournal;
  readonly opening: OpenAnswer;
  readonly memory: SanityMemory;
  readonly quota: Quota;
  /** Units that an earlier run left unfinished and that were not presented yet. */
  readonly awaited: { count: number };
  /** Rejects with `LineHalted`. */
  endorse(request: UnitRequest): Promise<Endorsement | RefusedUnit>;
}

/** `record` is what the authority has yet to be told. */
export type UnitResult =
  | { readonly result: 'verified'; readonly record: LockedUnit }
  | { readonly result: 'scrapped'; readonly record: ScrappedUnit }
  /** Left as it is, in the machine; a later run finds it where it stands. */
  | { readonly result: 'held'; readonly reason: string }
  /** Finished in an earlier run. */
  | { readonly result: 'passed'; readonly bin: 'finished' | 'scrapped' };

/**
 * Rejects with `LineHalted`, or an `EnvironmentError` of the journal; the unit then stands where the
 * journal says.
 */
export async function personalize(element: Element, line: Line): Promise<UnitResult> {
  try {
    return await attempt(element, line);
  } catch (error) {
    if (!(error instanceof ElementError)) throw error;
    if (error.code === 'unreachable') return held(`it does not answer: ${error.message}`);
    return scrapUnlessFinished(element, line, error.message);
  }
}

async function attempt(element: Element, line: Line): Promise<UnitResult> {
  const { family, uid } = element.identity;
  const record = await line.journal.find(family, uid);
  const plan = planFor(record, line.opening.ticketId, await observe(element));
  if (plan.plan === 'continue' || plan.plan === 'scrap') line.awaited.count -= 1;
  switch (plan.plan) {
    case 'pass':
      return { result: 'passed', bin: plan.bin };
    case 'hold':
      return held(plan.reason);
    case 'scrap':
      return scrap(element, line, plan.reason, plan.keys);
    case 'begin':
      return begin(element, line);
    case 'continue':
      return finish(element, line, await proveKeys(element, plan.keys, line), plan.keys);
  }
}

async function observe(element: Element): Promise<Observation> {
  return {
    lifecycle: await element.lifecycle(),
    signKey: await element.publicKey('sign'),
    agreeKey: await element.publicKey('agree'),
  };
}

async function begin(element: Element, line: Line): Promise<UnitResult> {
  if (!(await line.quota.take())) return held('the count of the ticket is used up');
  let keys: UnitKeys;
  let request: UnitRequest;
  let asked = false;
  try {
    const insanity = await findInsanity(element, line.memory);
    if (insanity !== undefined) return await scrap(element, line, insanity, undefined);
    // A crash from here to `requested` leaves keys that nobody was told of: they are made again.
    await line.journal.put({ ...unitOf(element, line), stage: 'met' });
    keys = await makeKeys(element);
    request = await proveKeys(element, keys, line);
    // Before the request leaves: from here on an identity of these keys may exist, and a crash leaves a
    // unit that asks again with the same keys and gets the same identity.
    const unit = unitOf(element, line);
    const taken = await line.journal.put({ ...unit, stage: 'requested', keys, refusal: undefined });
    if (taken !== undefined) return await scrap(element, line, repeated(taken), undefined);
    asked = true;
  } finally {
    if (asked) line.quota.confirm();
    else line.quota.release();
  }
  return finish(element, line, request, keys);
}

async function finish(
  element: Element,
  line: Line,
  request: UnitRequest,
  keys: UnitKeys,
): Promise<UnitResult> {
  const answer = await endorse(line, request);
  if ('code' in answer) return takeRefusal(element, line, keys, answer);
  const { unit, chain } = answer;
  const identity = CheckedIdentity.check(unit, chain, keys, line.opening, line.verifier);
  // The authority signed this answer: nothing that it says about other units is better.
  if (typeof identity === 'string') throw new LineHalted('wrong-answer', identity);
  const locked = (await element.lifecycle()) === 'locked';
  const difference = locked
    ? await findDifference(element, identity, line)
    : await writeAndVerify(element, identity, line);
  if (difference !== undefined) {
    return scrap(element, line, `read back wrong: ${difference}`, keys);
  }
  return lock(element, line, identity);
}

/** Asks again where the authority says so: it is finishing what a crash of its own left. */
async function endorse(line: Line, request: UnitRequest): Promise<Endorsement | RefusedUnit> {
  for (let asked = 1; ; asked++) {
    const answer = await line.endorse(request);
    if (!('code' in answer) || !passing.has(answer.code) || asked === mostAsked) return answer;
  }
}

/** The element is good and its keys stay: another run may ask again, or a person give it up. */
async function takeRefusal(
  element: Element,
  line: Line,
  keys: UnitKeys,
  { code, reason }: RefusedUnit,
): Promise<UnitResult> {
  if (exhausted.has(code)) line.quota.close();
  const refusal = `${reason} [${code}]`;
  const { family, uid } = element.identity;
  const record = await line.journal.find(family, uid);
  // One that was verified before keeps that: what it owes is a lock, not an identity.
  if (record?.stage === 'requested') {
    await line.journal.put({ ...unitOf(element, line), stage: 'requested', keys, refusal });
  }
  return held(`refused by the authority: ${refusal}`);
}

/** A slot that did not take its value gets one more chance. A crash in here leaves a unit to write again. */
async function writeAndVerify(
  element: Element,
  identity: CheckedIdentity,
  line: Line,
): Promise<string | undefined> {
  await element.write(identity.contents);
  if ((await findDifference(element, identity, line)) === undefined) return undefined;
  await element.write(identity.contents);
  return findDifference(element, identity, line);
}

async function lock(
  element: Element,
  line: Line,
  { deviceId, eui64, keys }: CheckedIdentity,
): Promise<UnitResult> {
  const unit = { ...unitOf(element, line), keys, identity: { deviceId, eui64 } };
  const taken = await line.journal.put({ ...unit, stage: 'locking' });
  if (taken !== undefined) return scrap(element, line, repeated(taken), keys);
  // A crash here leaves a unit that is locked or not: the element tells, and either way it is finished.
  await element.lock();
  if ((await element.lifecycle()) !== 'locked') {
    return scrap(element, line, 'it does not lock', keys);
  }
  const record: LockedUnit = { ...unit, stage: 'locked', report: 'due' };
  await line.journal.put(record);
  return { result: 'verified', record };
}

/** `keys` only when the authority may have made an identity of them: then it has to be told. */
async function scrap(
  element: Element,
  line: Line,
  reason: string,
  keys: UnitKeys | undefined,
): Promise<UnitResult> {
  const report = keys === undefined ? 'not-issued' : 'due';
  const unit = unitOf(element, line);
  const record: ScrappedUnit = { ...unit, stage: 'scrapped', keys, reason, report };
  await line.journal.put(record);
  return { result: 'scrapped', record };
}

/** After a failure of which the place is unknown: the journal says what is owed. */
async function scrapUnlessFinished(
  element: Element,
  line: Line,
  reason: string,
): Promise<UnitResult> {
  const { family, uid } = element.identity;
  const record = await line.journal.find(family, uid);
  if (record === undefined || record.stage === 'met')
    return scrap(element, line, reason, undefined);
  const isOpen = record.stage === 'requested' || record.stage === 'locking';
  return isOpen && equal(record.ticketId, line.opening.ticketId)
    ? scrap(element, line, reason, record.keys)
    : held(`finished or begun elsewhere, and now: ${reason}`);
}

function unitOf(element: Element, line: Line): Pick<UnitRecord, 'family' | 'uid' | 'ticketId'> {
  const { family, uid } = element.identity;
  return { family, uid, ticketId: line.opening.ticketId };
}

/** The authority's words for a ticket that gives no further identity. */
const exhausted: ReadonlySet<string> = new Set([
  'quota-exhausted',
  'no-eui64-left',
  'ticket-closed',
]);

/** Its words for a refusal that the next request may not meet. */
const passing: ReadonlySet<string> = new Set(['in-progress', 'try-again']);
const mostAsked = 3;

function repeated(value: TakenValue): string {
  return `its ${value} is that of another unit: two elements of one identity`;
}

function held(reason: string): UnitResult {
  return { result: 'held', reason };
}
