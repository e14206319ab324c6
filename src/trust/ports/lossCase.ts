/**
 * The case of a lost key: what is known, what has to be done, and what is done. Each state of it is a leaf
 * of the audit log and a row of the issuing database, as the same JSON document.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Refusal } from './faults.ts';

/** Whose key is in wrong hands, or whose keys are worth nothing. */
export const lossKinds = ['authority', 'ocsp', 'log', 'station', 'family'] as const;

export type LossKind = (typeof lossKinds)[number];

export interface CaseStep {
  readonly name: string;
  /** Absent while it is to be done. */
  readonly doneMs?: number;
  /** What it did, for people. */
  readonly detail?: string;
}

export interface LossCase {
  /** operational, station-line-7, ... */
  readonly name: string;
  readonly kind: LossKind;
  /** Of an authority, a station, a family, or the lost log. */
  readonly subject: string;
  /** Of an authority that takes its place. */
  readonly successor?: string;
  /** Of an element family: only those that were born with this firmware. */
  readonly firmware?: string;
  readonly reason: string;
  readonly openedMs: number;
  /** Devices that may enrol anew in a second while the case is open. */
  readonly perSecond?: number;
  readonly steps: readonly CaseStep[];
  /** A person has said that nothing is left to wait for. */
  readonly closedMs?: number;
}

/** The decisions of the log that are about cases; each has the case's name as its subject, its document as detail. */
export const caseActs = ['case-opened', 'case-step', 'case-closed', 'case-reopened'] as const;

export type CaseAct = (typeof caseActs)[number];

/** Cases where they are kept: at the running authority, or in the stores of one that rests. */
export interface CaseDesk {
  /** In the order they were opened. */
  cases(): Promise<readonly LossCase[]>;
  /** One of that name that is open is given back as it is; one that is closed makes place. */
  openCase(one: LossCase): Promise<LossCase>;
  /** What is done stays as it was told first. */
  finishStep(name: string, step: Required<CaseStep>): Promise<LossCase | Refusal<CaseRefusal>>;
  /** Gives back what the case took: where two persons are needed it takes both. */
  closeCase(name: string, atMs: number, approval?: Uint8Array): Promise<LossCase | Refusal<string>>;
}

/** `case-not-done`: a step is to be done. */
export type CaseRefusal = 'unknown-case' | 'case-not-done';

export function nextStep({ steps }: LossCase): string | undefined {
  return steps.find(({ doneMs }) => doneMs === undefined)?.name;
}

export function isDone({ steps }: LossCase, name: string): boolean {
  return steps.some((step) => step.name === name && step.doneMs !== undefined);
}

export function isOpen({ closedMs }: LossCase): boolean {
  return closedMs === undefined;
}

/** Everything is to be done once more: what was done was done to a folder that is not this one. */
export function reopened(one: LossCase): LossCase {
  const steps = one.steps.map(({ name }) => ({ name }));
  return readCase({ ...one, steps, closedMs: undefined });
}

/** Members in one order: equal cases are equal documents. */
export function caseDocument(one: LossCase): string {
  return JSON.stringify(readCase(one));
}

/** Throws a `MalformedError` for what is no document of a case. */
export function parseCase(document: string): LossCase {
  let parsed: unknown;
  try {
    parsed = JSON.parse(document);
  } catch {
    throw new MalformedError('case', 0, 'no JSON');
  }
  return readCase(parsed);
}

/** From parsed JSON. Throws a `MalformedError` that names the member. */
export function readCase(parsed: unknown): LossCase {
  const steps = member(parsed, 'steps');
  if (!Array.isArray(steps)) return fail('steps');
  const text = (name: string): string => optionalText(parsed, name) ?? fail(name);
  return {
    name: text('name'),
    kind: lossKinds.find((kind) => kind === member(parsed, 'kind')) ?? fail('kind'),
    subject: text('subject'),
    ...defined('successor', optionalText(parsed, 'successor')),
    ...defined('firmware', optionalText(parsed, 'firmware')),
    reason: text('reason'),
    openedMs: optionalNumber(parsed, 'openedMs') ?? fail('openedMs'),
    ...defined('perSecond', optionalNumber(parsed, 'perSecond')),
    steps: steps.map(readStep),
    ...defined('closedMs', optionalNumber(parsed, 'closedMs')),
  };
}

function readStep(step: unknown): CaseStep {
  return {
    name: optionalText(step, 'name') ?? fail('name of a step'),
    ...defined('doneMs', optionalNumber(step, 'doneMs')),
    ...defined('detail', optionalText(step, 'detail')),
  };
}

function member(from: unknown, name: string): unknown {
  return typeof from === 'object' && from !== null ? Reflect.get(from, name) : undefined;
}

function optionalText(from: unknown, name: string): string | undefined {
  const value = member(from, name);
  return value === undefined || typeof value === 'string' ? value : fail(name);
}

function optionalNumber(from: unknown, name: string): number | undefined {
  const value = member(from, name);
  return value === undefined || typeof value === 'number' ? value : fail(name);
}

function defined<Name extends string, Value>(
  name: Name,
  value: Value | undefined,
): { readonly [key in Name]?: Value } {
  const none: { readonly [key in Name]?: Value } = {};
  return value === undefined ? none : { ...none, [name]: value };
}

function fail(name: string): never {
  throw new MalformedError('case', 0, `member ${name} is missing or wrong`);
}
