/**
 * Starts the server's processes one after the other, and stops them in the opposite order. When one of
 * them ends by itself the others are stopped: half a server would only fail in ways harder to see.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { readReport } from './channel.ts';

export interface ProcessSpec {
  readonly name: string;
  /** Arguments of this program that make it that process. */
  readonly args: readonly string[];
}

export interface Supervision {
  /** What each process said when it was ready, by its name. */
  readonly ready: Readonly<Record<string, object>>;
  /** Resolves when all have ended: with nothing after `stop`, else with what went wrong. */
  readonly ended: Promise<ProcessFailure | undefined>;
  stop(): void;
}

export interface ProcessFailure {
  readonly name: string;
  readonly message: string;
  readonly exitCode: number;
}

/** Longest time from the start of a process until it says that it is ready. */
const startTimeoutMs = 60_000;
/** How long a process may take to stop before it is killed. */
const stopTimeoutMs = 15_000;
const defectExitCode = 70;

/** Gives the failure of the process that did not start; those before it are stopped then. */
export async function supervise(
  program: string,
  specs: readonly ProcessSpec[],
  passphrase: string,
): Promise<Supervision | ProcessFailure> {
  const running: Worker[] = [];
  const ready: Record<string, object> = {};
  for (const { name, args } of specs) {
    const worker = new Worker(name, fork(program, args, { serialization: 'json' }));
    running.push(worker);
    const report = await worker.start(passphrase);
    if ('failed' in report) {
      await stopAll(running);
      return { name, message: report.failed, exitCode: report.exitCode };
    }
    ready[name] = report.ready;
  }
  const stopped = Promise.withResolvers<void>();
  const first = Promise.race([
    stopped.promise.then(() => undefined),
    ...running.map(async (worker) => ({
      name: worker.name,
      message: `${worker.name} ended by itself (${await worker.ended})`,
      exitCode: defectExitCode,
    })),
  ]);
  return {
    ready,
    ended: first.then(async (failure) => {
      await stopAll(running);
      return failure;
    }),
    stop: () => stopped.resolve(),
  };
}

async function stopAll(workers: readonly Worker[]): Promise<void> {
  for (const worker of workers.toReversed()) await worker.stop();
}

class Worker {
  readonly name: string;
  readonly #child: ChildProcess;
  /** Exit code or signal. */
  readonly ended: Promise<string>;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    this.ended = new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code ?? 'unknown'}`));
      child.once('error', (error) => resolve(error.message));
    });
  }

  async start(
    passphrase: string,
  ): Promise<{ readonly ready: object } | { readonly failed: string; readonly exitCode: number }> {
    const said = new Promise<NonNullable<ReturnType<typeof readReport>>>((resolve) => {
      this.#child.on('message', (message) => {
        const report = readReport(message);
        if (report !== undefined) resolve(report);
      });
    });
    const died = this.ended.then((how) => ({
      failed: `${this.name} did not start (${how})`,
      exitCode: defectExitCode,
    }));
    // An error in sending means that the process is gone, which `died` tells.
    this.#child.send({ passphrase }, () => undefined);
    const { promise: late, resolve: giveUp } = Promise.withResolvers<{
      failed: string;
      exitCode: number;
    }>();
    const timer = setTimeout(
      () => giveUp({ failed: `${this.name} is not ready in time`, exitCode: defectExitCode }),
      startTimeoutMs,
    );
    try {
      return await Promise.race([said, died, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closing the channel is the order to stop; a process that does not follow is killed. */
  async stop(): Promise<void> {
    if (this.#child.connected) this.#child.disconnect();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs);
    await this.ended;
    clearTimeout(timer);
  }
}
