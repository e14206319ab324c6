/** What a bench returns: figures for people and programs, and the promises that they hold or break. */

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
