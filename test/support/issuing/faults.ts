/**
 * Faults under the real ports of the authority. A crash: the process neither goes on nor notices, and what
 * it had begun may still happen. A failure: the call rejects, whether or not it took effect.
 */
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import type { CrashSwitch } from '../line/crash.ts';
import type { Between } from './world.ts';

/** Points of a crash, in the order in which an identity passes them. */
export const crashPoints = ['T1', 'signature', 'T2', 'report', 'close of the ticket'] as const;

export function crashing(crash: CrashSwitch): Between {
  return {
    issuanceStore: (store) =>
      wrap(store, {
        begin: (intents) => crash.guard('T1', () => store.begin(intents)),
        complete: (completions) => crash.guard('T2', () => store.complete(completions)),
      }),
    signer: (signer) => ({
      ...signer,
      sign: (data) => crash.guard('signature', () => signer.sign(data)),
    }),
    orderStore: (store) =>
      wrap(store, {
        openTicket: (ticketId, key) =>
          crash.guard('opening', () => store.openTicket(ticketId, key)),
        changeUnits: (ticketId, changes) =>
          crash.guard('report', () => store.changeUnits(ticketId, changes)),
        closeTicket: (closing) =>
          crash.guard('close of the ticket', () => store.closeTicket(closing)),
      }),
  };
}

/** `...AndPersist`: it took effect, and the answer was lost. */
export type Failure =
  | 'failT1AndNotPersist'
  | 'failT1AndPersist'
  | 'failSignature'
  | 'failT2AndNotPersist'
  | 'failT2AndPersist'
  | 'failReportAndNotPersist'
  | 'failReportAndPersist'
  | 'failCloseAndNotPersist'
  | 'failCloseAndPersist';

export const failures: readonly Failure[] = [
  'failT1AndNotPersist',
  'failT1AndPersist',
  'failSignature',
  'failT2AndNotPersist',
  'failT2AndPersist',
  'failReportAndNotPersist',
  'failReportAndPersist',
  'failCloseAndNotPersist',
  'failCloseAndPersist',
];

/** Each armed failure happens once. */
export class FailureSwitch {
  readonly #armed = new Set<Failure>();

  arm(failure: Failure): void {
    this.#armed.add(failure);
  }

  get spent(): boolean {
    return this.#armed.size === 0;
  }

  async act<Result>(
    what: 'T1' | 'T2' | 'Report' | 'Close',
    work: () => Promise<Result>,
  ): Promise<Result> {
    if (this.#armed.delete(`fail${what}AndNotPersist`)) throw broken();
    const result = await work();
    if (this.#armed.delete(`fail${what}AndPersist`)) throw broken();
    return result;
  }

  between(): Between {
    return {
      issuanceStore: (store) =>
        wrap(store, {
          begin: (intents) => this.act('T1', () => store.begin(intents)),
          complete: (completions) => this.act('T2', () => store.complete(completions)),
        }),
      signer: (signer) => ({
        ...signer,
        sign: async (data) => {
          if (this.#armed.delete('failSignature')) throw broken();
          return signer.sign(data);
        },
      }),
      orderStore: (store) =>
        wrap(store, {
          changeUnits: (ticketId, changes) =>
            this.act('Report', () => store.changeUnits(ticketId, changes)),
          closeTicket: (closing) => this.act('Close', () => store.closeTicket(closing)),
        }),
    };
  }
}

function broken(): EnvironmentError {
  return new EnvironmentError('the disk reports an error', { retryable: true });
}

/** The store with some of its methods in other hands. */
function wrap<Store extends object>(store: Store, changes: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const changed: unknown = Reflect.get(changes, name);
      if (changed !== undefined) return changed;
      const own: unknown = Reflect.get(target, name);
      return typeof own === 'function'
        ? (own as (...args: unknown[]) => unknown).bind(target)
        : own;
    },
  });
}
