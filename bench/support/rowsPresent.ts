/**
 * Rows that stand in a database before anything is measured: as many as an authority has after some years,
 * with keys like the real ones: random, or random behind the time of their making. Made without
 * durability, by SQLite itself.
 */
import { DatabaseSync } from 'node:sqlite';

/** Bytes of a certificate's signed part; what they say is read by nobody here. */
const tbsBytes = 430;

/** As `trust/issuance/drawn.ts` makes them, from the past: what is new sorts behind. */
const serial = (number: string): string =>
  `unhex(printf('%012x', 1000000000000 + ${number}) || hex(randomblob(10)))`;
const deviceId = (number: string): string =>
  `printf('%08x', 1000000000 + ${number}) || lower(hex(randomblob(4)))`;

/** The rows that issuing leaves of `count` units, under the ticket whose row is given. */
export function fillIssuing(path: string, count: number, ticket: number): void {
  fill(path, count, (numbers) => [
    `INSERT INTO issuances (serial, issuer, profile, key_id, prepared_ms, not_after_ms, tbs)
     SELECT ${serial('n')}, 'factory', 'idevid@1', randomblob(20), 0, 0, zeroblob(${tbsBytes})
     FROM ${numbers}`,
    `INSERT INTO units (id, ticket, family, uid, model, firmware, proof, device_id, eui64)
     SELECT id, ${ticket}, 'software', randomblob(9), 'SW-1', '1.0', 1, ${deviceId('id')},
            randomblob(8)
     FROM issuances`,
    'INSERT INTO unit_keys SELECT key_id, id FROM issuances',
    'INSERT INTO signatures SELECT id, randomblob(71) FROM issuances',
    `INSERT INTO audit_leaves (entry) SELECT randomblob(120) FROM ${numbers}`,
  ]);
}

/** The same for the bare tables. */
export function fillBare(path: string, count: number): void {
  fill(path, count, (numbers) => [
    // The numbers that are measured begin at 1.
    `INSERT INTO issuances SELECT 1000000000 + n, ${serial('n')}, zeroblob(${tbsBytes})
     FROM ${numbers}`,
    `INSERT INTO units SELECT id, randomblob(9), ${deviceId('id - 1000000000')}, randomblob(8)
     FROM issuances`,
    'INSERT INTO unit_keys SELECT randomblob(20), id FROM issuances',
    'INSERT INTO signatures SELECT id, randomblob(71) FROM issuances',
    `INSERT INTO audit_leaves (entry) SELECT randomblob(120) FROM ${numbers}`,
  ]);
}

function fill(
  path: string,
  count: number,
  statements: (numbers: string) => readonly string[],
): void {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
  const numbers = `(WITH RECURSIVE counted(n) AS
    (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < ${count}) SELECT n FROM counted)`;
  try {
    database.exec(
      'PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -512000',
    );
    database.exec(`BEGIN; ${statements(numbers).join(';\n')}; COMMIT`);
  } finally {
    database.close();
  }
}
