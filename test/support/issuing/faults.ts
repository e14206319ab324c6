/**
 * Faults under the real ports of the authority: every writing call of its stores, every signature and every
 * file of its log goes through one place, where it may crash the process or fail, with or without effect.
 */
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import type { CrashSwitch } from '../line/crash.ts';
import type { Between } from './world.ts';

/** What can go wrong, each at the call behind which it stands. */
export const points = [
  'Order',
  'Ticket',
  'Opening',
  'T1',
  'Signature',
  'T2',
  'Report',
  'Revocation',
  'ListNumber',
  'List',
  'Close',
  'Tiles',
  'Head',
  'Checkpoint',
] as const;

export type Point = (typeof points)[number];

export type Act = <Result>(point: Point, work: () => Promise<Result>) => Promise<Result>;

/** Everything that changes the world, in the hands of `act`. */
export function guarded(act: Act): Between {
  return {
    orderStore: (store) =>
      wrap(store, {
        createOrder: (...order) => act('Order', () => store.createOrder(...order)),
        createTicket: (...ticket) => act('Ticket', () => store.createTicket(...ticket)),
        openTicket: (...opening) => act('Opening', () => store.openTicket(...opening)),
        changeUnits: (...changes) => act('Report', () => store.changeUnits(...changes)),
        closeTicket: (...closing) => act('Close', () => store.closeTicket(...closing)),
      }),
    issuanceStore: (store) =>
      wrap(store, {
        begin: (intents) => act('T1', () => store.begin(intents)),
        complete: (completions) => act('T2', () => store.complete(completions)),
        revoke: (...revocations) => act('Revocation', () => store.revoke(...revocations)),
      }),
    signer: (signer) => ({
      ...signer,
      sign: (data) => act('Signature', () => signer.sign(data)),
    }),
    statusStore: (store) =>
      wrap(store, {
        takeNumber: (list) => act('ListNumber', () => store.takeNumber(list)),
        saveList: (list) => act('List', () => store.saveList(list)),
      }),
    auditStore: (store) =>
      wrap(store, { saveHead: (head) => act('Head', () => store.saveHead(head)) }),
    tiles: (tiles) =>
      wrap(tiles, {
        write: (files) => act('Tiles', () => tiles.write(files)),
        replace: (file) => act('Checkpoint', () => tiles.replace(file)),
      }),
  };
}

export function crashing(crash: CrashSwitch): Between {
  return guarded((point, work) => crash.guard(point, work));
}

/** `...AndPersist`: it took effect, and the answer was lost. */
export type Failure = `fail${Point}And${'Not' | ''}Persist`;

export const failures: readonly Failure[] = points.flatMap((point): readonly Failure[] => [
  `fail${point}AndNotPersist`,
  `fail${point}AndPersist`,
]);

/** Each armed failure happens once. */
export class FailureSwitch {
  readonly #armed = new Set<Failure>();

  arm(failure: Failure): void {
    this.#armed.add(failure);
  }

  get spent(): boolean {
    return this.#armed.size === 0;
  }

  readonly act: Act = async (point, work) => {
    if (this.#armed.delete(`fail${point}AndNotPersist`)) throw broken();
    const result = await work();
    if (this.#armed.delete(`fail${point}AndPersist`)) throw broken();
    return result;
  };
}

export function broken(): EnvironmentError {
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
