/** What every command shares: output for a person or a program, progress, exit codes. */
import { InvalidArgumentError } from 'commander';
import { DeviceFault } from '../../device/ports/faults.ts';
import { RefusedError } from '../../drivers/links/local/answers.ts';
import { ElementError } from '../../trust/ports/element.ts';
import { EnvironmentError, isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';

export const exitCodes = {
  ok: 0,
  /** The answer is no: refused by policy, a signature that does not verify, a check that failed. */
  refused: 1,
  /** The command line or a file given to it is wrong. */
  usage: 2,
  /** Disk, network, another process: may work later. */
  environment: 3,
  /** What was asked for is not done yet: a second person has to approve it first. */
  approval: 4,
  /** A defect of ours. */
  defect: 70,
} as const;

/** Thrown by a command that ends with a message for the person and an exit code. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.refused) {
    super(message);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
  }
}

/** Unwraps a decision; a refusal ends the command with its reason. */
export function allowed<Value>(outcome: Value | Refusal<string>): Value {
  if (isRefusal(outcome)) throw new CommandFailure(`${outcome.reason} [${outcome.refused}]`);
  return outcome;
}

export interface OutputOptions {
  readonly json?: boolean | undefined;
}

/** One JSON document on stdout, or lines for a person. */
export function print(options: OutputOptions, document: object, lines: readonly string[]): void {
  process.stdout.write(
    options.json === true ? `${JSON.stringify(document)}\n` : `${lines.join('\n')}\n`,
  );
}

/** Columns padded to their widest cell. */
export function table(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    }
  }
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

/** A bar on stderr, drawn only where a person watches; nothing is written otherwise. */
export class Progress {
  readonly #label: string;
  readonly #total: number;
  readonly #startedMs = performance.now();
  #drawnMs = 0;

  constructor(label: string, total: number) {
    this.#label = label;
    this.#total = total;
  }

  update(done: number, note = ''): void {
    const nowMs = performance.now();
    if (!process.stderr.isTTY || (nowMs - this.#drawnMs < 80 && done < this.#total)) return;
    this.#drawnMs = nowMs;
    const width = 28;
    const filled = Math.round((width * Math.min(done, this.#total)) / Math.max(1, this.#total));
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
    const rate = (done / Math.max(0.001, (nowMs - this.#startedMs) / 1000)).toFixed(0);
    process.stderr.write(
      `\r\u001b[K${this.#label} ${bar} ${done}/${this.#total}  ${rate}/s ${note}`,
    );
  }

  end(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  }
}

/** Message and exit code for whatever a command threw; no stack trace but for a defect of ours. */
export function explain(error: unknown): { message: string; exitCode: number } {
  if (error instanceof CommandFailure) return { message: error.message, exitCode: error.exitCode };
  if (error instanceof MalformedError || error instanceof UnsupportedError) {
    return { message: error.message, exitCode: exitCodes.usage };
  }
  // From a parser called by a command: commander explains those of its own calls.
  if (error instanceof InvalidArgumentError) {
    return { message: error.message, exitCode: exitCodes.usage };
  }
  if (error instanceof RefusedError) {
    return { message: error.message, exitCode: exitCodes.refused };
  }
  if (error instanceof EnvironmentError || error instanceof DeviceFault) {
    const hint = error.retryable ? ' Try again later.' : '';
    const stop = /[.!?…]$/.test(error.message) ? '' : '.';
    return { message: `${error.message}${stop}${hint}`, exitCode: exitCodes.environment };
  }
  if (error instanceof ElementError) {
    return { message: `the element: ${error.message}`, exitCode: exitCodes.environment };
  }
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof Error && /^E[A-Z]+$/.test(code)) {
    return { message: error.message, exitCode: exitCodes.environment };
  }
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    message: `This is a defect of birthmark; please report it.\n${detail}`,
    exitCode: exitCodes.defect,
  };
}
