/** A station's journal in memory: survives a simulated crash of the station, since the test keeps it. */
import { compare, equal } from '../../../src/wire/bytes/bytes.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import type {
  Page,
  StationJournal,
  TakenValue,
  UnitRecord,
} from '../../../src/trust/ports/stationJournal.ts';

export class MemoryJournal implements StationJournal {
  readonly records: Map<string, UnitRecord> = new Map();

  async find(family: string, uid: Uint8Array): Promise<UnitRecord | undefined> {
    return this.records.get(nameOf({ family, uid }));
  }

  async put(record: UnitRecord): Promise<TakenValue | undefined> {
    const mine = uniqueValues(record);
    for (const other of this.records.values()) {
      if (nameOf(other) === nameOf(record)) continue;
      const theirs = uniqueValues(other);
      const taken = mine.find(([name, value]) =>
        theirs.some(([otherName, other]) => otherName === name && other === value),
      );
      if (taken !== undefined) return taken[0];
    }
    this.records.set(nameOf(record), record);
    return undefined;
  }

  async counts(ticketId: Uint8Array): ReturnType<StationJournal['counts']> {
    const stages = { met: 0, requested: 0, locking: 0, locked: 0, scrapped: 0 };
    const records = this.#ofTicket(ticketId);
    for (const { stage } of records) stages[stage] += 1;
    const count = (fits: (record: UnitRecord) => boolean): number => records.filter(fits).length;
    return {
      stages,
      refused: count((record) => record.stage === 'requested' && record.refusal !== undefined),
      reportsDue: count((record) => 'report' in record && record.report === 'due'),
      scrappedIdentities: count((r) => r.stage === 'scrapped' && r.report === 'accepted'),
      scrappedBlank: count((r) => r.stage === 'scrapped' && r.report === 'not-issued'),
    };
  }

  async reportsDue(ticketId: Uint8Array, page: Page): ReturnType<StationJournal['reportsDue']> {
    return this.#ofTicket(ticketId)
      .flatMap((record) => ('report' in record && record.report === 'due' ? [record] : []))
      .filter(({ uid }) => page.after === undefined || compare(uid, page.after) > 0)
      .slice(0, page.limit);
  }

  async unfinished(ticketId: Uint8Array, page: Page): ReturnType<StationJournal['unfinished']> {
    return this.#ofTicket(ticketId)
      .flatMap((record) =>
        record.stage === 'requested' || record.stage === 'locking' ? [record] : [],
      )
      .filter(({ uid }) => page.after === undefined || compare(uid, page.after) > 0)
      .slice(0, page.limit);
  }

  #ofTicket(ticketId: Uint8Array): readonly UnitRecord[] {
    return [...this.records.values()]
      .filter((record) => equal(record.ticketId, ticketId))
      .sort((left, right) => compare(left.uid, right.uid));
  }
}

function nameOf({ family, uid }: { readonly family: string; readonly uid: Uint8Array }): string {
  return `${family} ${toHex(uid)}`;
}

function uniqueValues(record: UnitRecord): ReadonlyArray<readonly [TakenValue, string]> {
  const keys = 'keys' in record ? record.keys : undefined;
  const identity = 'identity' in record ? record.identity : undefined;
  const values: ReadonlyArray<readonly [TakenValue, string | undefined]> = [
    ['sign-key', keys && toHex(keys.sign)],
    ['agree-key', keys?.agree && toHex(keys.agree)],
    ['device-id', identity?.deviceId],
    ['eui64', identity?.eui64 && toHex(identity.eui64)],
  ];
  return values.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}
