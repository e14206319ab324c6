/** What every bench returns: figures with their unit, and promises held against them. */

export interface BenchRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

export interface BenchPromise {
  readonly name: string;
  readonly target: number;
  readonly measured: number;
  readonly holds: boolean;
}

export interface BenchResult {
  readonly rows: readonly BenchRow[];
  readonly promises: readonly BenchPromise[];
}

export function row(name: string, value: number, unit: string): BenchRow {
  return { name, value, unit };
}

/** At least the target. */
export function atLeast(name: string, target: number, measured: number): BenchPromise {
  return { name, target, measured, holds: measured >= target };
}

/** At most the target. */
export function atMost(name: string, target: number, measured: number): BenchPromise {
  return { name, target, measured, holds: measured <= target };
}
