/**
 * Work on a database of either kind. Each step is asked of whoever has the connection, which on SQLite answers
 * at once and on PostgreSQL later: the work is written once.
 */
import type { Revocation } from '../../trust/ports/issuanceStore.ts';
import type { Lesson } from '../../trust/ports/recoveryStore.ts';
import type { Row } from './sqlite/rows.ts';

export type Value = string | number | Uint8Array | null;

/** A statement with its values as `$1`, `$2`; or an act for which each kind has its own code. */
export type Step =
  | { readonly ask: string; readonly values: readonly Value[] }
  | { readonly tell: string; readonly values: readonly Value[] }
  | { readonly changeStatus: Revocation }
  | { readonly placeOrder: Extract<Lesson, { readonly kind: 'order' }> }
  | { readonly appendLeaf: Uint8Array };

/** `changed`: rows that a statement changed; 1 or 0 for an act. */
export interface Answer {
  readonly rows: readonly Row[];
  readonly changed: number;
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
