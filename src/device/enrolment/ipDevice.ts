/**
 * A device with IP, from first power-on to telemetry, with nothing but its element: enrolment,
 * configuration, and a session with the broker that is kept up. One event at a time.
 */
import { DeviceFault, isRetryable } from '../ports/faults.ts';
import { pauseOf, type RetryPolicy } from '../ports/retry.ts';
import type { DownwardChannel, Uplink, UplinkConnector, UpwardChannel } from '../ports/server.ts';
import type { Timer } from '../ports/timer.ts';
import type { DeviceConfiguration } from './configuration.ts';
import type { DeviceIdentity } from './ldevid.ts';
import {
  type DeviceState,
  type EnrolmentPorts,
  presentState,
  readIdentity,
  takeStep,
} from './steps.ts';

export interface IpDevicePorts extends EnrolmentPorts {
  readonly timer: Timer;
  readonly uplink: UplinkConnector;
}

export interface IpDeviceOptions {
  /** Between steps of the way that came to nothing. */
  readonly retry: RetryPolicy;
  /** `https` posts every message to the device door instead. */
  readonly telemetryBy: 'mqtts' | 'https';
  /** Payloads that wait; beyond it the oldest is dropped, since the newest says most. */
  readonly maximumQueued: number;
}

export const ipDeviceDefaults: IpDeviceOptions = {
  retry: { firstMs: 2_000, longestMs: 600_000 },
  telemetryBy: 'mqtts',
  maximumQueued: 64,
};

export type IpDeviceEvent =
  | { readonly kind: 'enrolled' }
  | { readonly kind: 'configured'; readonly role: DeviceConfiguration['role'] }
  | { readonly kind: 'online' | 'offline' }
  | { readonly kind: 'telemetry'; readonly payload: Uint8Array }
  | { readonly kind: 'telemetry-dropped'; readonly reason: 'queue-full' }
  | { readonly kind: 'message'; readonly channel: DownwardChannel; readonly payload: Uint8Array }
  | { readonly kind: 'waiting'; readonly pauseMs: number; readonly reason: string }
  /** A port failed in a way that will not get better without a person; the device stands still. */
  | { readonly kind: 'failed'; readonly error: unknown };

