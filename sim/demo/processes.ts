/** Real processes of the demo: the `birthmark` command, run as a stranger would, with its JSON read back. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const commandFile = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));
const airFile = fileURLToPath(new URL('../radio/main.ts', import.meta.url));
const nodeOptions = ['--disable-warning=ExperimentalWarning'];

/** One JSON object that a process printed on a line of its own. */
export type Event = Readonly<Record<string, unknown>>;

export interface Environment {
  readonly folder: string;
  readonly variables: Readonly<Record<string, string>>;
}

export interface Finished {
  readonly exitCode: number | null;
  readonly events: readonly Event[];
  readonly stderr: string;
}

/** A process that goes on; its events can be waited for. */
export class Running {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #events: Event[] = [];
  readonly #listeners = new Set<() => void>();
  #stderr = '';
  #exited = false;
  readonly finished: Promise<Finished>;

  constructor(name: string, child: ChildProcess) {
    this.#name = name;
    this.#child = child;
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-20_000);
    });
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on('line', (line) => this.#take(line));
    }
    this.finished = new Promise((resolve) => {
      child.on('close', (exitCode) => {
        this.#exited = true;
        this.#wake();
        resolve({ exitCode, events: this.#events, stderr: this.#stderr });
      });
    });
  }

  get events(): readonly Event[] {
    return this.#events;
  }

  /** First event that fits, past or future. Rejects when the process ends or the time is over. */
  async event(fits: (event: Event) => boolean, timeoutMs = 30_000): Promise<Event> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.#events.find(fits);
      if (found !== undefined) return found;
      if (this.#exited) throw new Error(`${this.#name} ended early: ${this.#stderr.trim()}`);
      const leftMs = deadline - performance.now();
      if (leftMs <= 0)
        throw new Error(`${this.#name} said nothing in time: ${this.#stderr.trim()}`);
      await this.#change(leftMs);
    }
  }

  /** SIGKILL: no handler runs, as at a power cut. */
  kill(): Promise<Finished> {
    this.#child.kill('SIGKILL');
    return this.finished;
  }

  stop(): Promise<Finished> {
    this.#child.kill('SIGTERM');
    return this.finished;
  }

  #take(line: string): void {
    const event = parseEvent(line);
    if (event === undefined) return;
    this.#events.push(event);
    this.#wake();
  }

  #wake(): void {
    for (const listener of this.#listeners) listener();
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#listeners.add(done);
    });
  }
}

/**
 * Words of a command line: words`order create ${name} --quantity ${n}`. White space of the text separates,
 * what is put in stays whole.
 */
export function words(
  text: TemplateStringsArray,
  ...values: ReadonlyArray<string | number>
): readonly string[] {
  const found: string[] = [''];
  for (const [index, part] of text.entries()) {
    const [first = '', ...more] = part.split(/\s+/);
    found.push((found.pop() ?? '') + first, ...more);
    if (index < values.length) found.push((found.pop() ?? '') + String(values[index]));
  }
  return found.filter((word) => word !== '');
}

const running = new Set<Running>();

export function start(environment: Environment, command: readonly string[]): Running {
  return launch(environment, command.slice(0, 2).join(' '), [commandFile, ...command]);
}

/** The simulated air between sensors and the gateway's radio. */
export function startAir(environment: Environment, options: readonly string[]): Running {
  return launch(environment, 'air', [airFile, ...options]);
}

/** Runs a command to its end. */
export function finish(environment: Environment, command: readonly string[]): Promise<Finished> {
  return start(environment, command).finished;
}

/** Runs a command that must succeed, and gives the JSON document that it printed last. */
export async function ask(environment: Environment, command: readonly string[]): Promise<Event> {
  const { exitCode, events, stderr } = await finish(environment, [...command, '--json']);
  const last = events.at(-1);
  if (exitCode !== 0 || last === undefined) {
    throw new Error(`birthmark ${command.join(' ')} failed (exit ${exitCode}): ${stderr.trim()}`);
  }
  return last;
}

/** No process of the demo outlives it. */
export async function stopAll(): Promise<void> {
  await Promise.all([...running].map((process) => process.stop()));
}

function launch(environment: Environment, name: string, line: readonly string[]): Running {
  const child = spawn(process.execPath, [...nodeOptions, ...line], {
    cwd: environment.folder,
    env: { ...process.env, ...environment.variables },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const started = new Running(name, child);
  running.add(started);
  void started.finished.then(() => running.delete(started));
  return started;
}

function parseEvent(line: string): Event | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

export function textOf(event: Event, member: string): string {
  const value = event[member];
  if (typeof value !== 'string') throw new Error(`no text "${member}" in ${JSON.stringify(event)}`);
  return value;
}

export function numberOf(event: Event, member: string): number {
  const value = event[member];
  if (typeof value !== 'number') {
    throw new Error(`no number "${member}" in ${JSON.stringify(event)}`);
  }
  return value;
}

export function listOf(event: Event, member: string): readonly Event[] {
  const value = event[member];
  if (!Array.isArray(value)) throw new Error(`no list "${member}" in ${JSON.stringify(event)}`);
  return value.flatMap((item: unknown) =>
    typeof item === 'object' && item !== null ? [{ ...item }] : [],
  );
}
