/**
 * Reads columns of a row with their type. A column of another type means that the tables are not what
 * the migrations made: a defect of ours, never input.
 */
import type { SQLOutputValue } from 'node:sqlite';
import { InvariantError } from '../../../trust/ports/faults.ts';

export type Row = Record<string, SQLOutputValue>;

export function integer(row: Row, column: string): number {
  const value = row[column];
  return typeof value === 'number' ? value : wrong(row, column);
}

export function optionalInteger(row: Row, column: string): number | undefined {
  return row[column] === null ? undefined : integer(row, column);
}

export function text(row: Row, column: string): string {
  const value = row[column];
  return typeof value === 'string' ? value : wrong(row, column);
}

export function optionalText(row: Row, column: string): string | undefined {
  return row[column] === null ? undefined : text(row, column);
}

export function blob(row: Row, column: string): Uint8Array {
  const value = row[column];
  return value instanceof Uint8Array ? value : wrong(row, column);
}

export function optionalBlob(row: Row, column: string): Uint8Array | undefined {
  return row[column] === null ? undefined : blob(row, column);
}

/** The text of a column that holds one word of a closed list. */
export function word<Word extends string>(row: Row, column: string, words: readonly Word[]): Word {
  const value = row[column];
  return words.find((candidate) => candidate === value) ?? wrong(row, column);
}

function wrong(row: Row, column: string): never {
  throw new InvariantError(`column ${column} holds ${typeof row[column]}`);
}
