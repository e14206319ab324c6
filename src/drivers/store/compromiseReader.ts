/** Whom the loss of a key concerns, counted in a database of either kind. */
import type {
  CompromiseReader,
  DeviceCertificates,
  DeviceCounts,
} from '../../trust/ports/compromiseReader.ts';
import { lostPrefix } from '../../trust/ports/issuanceStore.ts';
import { unitStates } from '../../trust/ports/orderStore.ts';
import { firstRow, type Snapshot } from './snapshot.ts';
import { blob, integer, text } from './sqlite/rows.ts';

export class SnapshotCompromiseReader implements CompromiseReader {
  readonly #snapshot: Snapshot;

  /** Of a database with the tables of `issuingMigrations`; whoever opened it closes it. */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  async countLeaves(
    issuers: readonly string[],
    nowMs: number,
  ): Promise<ReadonlyMap<string, number>> {
    const select = `SELECT profile, count(*) AS n ${fromLeaves(issuers)} GROUP BY profile`;
    const counts = new Map<string, number>();
    for await (const row of this.#snapshot.rows(select, nowMs, ...issuers)) {
      counts.set(text(row, 'profile'), integer(row, 'n'));
    }
    return counts;
  }

  enrolled(holders: DeviceCertificates, nowMs: number, limit: number): Promise<DeviceCounts> {
    const of = ofDevices(holders, 2);
    const sql = `SELECT DISTINCT holder AS device_id ${fromLive} AND ${of.sql}`;
    const all = { sql, values: [nowMs, ...of.values] };
    return this.#count(all, { ...all, sql: `${sql} AND holder NOT IN (${selectBorn})` }, limit);
  }

  born(issuers: readonly string[], limit: number): Promise<DeviceCounts> {
    const sql = `
      SELECT DISTINCT device_id FROM units JOIN issuances USING (id) JOIN signatures USING (id)
      LEFT JOIN revocations USING (id)
      WHERE issuer IN (${places(issuers, 1)}) AND revocations.id IS NULL`;
    const all = { sql, values: issuers };
    return this.#count(all, all, limit);
  }

  fallen(
    holders: DeviceCertificates,
    { successor, sinceMs }: Parameters<CompromiseReader['fallen']>[1],
    limit: number,
  ): Promise<DeviceCounts> {
    const of = ofDevices(holders, 2);
    const sql = `
      SELECT DISTINCT holder AS device_id FROM issuances JOIN revocations USING (id)
      WHERE at_ms >= $1 AND ${of.sql}`;
    const all = { sql, values: [sinceMs, ...of.values] };
    const followed = `
      SELECT holder FROM issuances JOIN signatures USING (id)
      WHERE issuer = $${all.values.length + 1} AND holder IS NOT NULL`;
    const behind = {
      sql: `${sql} AND holder NOT IN (${followed})`,
      values: [...all.values, successor],
    };
    return this.#count(all, behind, limit);
  }

  liveLeaves(issuers: readonly string[], nowMs: number): AsyncIterable<Uint8Array> {
    const sql = `SELECT serial ${fromLeaves(issuers)}`;
    return this.#serials({ sql, values: [nowMs, ...issuers] });
  }

  liveResponders(nowMs: number): AsyncIterable<Uint8Array> {
    return this.#serials({ sql: selectResponders, values: [nowMs] });
  }

  async #count(all: Selection, behind: Selection, limit: number): Promise<DeviceCounts> {
    const devices = await this.#countRows(all);
    const firstBehind: string[] = [];
    const { sql, values } = behind;
    const select = `${sql} ORDER BY device_id LIMIT $${values.length + 1}`;
    for await (const row of this.#snapshot.rows(select, ...values, limit)) {
      firstBehind.push(text(row, 'device_id'));
    }
    return {
      devices,
      behind: behind === all ? devices : await this.#countRows(behind),
      firstBehind,
    };
  }

  async #countRows({ sql, values }: Selection): Promise<number> {
    const select = `SELECT count(*) AS n FROM (${sql}) AS counted`;
    return integer(await firstRow(this.#snapshot, select, ...values), 'n');
  }

  async *#serials({ sql, values }: Selection): AsyncGenerator<Uint8Array, void> {
    for await (const row of this.#snapshot.rows(sql, ...values)) yield blob(row, 'serial');
  }
}

/** A statement, or what stands in one, and its values. */
interface Selection {
  readonly sql: string;
  readonly values: ReadonlyArray<string | number>;
}

/** $2, $3, ... for as many values. */
function places(values: readonly unknown[], first: number): string {
  return values.map((_, index) => `$${first + index}`).join(', ');
}

/** Signed, not revoked, and not past its end; $1 is now. */
const fromLive = `
  FROM issuances JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE not_after_ms > $1 AND revocations.id IS NULL`;

/** Who has an identity from birth. */
const selectBorn = `
  SELECT device_id FROM units LEFT JOIN revocations USING (id)
  WHERE state = ${unitStates.indexOf('locked')} AND revocations.id IS NULL
  UNION SELECT device_id FROM foreign_devices WHERE revoked_ms IS NULL`;

/** Certificates of devices; `first` is the number of their first value. */
function ofDevices({ issuers, profiles }: DeviceCertificates, first: number): Selection {
  const values = [...issuers, ...profiles.map((name) => `${name}@`)];
  const names = places(profiles, first + issuers.length);
  // Without the version, and without what stands before the profile of one that the log alone remembers.
  const name = `rtrim(replace(profile, '${lostPrefix}', ''), '0123456789')`;
  return { sql: `issuer IN (${places(issuers, first)}) AND ${name} IN (${names})`, values };
}

/** What is revoked with the keys of issuers: a dry run counts the very rows that are revoked then. */
function fromLeaves(issuers: readonly string[]): string {
  return `${fromLive} AND issuer IN (${places(issuers, 2)}) AND profile NOT LIKE 'link-%'
    AND id NOT IN (SELECT id FROM units)`;
}

const selectResponders = `SELECT serial ${fromLive} AND profile LIKE 'ocsp-%'`;
