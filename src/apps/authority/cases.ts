/**
 * Cases of lost keys: `cases/NAME.json`, one file each, written before every step and after it, so that a
 * command that was cut short goes on where it was, and everybody can see how far it has come.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { type AuthorityPaths, writeWhole } from './authorityFolder.ts';

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

export interface Case {
  /** Of the file: operational, station-line-7, ... */
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

/** In the order they were opened. */
export async function readCases(paths: AuthorityPaths): Promise<readonly Case[]> {
  const files = await readdir(folderOf(paths)).catch(() => []);
  const cases = await Promise.all(
    files
      .filter((file) => file.endsWith(suffix))
      .map(async (file) => parseCase(await readFile(join(folderOf(paths), file), 'utf8'))),
  );
  return cases.toSorted((left, right) => left.openedMs - right.openedMs);
}

export async function writeCase(paths: AuthorityPaths, one: Case): Promise<void> {
  await mkdir(folderOf(paths), { recursive: true, mode: 0o700 });
  const path = join(folderOf(paths), `${one.name}${suffix}`);
  await writeWhole(path, `${JSON.stringify(one, undefined, 2)}\n`);
}

/** Elements whose keys are lost, by open cases: none of them is born any more. */
export async function lostElements(
  paths: AuthorityPaths,
): Promise<(family: string, firmware: string) => boolean> {
  const open = (await readCases(paths)).filter(
    ({ kind, closedMs }) => kind === 'family' && closedMs === undefined,
  );
  return (family, firmware) =>
    open.some((one) => one.subject === family && (one.firmware ?? firmware) === firmware);
}

export function nextStep({ steps }: Case): string | undefined {
  return steps.find(({ doneMs }) => doneMs === undefined)?.name;
}

export function isDone({ steps }: Case, name: string): boolean {
  return steps.some((step) => step.name === name && step.doneMs !== undefined);
}

export function withStep(one: Case, done: Required<CaseStep>): Case {
  return { ...one, steps: one.steps.map((step) => (step.name === done.name ? done : step)) };
}

/**
 * How many devices a second may enrol anew, while a case says so. Rejects with an `EnvironmentError` while a
 * key that somebody else has would go on signing here: the process of the authority does not start before
 * that step of the case.
 */
export async function requireKeysReplaced(paths: AuthorityPaths): Promise<number | undefined> {
  const cases = await readCases(paths);
  for (const one of cases) {
    const gate = gates[one.kind];
    if (gate === undefined || isDone(one, gate)) continue;
    throw new EnvironmentError(
      `the key of ${one.subject} is lost, and its place not taken yet: birthmark ca compromise ${commandOf(one)} goes on`,
      { retryable: false },
    );
  }
  const open = cases.filter(({ closedMs }) => closedMs === undefined);
  const rates = open.flatMap(({ perSecond }) => perSecond ?? []);
  return rates.length === 0 ? undefined : Math.min(...rates);
}

/** What is given to `birthmark ca compromise`. */
export function commandOf({ kind, subject }: Case): string {
  if (kind === 'authority') return subject.replace(/-\d+$/, '');
  return kind === 'station' || kind === 'family' ? `${kind} ${subject}` : kind;
}

/** The step from which on the lost key signs nothing more. Keys of responders and stations are not ours to open. */
const gates: Readonly<Partial<Record<LossKind, string>>> = {
  authority: 'replaced',
  log: 'replaced',
};

const suffix = '.json';

function folderOf({ folder }: AuthorityPaths): string {
  return join(folder, 'cases');
}

/** Throws a `MalformedError` that names the member. */
function parseCase(json: string): Case {
  const parsed: unknown = JSON.parse(json);
  const member = (name: string, from: unknown = parsed): unknown =>
    typeof from === 'object' && from !== null ? Reflect.get(from, name) : undefined;
  const optionalText = (name: string, from?: unknown): string | undefined => {
    const value = member(name, from);
    return value === undefined || typeof value === 'string' ? value : fail(name);
  };
  const optionalNumber = (name: string, from?: unknown): number | undefined => {
    const value = member(name, from);
    return value === undefined || typeof value === 'number' ? value : fail(name);
  };
  const text = (name: string, from?: unknown): string => optionalText(name, from) ?? fail(name);
  const steps = member('steps');
  if (!Array.isArray(steps)) fail('steps');
  const stepOf = (step: unknown): CaseStep => ({
    name: text('name', step),
    ...defined('doneMs', optionalNumber('doneMs', step)),
    ...defined('detail', optionalText('detail', step)),
  });
  return {
    name: text('name'),
    kind: lossKinds.find((kind) => kind === member('kind')) ?? fail('kind'),
    subject: text('subject'),
    ...defined('successor', optionalText('successor')),
    ...defined('firmware', optionalText('firmware')),
    reason: text('reason'),
    openedMs: optionalNumber('openedMs') ?? fail('openedMs'),
    ...defined('perSecond', optionalNumber('perSecond')),
    steps: steps.map(stepOf),
    ...defined('closedMs', optionalNumber('closedMs')),
  };
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
