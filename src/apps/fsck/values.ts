/** Typed columns for the checker; a wrong type is itself a finding and becomes a value that matches nothing. */
import { toHex } from '../../wire/bytes/hex.ts';
import type { Row } from './fsck.ts';

export function number(row: Row, column: string): number {
  const value = row[column];
  return typeof value === 'number' ? value : Number.NaN;
}

export function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

export function hex(row: Row, column: string): string {
  return toHex(bytes(row, column));
}

export function string(row: Row, column: string): string {
  const value = row[column];
  return typeof value === 'string' ? value : '';
}

export function isNull(row: Row, column: string): boolean {
  return row[column] === null;
}
