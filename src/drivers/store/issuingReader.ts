/** What is read of an authority's database of either kind at one moment. */
import type {
  CertificateEnds,
  IssuingReader,
  ListedCertificate,
  ListEnds,
} from '../../trust/ports/issuingReader.ts';
import type { AuthorityLists } from '../../trust/ports/statusStore.ts';
import type { LedgerLine } from '../../trust/ports/ticketLedger.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { firstRow, type Snapshot } from './snapshot.ts';
import { listsOf } from './sqlite/statusStore.ts';
import { orderOf } from './sqlite/orderRows.ts';
import { blob, integer, type Row, text } from './sqlite/rows.ts';

export class SnapshotIssuingReader implements IssuingReader {
  readonly #snapshot: Snapshot;

  /** Of a database with the tables of `issuingMigrations`; whoever opened it closes it. */
  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  leaves(from: number, limit: number): Promise<readonly Uint8Array[]> {
    return this.#all((row) => blob(row, 'entry'), selectLeaves, from, limit);
  }

  async countLeaves(): Promise<number> {
    const select = 'SELECT coalesce(max(id), 0) AS n FROM audit_leaves';
    return integer(await firstRow(this.#snapshot, select), 'n');
  }

  profiles(): Promise<ReadonlyArray<{ readonly text: string }>> {
    return this.#all((row) => ({ text: text(row, 'document') }), 'SELECT document FROM profiles');
  }

  certificateEnds(nowMs: number): Promise<readonly CertificateEnds[]> {
    return this.#all(certificateEndsOf, selectCertificateEnds, nowMs, noExpirationMs);
  }

  listEnds(): Promise<readonly ListEnds[]> {
    return this.#all(listEndsOf, selectListEnds);
  }

  authorityLists(): Promise<readonly AuthorityLists[]> {
    return this.#all(listsOf, 'SELECT * FROM authorities ORDER BY name');
  }

  dueLists(nowMs: number): Promise<readonly string[]> {
    return this.#all((row) => text(row, 'authority'), selectDueLists, nowMs);
  }

  async *listed(authority: string): AsyncGenerator<ListedCertificate, void> {
    for await (const row of this.#snapshot.rows(selectListed, authority)) {
      yield {
        serialNumber: blob(row, 'serial'),
        keyIdentifier: blob(row, 'key_id'),
        code: integer(row, 'code'),
        atMs: integer(row, 'at_ms'),
      };
    }
  }

  async ledgerLines(): Promise<readonly LedgerLine[]> {
    const batches = new Map<number, Array<{ readonly batch: string; readonly quantity: number }>>();
    for await (const row of this.#snapshot.rows('SELECT * FROM batches ORDER BY id')) {
      const order = integer(row, 'order_id');
      const batch = { batch: text(row, 'name'), quantity: integer(row, 'quantity') };
      batches.set(order, [...(batches.get(order) ?? []), batch]);
    }
    const orderLine = (row: Row): LedgerLine => ({
      kind: 'order',
      order: orderOf(row),
      batches: batches.get(integer(row, 'id')) ?? [],
    });
    return [
      ...(await this.#all(orderLine, 'SELECT * FROM orders ORDER BY id')),
      ...(await this.#all(ticketLine, selectTickets)),
    ];
  }

  async #all<Value>(
    read: (row: Row) => Value,
    select: string,
    ...values: ReadonlyArray<string | number>
  ): Promise<readonly Value[]> {
    const found: Value[] = [];
    for await (const row of this.#snapshot.rows(select, ...values)) found.push(read(row));
    return found;
  }
}

/** Rows are numbered from 1, leaves from 0. */
const selectLeaves = 'SELECT entry FROM audit_leaves WHERE id > $1 ORDER BY id LIMIT $2';

const selectCertificateEnds = `
  SELECT profile, count(*) AS n, min(not_after_ms) AS first_ms, max(not_after_ms) AS last_ms
  FROM issuances JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE not_after_ms > $1 AND not_after_ms < $2 AND revocations.id IS NULL
  GROUP BY profile`;

function certificateEndsOf(row: Row): CertificateEnds {
  return {
    profile: text(row, 'profile'),
    count: integer(row, 'n'),
    firstMs: integer(row, 'first_ms'),
    lastMs: integer(row, 'last_ms'),
  };
}

const selectListEnds = `
  SELECT authority, count(*) AS n, min(next_update_ms) AS first_ms
  FROM signed_lists JOIN lists ON lists.id = signed_lists.list
  GROUP BY authority`;

const selectDueLists = `
  SELECT DISTINCT authority FROM lists WHERE revision > listed_revision OR due_ms <= $1
  ORDER BY authority`;

function listEndsOf(row: Row): ListEnds {
  return {
    authority: text(row, 'authority'),
    count: integer(row, 'n'),
    firstMs: integer(row, 'first_ms'),
  };
}

const selectListed = `
  SELECT serial, key_id, code, list_entries.at_ms FROM list_entries
  JOIN lists ON lists.id = list JOIN issuances ON issuances.id = certificate
  WHERE authority = $1 AND listed = 1 ORDER BY certificate`;

const selectTickets = `
  SELECT ticket_id, name, count, not_after_ms FROM tickets JOIN batches ON batches.id = batch_id
  ORDER BY tickets.id`;

function ticketLine(row: Row): LedgerLine {
  return {
    kind: 'ticket',
    ticketId: blob(row, 'ticket_id'),
    batch: text(row, 'name'),
    count: integer(row, 'count'),
    notAfterMs: integer(row, 'not_after_ms'),
  };
}
