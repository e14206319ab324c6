/** What running devices have in common on a command line: events out, telemetry at intervals, a clean end. */
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { type HostAndPort, parseAddress } from '../device/address.ts';
import { CommandFailure, exitCodes, explain, type OutputOptions } from './terminal.ts';

export interface DeviceRunOptions extends OutputOptions {
  readonly interval: number;
  readonly count?: number;
  readonly payload: string;
}

interface AnyEvent {
  readonly kind: string;
}

export class DeviceRun<Event extends AnyEvent> {
  readonly #options: DeviceRunOptions;
  readonly #describe: (event: Event) => string | undefined;
  readonly #startedMs = performance.now();
  #delivered = 0;
  #submitted = 0;
  #failure: unknown;
  #finish: () => void = () => undefined;

  /** `describe` gives a line for a person; telemetry and failures have lines already. */
  constructor(options: DeviceRunOptions, describe: (event: Event) => string | undefined) {
    this.#options = options;
    this.#describe = describe;
  }

  begin(head: { readonly kind: string; readonly link: string; readonly deviceId: string }): void {
    this.#print(
      { event: 'started', ...head },
      `${head.kind} ${head.deviceId} is on (${head.link})`,
    );
  }

  /** Anything worth a line, from a device or from beside it. */
  print(document: Readonly<Record<string, unknown>>, line: string | undefined): void {
    this.#print(document, line);
  }

  take(event: Event): void {
    const { kind, ...members } = event;
    if (kind === 'telemetry') this.#delivered += 1;
    const document = { event: kind, ...jsonOf(members) };
    if (kind === 'telemetry') {
      const text = `telemetry ${this.#delivered}: ${String(jsonOf(members)['payload'])}`;
      this.#print({ ...document, n: this.#delivered }, text);
    } else this.#print(document, this.#describe(event));
    if (kind === 'failed' || ('final' in event && event.final === true)) {
      this.#failure = 'error' in event ? event.error : new Error('the device stands still');
      this.#finish();
    }
    if (this.#delivered === this.#options.count) this.#finish();
  }

  /** Submits a message at each interval until a signal, the count, or a failure ends it. */
  async whileRunning(submit: (payload: string) => Promise<void>): Promise<void> {
    const finished = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    const stop = (): void => this.#finish();
    process.on('SIGINT', stop).on('SIGTERM', stop);
    const next = (): void => {
      this.#submitted += 1;
      submit(this.#payload()).catch((error: unknown) => {
        this.#failure = error;
        this.#finish();
      });
    };
    const interval = setInterval(next, this.#options.interval);
    if (this.#failure === undefined) next();
    else this.#finish();
    await finished;
    clearInterval(interval);
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }

  /** Throws a `CommandFailure` when the device cannot go on. */
  end(): void {
    this.#print(
      { event: 'stopped', telemetry: this.#delivered },
      `${this.#delivered} messages sent`,
    );
    if (this.#failure === undefined) return;
    if (this.#failure instanceof TypeError) {
      throw new CommandFailure(this.#failure.message, exitCodes.usage);
    }
    throw new CommandFailure(explain(this.#failure).message, exitCodes.environment);
  }

  /** A reading that looks like one. */
  #payload(): string {
    const temperature = 21 + 2 * Math.sin(this.#submitted / 7);
    return this.#options.payload
      .replaceAll('{n}', String(this.#submitted))
      .replaceAll('{t}', temperature.toFixed(1));
  }

  #print(document: Readonly<Record<string, unknown>>, line: string | undefined): void {
    const ms = Math.round(performance.now() - this.#startedMs);
    if (this.#options.json === true) {
      const { event, ...rest } = document;
      process.stdout.write(`${JSON.stringify({ event, ms, ...rest })}\n`);
    } else if (line !== undefined) {
      process.stdout.write(`${(ms / 1000).toFixed(2).padStart(8)} s  ${line}\n`);
    }
  }
}

/** A whole number above zero, as commander's argument parser wants it. */
export function positive(text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new CommandFailure(`${text} is not a whole number above zero`, exitCodes.usage);
}

export function addressOf(option: string, text: string | undefined): HostAndPort {
  const address = text === undefined ? undefined : parseAddress(text);
  if (address !== undefined) return address;
  throw new CommandFailure(`${option} takes host:port`, exitCodes.usage);
}

/** Payloads as text where they are text, other bytes in hexadecimal, errors by their message. */
function jsonOf(members: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => {
      if (value instanceof Uint8Array) return [name, fromUtf8(value) ?? toHex(value)];
      return [name, value instanceof Error ? value.message : value];
    }),
  );
}
