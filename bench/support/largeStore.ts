/** An issuing database with millions of certificates, written row by row by the database itself. */
import { DatabaseSync } from 'node:sqlite';

export interface Filling {
  readonly path: string;
  readonly certificates: number;
  /** Units that are still to be had under the ticket. */
  readonly room: number;
}

export const filledTicketId: Uint8Array = new Uint8Array(16).fill(7);

/** Rows of one statement. */
const rowsTogether = 100_000;
/** What a birth certificate signs, its signature and its leaf have. */
const bytes = { tbs: 330, signature: 71, leaf: 150 } as const;

/**
 * Adds to what is there, an order and a ticket too. Everything is random but addresses and numbers: each new
 * row lands anywhere in every index, as real ones do.
 */
export function fillStore({ path, certificates, room }: Filling): void {
  const database = new DatabaseSync(path);
  const number = (sql: string): number => Number(database.prepare(sql).get()?.['n']);
  try {
    // Nobody needs this file after a crash.
    database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000000;
      PRAGMA foreign_keys = OFF`);
    const first = number('SELECT coalesce(max(id), 0) + 1 AS n FROM issuances');
    const leaf = number('SELECT coalesce(max(id), 0) + 1 AS n FROM audit_leaves') - first;
    insertTicket(database, certificates + room);
    for (let done = 0; done < certificates; done += rowsTogether) {
      const last = Math.min(certificates, done + rowsTogether);
      database.exec('BEGIN');
      for (const sql of inserts(first + done, first + last - 1, { first, leaf })) {
        database.exec(sql);
      }
      database.exec('COMMIT');
    }
    database.exec(`
      UPDATE tickets SET taken = ${certificates};
      UPDATE orders SET eui64_taken = ${certificates};
      PRAGMA journal_mode = WAL`);
  } finally {
    database.close();
  }
}

const firstAddress = '0211000000000000';

function insertTicket(database: DatabaseSync, quantity: number): void {
  database
    .prepare(
      `INSERT INTO orders (id, name, product, family, profile, hw_type, part_number, quantity,
         least_proof, eui64_first, eui64_last, server_identity, created_ms)
       VALUES (1, 'bench', 'bench', 'software', 'idevid', '1.3.6.1.4.1.32473.1', '', ?1, 1,
         unhex('${firstAddress}'), unhex(printf('%016x', 0x${firstAddress} + ?1)), x'', 1)`,
    )
    .run(quantity);
  database.prepare(`INSERT INTO batches VALUES (1, 1, 'bench', ?, NULL, NULL)`).run(quantity);
  database
    .prepare(
      `INSERT INTO tickets (id, ticket_id, batch_id, station_spki, count, least_proof,
         not_before_ms, not_after_ms, signed)
       VALUES (1, ?, 1, x'00', ?, 1, 0, 253402300799000, x'00')`,
    )
    .run(filledTicketId, quantity);
}

/** Ids from one to the other. The first of all has the first address; leaf numbers are so much larger. */
function inserts(
  from: number,
  last: number,
  { first, leaf }: { readonly first: number; readonly leaf: number },
): readonly string[] {
  const numbers = `WITH RECURSIVE n (id) AS (
    SELECT ${from} UNION ALL SELECT id + 1 FROM n WHERE id < ${last})`;
  return [
    `${numbers} INSERT INTO issuances
       (id, serial, issuer, profile, key_id, prepared_ms, not_after_ms, tbs)
     SELECT id, randomblob(16), 'factory', 'idevid@1', randomblob(20), 1, 253402300799000,
       randomblob(${bytes.tbs}) FROM n`,
    `${numbers} INSERT INTO signatures SELECT id, randomblob(${bytes.signature}) FROM n`,
    `${numbers} INSERT INTO units
       (id, ticket, family, uid, model, firmware, proof, device_id, eui64, state)
     SELECT id, 1, 'software', randomblob(9), 'SW-1', '1.0', 1, lower(hex(randomblob(8))),
       unhex(printf('%016x', 0x${firstAddress} + id - ${first})), 2 FROM n`,
    `INSERT INTO unit_keys SELECT key_id, id FROM issuances WHERE id BETWEEN ${from} AND ${last}
     ORDER BY key_id`,
    `${numbers} INSERT INTO audit_leaves SELECT id + ${leaf}, randomblob(${bytes.leaf}) FROM n`,
  ];
}
