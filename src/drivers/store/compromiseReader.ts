/** Whom the loss of a key concerns, counted in a database of either kind. */
import type { CompromiseReader, DeviceCounts } from '../../trust/ports/compromiseReader.ts';
import { unitStates } from '../../trust/ports/orderStore.ts';
import { firstRow, type Snapshot } from './snapshot.ts';
import { blob, integer, text } from './sqlite/rows.ts';

export class SnapshotCompromiseReader implements CompromiseReader {
  readonly #snapshot: Snapshot;

  /** Of a database with the tables of `issuingMigrations`; whoever opened it closes it. */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  async countLive(issuers: readonly string[], nowMs: number): Promise<ReadonlyMap<string, number>> {
    const select = `
      SELECT profile, count(*) AS n ${fromLive} AND issuer IN (${places(issuers, 2)})
      GROUP BY profile`;
    const counts = new Map<string, number>();
    for await (const row of this.#snapshot.rows(select, nowMs, ...issuers)) {
      counts.set(text(row, 'profile'), integer(row, 'n'));
    }
    return counts;
  }

  enrolled(issuers: readonly string[], nowMs: number, limit: number): Promise<DeviceCounts> {
    const sql = `
      SELECT DISTINCT holder AS device_id ${fromLive}
        AND issuer IN (${places(issuers, 2)}) AND holder IS NOT NULL`;
    const all = { sql, values: [nowMs, ...issuers] };
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
    { lost, successor, sinceMs }: Parameters<CompromiseReader['fallen']>[0],
    limit: number,
  ): Promise<DeviceCounts> {
    const all = { sql: selectFallen, values: [lost, sinceMs] };
    const behind = { sql: selectMissing, values: [lost, sinceMs, successor] };
    return this.#count(all, behind, limit);
  }

  liveLeaves(issuer: string, nowMs: number): AsyncIterable<Uint8Array> {
    return this.#serials({ sql: selectLeaves, values: [nowMs, issuer] });
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

/** A statement that begins with SELECT, and its values. */
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

const selectFallen = `
  SELECT DISTINCT holder AS device_id FROM issuances JOIN revocations USING (id)
  WHERE issuer = $1 AND at_ms >= $2 AND profile LIKE 'ldevid%'`;

const selectMissing = `${selectFallen} AND holder NOT IN (
  SELECT holder FROM issuances JOIN signatures USING (id)
  WHERE issuer = $3 AND holder IS NOT NULL)`;

const selectLeaves = `
  SELECT serial ${fromLive} AND issuer = $2 AND profile NOT LIKE 'link-%'
    AND id NOT IN (SELECT id FROM units)`;

const selectResponders = `SELECT serial ${fromLive} AND profile LIKE 'ocsp-%'`;
