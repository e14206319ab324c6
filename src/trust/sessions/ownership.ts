/**
 * The lease by which this process is the one writer of all contexts in its store. It is prolonged when half
 * of it has passed; whoever finds it expired takes it, with a higher token, and the store refuses what is
 * still written under the old one.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import type { SessionLimits, SessionPorts } from './ports.ts';

export class Ownership {
  readonly #ports: Pick<SessionPorts, 'crypto' | 'clock' | 'store'>;
  readonly #leaseMs: number;
  readonly #onTaken: () => void;
  readonly #holder: string;
  /** Only at the start: who was fenced off later was not dead. */
  #mayTakeOver: boolean;
  #token: number | undefined;
  #untilMs = 0;
  #underWay: Promise<boolean> | undefined;

  /** `onTaken`: somebody else may have written since; what is in memory is not to be believed. */
  constructor(
    ports: Pick<SessionPorts, 'crypto' | 'clock' | 'store' | 'takeOver'>,
    { leaseMs }: SessionLimits,
    onTaken: () => void,
  ) {
    this.#ports = ports;
    this.#leaseMs = leaseMs;
    this.#onTaken = onTaken;
    this.#holder = toHex(ports.crypto.random(8));
    this.#mayTakeOver = ports.takeOver ?? true;
  }

  /** False while another process has the lease. */
  holds(): boolean | Promise<boolean> {
    const leftMs = this.#untilMs - this.#ports.clock.nowMs();
    if (this.#token !== undefined && leftMs > this.#leaseMs / 2) return true;
    this.#underWay ??= this.#acquire().finally(() => (this.#underWay = undefined));
    return this.#underWay;
  }

  /** The store has refused a write. */
  lost(): void {
    this.#token = undefined;
  }

  async #acquire(): Promise<boolean> {
    const { clock, store } = this.#ports;
    const nowMs = clock.nowMs();
    const untilMs = nowMs + this.#leaseMs;
    const takeOver = this.#mayTakeOver;
    const outcome = await store.lease({ holder: this.#holder, nowMs, untilMs, takeOver });
    if (!('token' in outcome)) {
      this.#token = undefined;
      return false;
    }
    this.#mayTakeOver = false;
    if (outcome.token !== this.#token) this.#onTaken();
    this.#token = outcome.token;
    this.#untilMs = untilMs;
    return true;
  }
}
