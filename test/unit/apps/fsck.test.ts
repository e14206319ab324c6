import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { testElement, TestStation, unitRequest } from '../../support/issuing/station.ts';
import { testSigner, World } from '../../support/issuing/world.ts';

/** An installation with a closed ticket of three units, one scrapped, and an open order beside it. */
async function installation(context: TestContext): Promise<World> {
  const world = await World.create(context);
  const authority = world.open();
  const signer = testSigner();
  const ticket = await world.ticket(authority, signer, 3);
  const station = new TestStation(authority.line, world.keys.order, ticket.signed, signer);
  const opening = await station.open();
  const elements = ['a', 'b', 'c'].map(testElement);
  await station.endorse(await Promise.all(elements.map((one) => unitRequest(one, opening))));
  const [a, b, c] = elements;
  assert.ok(a && b && c);
  await station.report([
    [a, 'locked'],
    [b, 'locked'],
    [c, 'scrapped'],
  ]);
  await station.close({ issued: 3, released: 2, scrapped: 1, returned: 0 });
  await world.ticket(authority, signer, 5, 'order-2');
  await world.logHead(authority);
  authority.database.close();
  return world;
}

test('an installation that was left alone adds up', async (context) => {
  const world = await installation(context);
  const { faults, ...report } = await world.fsck();
  assert.deepEqual(faults, []);
  assert.deepEqual(report, {
    ok: true,
    certificates: 8,
    revoked: 1,
    units: 3,
    tickets: 2,
    leaves: 14,
    lists: 0,
    approvals: 0,
    unfinished: 0,
  });
});

/** The value of the eighth row in the seventh. */
function ofTheNext(table: string, column: string, id = 'id'): string {
  return `${column} = (SELECT ${column} FROM ${table} WHERE ${id} = 8) WHERE ${id} = 7`;
}

/** What somebody did to the file, and what the checker says of it. */
const tampering: ReadonlyArray<readonly [sql: string, fault: RegExp]> = [
  ['UPDATE tickets SET taken = 2 WHERE id = 1', /3 identities, 2 counted/],
  ['UPDATE tickets SET taken = 2, count = 2 WHERE id = 1', /3 identities, 2 allowed/],
  ['UPDATE batches SET quantity = 2 WHERE id = 1', /3 promised, 2 ordered/],
  ['UPDATE orders SET eui64_taken = 1 WHERE id = 1', /addresses do not match identities/],
  [
    "UPDATE orders SET eui64_first = x'0200000000000000' WHERE id = 1",
    /its address is not of its order/,
  ],
  ["UPDATE orders SET eui64_first = x'020000fffe000001' WHERE id = 2", /share the address/],
  ['UPDATE units SET state = 1 WHERE id = (SELECT min(id) FROM units)', /not accounted for/],
  ['UPDATE batches SET closed_ms = 1 WHERE id = 2', /closed with open tickets/],
  ['DELETE FROM revocations', /scrapped and not revoked/],
  [
    'INSERT INTO revocations (id, reason, at_ms) SELECT 999, reason, at_ms FROM revocations',
    /refers to a row|never signed/,
  ],
  [
    'UPDATE signatures SET signature = (SELECT signature FROM signatures WHERE id = 1) WHERE id = 7',
    /signature is not that of the factory authority/,
  ],
  [
    "UPDATE issuances SET issuer = 'server' WHERE id = 7",
    /signature is not that of the server authority/,
  ],
  [
    "UPDATE issuances SET serial = x'000102030405060708090a0b0c0d0e0f' WHERE id = 7",
    /another serial number in what is signed/,
  ],
  [
    "UPDATE issuances SET key_id = x'0001020304050607080900010203040506070809' WHERE id = 7",
    /another key in what is signed/,
  ],
  ['UPDATE issuances SET not_after_ms = 0 WHERE id = 7', /another end in what is signed/],
  [
    "UPDATE units SET device_id = '0000000000000000' WHERE id = 7",
    /another holder in what is signed/,
  ],
  ["UPDATE issuances SET tbs = x'3000' WHERE id = 7", /found at byte|der:/],
  ['DELETE FROM unit_keys WHERE unit = 7', /keys are not registered/],
  ['DELETE FROM audit_leaves WHERE id = 9', /leaf 9 is missing|signed and not logged/],
  ['DELETE FROM audit_leaves WHERE id = 14', /a head of 14 leaves, but there are 13/],
  [
    'UPDATE audit_leaves SET entry = (SELECT entry FROM audit_leaves WHERE id = 1) WHERE id = 8',
    /logged twice/,
  ],
  ["UPDATE audit_leaves SET entry = x'80' WHERE id = 6", /an entry cannot be read/],
  ['UPDATE audit_heads SET root = zeroblob(32)', /the head of 14 leaves is not their root/],
  ['DELETE FROM signatures WHERE id = 7', /logged and not recorded/],
  [`UPDATE issuances SET ${ofTheNext('issuances', 'key_id')}`, /the public key \w+ is there twice/],
  [`UPDATE units SET ${ofTheNext('units', 'agree_key')}`, /the public key \w+ is there twice/],
];

/** In tables that the database keeps unique, once somebody has taken that off. */
const doubled: ReadonlyArray<readonly [table: string, set: string, fault: RegExp]> = [
  ['issuances', ofTheNext('issuances', 'serial'), /the serial number \w+ is there twice/],
  ['units', ofTheNext('units', 'uid'), /the element software \w+ is there twice/],
  ['units', ofTheNext('units', 'device_id'), /the device id \w+ is there twice/],
  ['units', ofTheNext('units', 'eui64'), /the EUI-64 \w+ is there twice/],
  ['unit_keys', ofTheNext('unit_keys', 'key_id', 'unit'), /the registered key \w+ is there twice/],
];

function unconstrained(database: DatabaseSync, table: string): string {
  const row = database.prepare('SELECT sql FROM sqlite_schema WHERE name = ?').get(table);
  const sql = String(row?.['sql'])
    .replace(/,\s*UNIQUE \([^)]*\)/, '')
    .replaceAll(/ UNIQUE|, WITHOUT ROWID/g, '')
    .replace('BLOB PRIMARY KEY', 'BLOB')
    .replace(`TABLE ${table}`, 'TABLE copy');
  return `${sql}; INSERT INTO copy SELECT * FROM ${table};
    DROP TABLE ${table}; ALTER TABLE copy RENAME TO ${table};`;
}

test('what was changed behind the program’s back is found', async (context) => {
  const world = await installation(context);
  const whole = readFileSync(world.path);
  const isFound = async (
    change: (database: DatabaseSync) => string,
    fault: RegExp,
  ): Promise<void> => {
    const database = new DatabaseSync(world.path, { enableForeignKeyConstraints: false });
    database.exec('PRAGMA ignore_check_constraints = ON; PRAGMA legacy_alter_table = ON');
    const sql = change(database);
    database.exec(sql);
    database.close();
    const { ok, faults } = await world.fsck();
    assert.equal(ok, false, sql);
    assert.ok(
      faults.some((text) => fault.test(text)),
      `${sql}\n${faults.join('\n')}`,
    );
    writeFileSync(world.path, whole);
  };
  for (const [sql, fault] of tampering) await isFound(() => sql, fault);
  for (const [table, set, fault] of doubled) {
    await isFound(
      (database) => `${unconstrained(database, table)} UPDATE ${table} SET ${set}`,
      fault,
    );
  }
  assert.deepEqual((await world.fsck()).faults, []);
});
