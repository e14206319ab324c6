/**
 * One process with the vendor's module in it, from its start to its end: it crashed, it blocked and was
 * killed, or it was let go. Who waits for it at its end is told so, once. It never starts again; another does.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Answer, Command, Outcome } from './protocol.ts';

interface Pending {
  readonly resolve: (outcome: Outcome) => void;
  readonly timer: NodeJS.Timeout;
}

export interface ModuleProcessOptions {
  /** Entry of the process; ours unless told. */
  readonly file?: string | undefined;
  /** After this long without an answer the module counts as blocked. */
  readonly timeoutMs: number;
}

export class ModuleProcess {
  readonly #child: ChildProcess;
  readonly #timeoutMs: number;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #ended: string | undefined;

  constructor({ file, timeoutMs }: ModuleProcessOptions) {
    this.#timeoutMs = timeoutMs;
    this.#child = fork(file ?? fileURLToPath(new URL('process.ts', import.meta.url)), [], {
      serialization: 'advanced',
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child.on('message', (answer: Answer) => this.#settle(answer));
    this.#child.on('error', ({ message }) => this.kill(message));
    this.#child.on('exit', (status, signal) =>
      this.kill(`its process ended with ${signal ?? status}`),
    );
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** Never rejects: `lost` when the process ends before it answers. */
  async ask(body: Command): Promise<Outcome> {
    if (this.#ended !== undefined) return lost(this.#ended);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      // A blocked module never answers; only the end of its process frees what it holds.
      const blocked = (): void => this.kill(`no answer within ${this.#timeoutMs} ms`);
      this.#pending.set(id, { resolve, timer: setTimeout(blocked, this.#timeoutMs) });
      this.#child.send({ id, body }, (error) => {
        if (error !== null) this.kill(error.message);
      });
    });
  }

  /** For a module that is well: it hears of its end. */
  close(problem: string): void {
    this.#end(problem);
    if (this.#child.connected) this.#child.disconnect();
  }

  /** For one that may be in any state. */
  kill(problem: string): void {
    this.#end(problem);
    this.#child.kill('SIGKILL');
  }

  #settle({ id, outcome }: Answer): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    pending.resolve(outcome);
  }

  /** Whether a signature was made before the process ended is unknown; the caller signs the same bytes again. */
  #end(problem: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = problem;
    for (const id of this.#pending.keys()) this.#settle({ id, outcome: lost(problem) });
  }
}

function lost(problem: string): Outcome {
  return { kind: 'failed', problem, cause: 'lost' };
}