export class IpDevice {
  readonly #ports: IpDevicePorts;
  readonly #options: IpDeviceOptions;
  readonly #identity: DeviceIdentity;
  readonly #report: (event: IpDeviceEvent) => void;
  #state: DeviceState;
  #uplink: Uplink | undefined;
  #online = false;
  readonly #queue: Uint8Array[] = [];
  #attempts = 0;
  #cancelTimer: () => void = () => undefined;
  #last: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(
    ports: IpDevicePorts,
    options: IpDeviceOptions,
    identity: DeviceIdentity,
    state: DeviceState,
    report: (event: IpDeviceEvent) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#identity = identity;
    this.#state = state;
    this.#report = report;
  }

  /**
   * Switches on and goes its way by itself; the events tell how far it came. Rejects when the element was
   * not personalized, and with what element and store reject with at the start.
   */
  static async start(
    ports: IpDevicePorts,
    report: (event: IpDeviceEvent) => void,
    options: Partial<IpDeviceOptions> = {},
  ): Promise<IpDevice> {
    const identity = await readIdentity(ports.element);
    const state = await presentState(ports, identity);
    const device = new IpDevice(
      ports,
      { ...ipDeviceDefaults, ...options },
      identity,
      state,
      report,
    );
    void device.#event(() => device.#advance());
    return device;
  }

  get deviceId(): string {
    return this.#identity.deviceId;
  }

  /** Queues telemetry; events tell when the server has it. */
  submit(payload: Uint8Array): Promise<void> {
    return this.#event(async () => {
      this.#queue.push(payload.slice());
      if (this.#queue.length > this.#options.maximumQueued) {
        this.#queue.shift();
        this.#report({ kind: 'telemetry-dropped', reason: 'queue-full' });
      }
      await this.#flush();
    });
  }

  /** Past the queue, for frames of others. Rejects with a `DeviceFault` when there is no connection. */
  async publish(channel: UpwardChannel, payload: Uint8Array): Promise<void> {
    if (this.#uplink === undefined) {
      throw new DeviceFault('not connected yet', { retryable: true });
    }
    await this.#uplink.publish(channel, payload);
  }

  /** Switches off; what is stored stays for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#uplink?.close();
    await this.#last;
    // What was under way may have connected, or planned its next attempt.
    await this.#uplink?.close();
    this.#cancelTimer();
  }

  #event(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last
      .then(() => (this.#stopped ? undefined : work()))
      .catch((error: unknown) => this.#recover(error));
    return this.#last;
  }

  #recover(error: unknown): void {
    if (isRetryable(error)) {
      this.#waitForNext(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#stopped = true;
    this.#cancelTimer();
    this.#report({ kind: 'failed', error });
  }

  /** Takes steps until the device can work, or has to wait. */
  async #advance(): Promise<void> {
    for (;;) {
      const state = this.#state;
      if (state.kind === 'configured') return this.#work(state.configuration);
      const known = state.kind === 'enrolled' ? state.known : undefined;
      const problem = await this.#step(state);
      if (problem === undefined) continue;
      // What the server said last time is better than standing still.
      if (known === undefined) return this.#waitForNext(problem.reason, problem.atLeastMs);
      this.#enter({ kind: 'configured', configuration: known });
    }
  }

  async #step(
    state: Exclude<DeviceState, { readonly kind: 'configured' }>,
  ): Promise<{ readonly reason: string; readonly atLeastMs?: number } | undefined> {
    try {
      const outcome = await takeStep(this.#ports, this.#identity, state);
      switch (outcome.kind) {
        case 'done':
          this.#enter(outcome.state);
          return undefined;
        case 'later':
          return { reason: 'the server asks for patience', atLeastMs: outcome.retryAfterMs };
        case 'refused':
          return { reason: outcome.what };
        case 'unacceptable':
          return { reason: `what the server gave is unacceptable: ${outcome.fault}` };
      }
    } catch (error) {
      if (!isRetryable(error)) throw error;
      return { reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #enter(state: DeviceState): void {
    this.#state = state;
    this.#attempts = 0;
    if (state.kind === 'enrolled') this.#report({ kind: 'enrolled' });
    if (state.kind === 'configured') {
      this.#report({ kind: 'configured', role: state.configuration.role });
    }
  }

  async #work({ role, mqtt }: DeviceConfiguration): Promise<void> {
    if (this.#options.telemetryBy === 'mqtts' || role === 'gateway') {
      const { deviceId } = this.#identity;
      const channels =
        role === 'gateway' ? (['commands', 'down'] as const) : (['commands'] as const);
      this.#uplink ??= this.#ports.uplink.connect(
        { ...mqtt, deviceId, channels },
        {
          onState: (state) => void this.#event(() => this.#onState(state)),
          onMessage: async (channel, payload) =>
            this.#report({ kind: 'message', channel, payload }),
        },
      );
    }
    await this.#flush();
  }

  async #onState(state: 'online' | 'offline'): Promise<void> {
    this.#online = state === 'online';
    this.#report({ kind: state });
    await this.#flush();
  }

  async #flush(): Promise<void> {
    for (;;) {
      const [payload] = this.#queue;
      if (payload === undefined || !(await this.#hand(payload))) return;
      this.#queue.shift();
      this.#report({ kind: 'telemetry', payload });
    }
  }

  /** False when it has to wait; whatever ends the wait calls `#flush` again. */
  async #hand(payload: Uint8Array): Promise<boolean> {
    if (this.#state.kind !== 'configured') return false;
    if (this.#options.telemetryBy === 'https') {
      const answer = await this.#ports.server.telemetry(payload);
      if (answer.kind === 'answer') return true;
      const atLeastMs = answer.kind === 'later' ? answer.retryAfterMs : 0;
      this.#waitForNext('the server takes no telemetry now', atLeastMs);
      return false;
    }
    if (!this.#online || this.#uplink === undefined) return false;
    try {
      await this.#uplink.publish('telemetry', payload);
      return true;
    } catch (error) {
      // The connection is gone: it is made again, and then this is sent again.
      if (!isRetryable(error)) throw error;
      return false;
    }
  }

  #waitForNext(reason: string, atLeastMs = 0): void {
    const { timer, crypto } = this.#ports;
    const pauseMs = Math.max(atLeastMs, pauseOf(this.#options.retry, this.#attempts, crypto));
    this.#attempts += 1;
    this.#cancelTimer();
    this.#cancelTimer = timer.wakeAt(timer.nowMs() + pauseMs, () =>
      this.#event(() => this.#advance()),
    );
    this.#report({ kind: 'waiting', pauseMs, reason });
  }
}
