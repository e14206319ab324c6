/**
 * Work on a database of either kind. Each step is asked of whoever has the connection, which on SQLite answers
 * at once and on PostgreSQL later: the work is written once.
 */
import { InvariantError } from '../../trust/ports/faults.ts';
import type { Revocation } from '../../trust/ports/issuanceStore.ts';
import type { Lesson, LostCertificate } from '../../trust/ports/recoveryStore.ts';
import type { Row } from './sqlite/rows.ts';

export type Value = string | number | Uint8Array | null;

/**
 * A statement with its values as `$1`, `$2`; or an act for which each kind has its own code. What there are
 * many of is told of many at once: to a server every statement is a journey.
 */
export type Step =
  | { readonly ask: string; readonly values: readonly Value[] }
  | { readonly tell: string; readonly values: readonly Value[] }
  | { readonly changeStatus: readonly Revocation[] }
  | { readonly recordLost: readonly LostCertificate[] }
  | { readonly placeOrder: Extract<Lesson, { readonly kind: 'order' }> }
  | { readonly appendLeaves: readonly Uint8Array[] };

/** Whose answer is how many things it changed. */
export type Act = Extract<
  Step,
  | { readonly recordLost: unknown }
  | { readonly appendLeaves: unknown }
  | { readonly placeOrder: unknown }
>;

export interface Answer {
  readonly rows: readonly Row[];
  /** Rows that a statement changed, or of how many things an act made news. */
  readonly changed: number;
  /** Of each change of status. */
  readonly outcomes: readonly StatusOutcome[];
}

export const noNews: Answer = { rows: [], changed: 0, outcomes: [] };

/** `unchanged`: what is revoked stays revoked, what is held can only be revoked or taken back. */
export type StatusOutcome = 'changed' | 'unchanged' | 'never-issued';

/** Throws for what was never issued. */
export function isChange(outcome: StatusOutcome | undefined): boolean {
  if (outcome === 'never-issued') {
    throw new InvariantError('a new status for what was never issued');
  }
  return outcome === 'changed';
}

export type Steps<Result> = Generator<Step, Result, Answer>;

export function* first(ask: string, ...values: readonly Value[]): Steps<Row | undefined> {
  return (yield { ask, values }).rows[0];
}

export function* tell(statement: string, ...values: readonly Value[]): Steps<number> {
  return (yield { tell: statement, values }).changed;
}

export function* putSetting(name: string, value: Uint8Array): Steps<void> {
  yield* tell(upsertSetting, name, value);
}

const upsertSetting = `
  INSERT INTO settings (name, value) VALUES ($1, $2)
  ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
