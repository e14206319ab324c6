/** What every journal of a station has to do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openStationJournal } from '../../src/drivers/store/sqlite/stationJournal.ts';
import type {
  LockedUnit,
  LockingUnit,
  RequestedUnit,
  ScrappedUnit,
  StationJournal,
  UnitRecord,
} from '../../src/trust/ports/stationJournal.ts';
import { MemoryJournal } from '../support/line/memoryJournal.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-journal-'));
const closers: Array<() => void> = [];
after(() => {
  for (const close of closers) close();
  rmSync(folder, { recursive: true, force: true });
});

const ticketId = new Uint8Array(16).fill(7);
const otherTicket = new Uint8Array(16).fill(8);
const key = (byte: number): Uint8Array => new Uint8Array(65).fill(byte);
const unit = (byte: number): Pick<UnitRecord, 'family' | 'uid' | 'ticketId'> => ({
  family: 'software',
  uid: Uint8Array.of(byte),
  ticketId,
});

function met(byte: number): UnitRecord {
  return { ...unit(byte), stage: 'met' };
}
function requested(byte: number, refusal?: string): RequestedUnit {
  const keys = { sign: key(byte), agree: key(byte + 100) };
  return { ...unit(byte), stage: 'requested', keys, refusal };
}
function locking(byte: number): LockingUnit {
  const { keys } = requested(byte);
  const identity = { deviceId: `device-${byte}`, eui64: new Uint8Array(8).fill(byte) };
  return { ...unit(byte), stage: 'locking', keys, identity };
}
function locked(byte: number, report: LockedUnit['report']): LockedUnit {
  return { ...locking(byte), stage: 'locked', report };
}
function scrapped(byte: number, report: ScrappedUnit['report']): ScrappedUnit {
  const keys = report === 'not-issued' ? undefined : requested(byte).keys;
  return { ...unit(byte), stage: 'scrapped', keys, reason: 'broken', report };
}

let files = 0;
const kinds: Readonly<Record<string, () => StationJournal>> = {
  memory: () => new MemoryJournal(),
  sqlite: () => {
    files += 1;
    const { journal, close } = openStationJournal(join(folder, `${files}.sqlite`));
    closers.push(close);
    return journal;
  },
};

for (const [kind, open] of Object.entries(kinds)) {
  test(`${kind}: every kind of record comes back as it was put`, async () => {
    const journal = open();
    const noAgree: RequestedUnit = { ...requested(9), keys: { sign: key(9), agree: undefined } };
    const records = [
      met(1),
      requested(2),
      requested(3, 'no more [quota-exhausted]'),
      locking(4),
      locked(5, 'due'),
      { ...locked(6, 'accepted'), identity: { deviceId: 'six', eui64: undefined } },
      scrapped(7, 'due'),
      scrapped(8, 'not-issued'),
      noAgree,
    ];
    for (const record of records) assert.equal(await journal.put(record), undefined);
    for (const record of records) {
      assert.deepEqual(await journal.find(record.family, record.uid), record);
    }
    assert.equal(await journal.find('software', Uint8Array.of(99)), undefined);
    assert.equal(await journal.find('other', Uint8Array.of(1)), undefined);
  });

  test(`${kind}: a unit goes through its stages in one place`, async () => {
    const journal = open();
    for (const record of [
      met(1),
      requested(1),
      locking(1),
      locked(1, 'due'),
      locked(1, 'accepted'),
    ]) {
      assert.equal(await journal.put(record), undefined);
      assert.deepEqual(await journal.find('software', Uint8Array.of(1)), record);
    }
    const { stages } = await journal.counts(ticketId);
    assert.deepEqual(stages, { met: 0, requested: 0, locking: 0, locked: 1, scrapped: 0 });
  });

  test(`${kind}: a key or an identity belongs to one unit, whatever the ticket`, async () => {
    const journal = open();
    await journal.put(locked(1, 'accepted'));
    await journal.put(met(2));
    const foreign = { ...unit(2), ticketId: otherTicket };
    const { keys, identity } = locking(2);
    const one = locking(1);
    const clashes: ReadonlyArray<readonly [string, Partial<LockingUnit>]> = [
      ['sign-key', { keys: { ...keys, sign: one.keys.sign } }],
      ['agree-key', { keys: { ...keys, agree: one.keys.agree } }],
      ['device-id', { identity: { ...identity, deviceId: one.identity.deviceId } }],
      ['eui64', { identity: { ...identity, eui64: one.identity.eui64 } }],
    ];
    for (const [name, clash] of clashes) {
      assert.equal(await journal.put({ ...locking(2), ...foreign, ...clash }), name);
      assert.deepEqual(await journal.find('software', Uint8Array.of(2)), met(2));
    }
    assert.equal(await journal.put({ ...locking(2), ...foreign }), undefined);
  });

  test(`${kind}: counts and pages, a ticket at a time`, async () => {
    const journal = open();
    const records = [
      met(1),
      requested(2),
      requested(3, 'refused'),
      locking(4),
      locked(5, 'due'),
      locked(6, 'accepted'),
      scrapped(7, 'due'),
      scrapped(8, 'accepted'),
      scrapped(9, 'not-issued'),
    ];
    for (const record of records) await journal.put(record);
    await journal.put({ ...locked(20, 'due'), ticketId: otherTicket });
    assert.deepEqual(await journal.counts(ticketId), {
      stages: { met: 1, requested: 2, locking: 1, locked: 2, scrapped: 3 },
      refused: 1,
      reportsDue: 2,
      scrappedIdentities: 1,
      scrappedBlank: 1,
    });
    const first = { after: undefined, limit: 2 };
    assert.deepEqual(await journal.reportsDue(ticketId, first), [
      locked(5, 'due'),
      scrapped(7, 'due'),
    ]);
    const behind = { after: Uint8Array.of(5), limit: 2 };
    assert.deepEqual(await journal.reportsDue(ticketId, behind), [scrapped(7, 'due')]);
    assert.deepEqual(await journal.unfinished(ticketId, first), [
      requested(2),
      requested(3, 'refused'),
    ]);
    const rest = { after: Uint8Array.of(3), limit: 2 };
    assert.deepEqual(await journal.unfinished(ticketId, rest), [locking(4)]);
  });
}

test('sqlite: what was put is there after a restart, and one process has it', async () => {
  const path = join(folder, 'restart.sqlite');
  const first = openStationJournal(path);
  await first.journal.put(locked(1, 'due'));
  assert.throws(() => openStationJournal(path), /in use by process/);
  first.close();
  const second = openStationJournal(path);
  assert.deepEqual(await second.journal.find('software', Uint8Array.of(1)), locked(1, 'due'));
  second.close();
});
