/**
 * How many credentials each session server has had, and below which generation none counts any more: one
 * small value of the authority's database, changed by one process alone.
 *
 *     [ floor: uint, { * name: tstr => generation: uint } ]
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { maximumGeneration } from '../../wire/x509/serverGeneration.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { OrderStore } from '../ports/orderStore.ts';
import type { ServerGenerations } from '../ports/sessionServerAuthority.ts';

export const maximumSessionServers = 256;

export const generationsSetting = 'session-servers';

export type GenerationStore = Pick<OrderStore, 'setting' | 'saveSetting'>;

export class GenerationCounter {
  readonly #store: GenerationStore;
  readonly #clock: Clock;
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: GenerationStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  async present(): Promise<ServerGenerations> {
    const stored = await this.#store.setting(generationsSetting);
    return stored === undefined ? { floor: 0, servers: [] } : decode(stored);
  }

  /**
   * The next generation of that server, durably taken: a crash before it is used leaves a gap. Never below
   * the floor, since devices know one floor for all servers of an authority.
   */
  take(
    name: string,
  ): Promise<{ readonly generation: number; readonly floor: number } | Refusal<'rejected'>> {
    return this.#alone(async () => {
      const { floor, servers } = await this.present();
      const others = servers.filter((server) => server.name !== name);
      if (others.length >= maximumSessionServers) {
        return refuse('rejected', `There are ${maximumSessionServers} session servers already.`);
      }
      const known = servers.find((server) => server.name === name)?.generation ?? 0;
      const generation = Math.max(known + 1, floor);
      if (generation > maximumGeneration) return refuse('rejected', 'No generation is left.');
      await this.#store.saveSetting(
        generationsSetting,
        encode({ floor, servers: [...others, { name, generation }] }),
      );
      return { generation, floor };
    });
  }

  raiseFloor(floor: number): Promise<ServerGenerations | Refusal<'rejected'>> {
    return this.#alone(async () => {
      const present = await this.present();
      const refused = refusalOfFloor(present, floor);
      if (refused !== undefined) return refused;
      if (floor === present.floor) return present;
      const raised = { ...present, floor };
      const entry = encodeAuditEntry({
        kind: 'decision',
        act: 'server-floor',
        subject: 'session servers',
        detail: `from ${present.floor} to ${floor}`,
        atMs: this.#clock.nowMs(),
      });
      await this.#store.saveSetting(generationsSetting, encode(raised), entry);
      return raised;
    });
  }

  #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** Beyond any generation that a server can have got since a backup. */
const generationsSkipped = 2 ** 20;

/**
 * The value of a database that was put back: devices may have seen floors that it knows nothing of, so that
 * every credential of before is below the floor, and every server goes on from it, known or not.
 */
export function generationsAfterRestore(stored: Uint8Array | undefined): Uint8Array {
  const { floor, servers } = stored === undefined ? { floor: 0, servers: [] } : decode(stored);
  const newest = Math.max(floor, ...servers.map(({ generation }) => generation));
  return encode({ floor: Math.min(newest + generationsSkipped, maximumGeneration), servers });
}

/** Why it cannot be raised to that, before anybody tries. */
export function refusalOfFloor(
  present: ServerGenerations,
  floor: number,
): Refusal<'rejected'> | undefined {
  const newest = Math.max(0, ...present.servers.map(({ generation }) => generation));
  if (floor < present.floor) {
    return refuse('rejected', `The floor is ${present.floor}: devices never go back.`);
  }
  return floor > newest
    ? refuse('rejected', `The newest generation is ${newest}: nothing would count.`)
    : undefined;
}

function encode({ floor, servers }: ServerGenerations): Uint8Array {
  const sorted = servers.toSorted((left, right) => (left.name < right.name ? -1 : 1));
  const entries = sorted.map(
    ({ name, generation }) => [cbor.text(name), cbor.integer(generation)] as const,
  );
  return cbor.array(cbor.integer(floor), cbor.map(...entries));
}

function decode(stored: Uint8Array): ServerGenerations {
  const reader = new CborReader(stored);
  reader.array();
  const floor = reader.unsigned(maximumGeneration);
  const servers = Array.from({ length: reader.map() }, () => ({
    name: reader.text(),
    generation: reader.unsigned(maximumGeneration),
  }));
  reader.end();
  return { floor, servers };
}
