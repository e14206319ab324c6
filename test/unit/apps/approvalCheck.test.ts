/** What the independent checker says of two persons, when somebody has helped the database along. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { encodeAuditEntry } from '../../../src/trust/audit/entry.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import type { World } from '../../support/issuing/world.ts';
import { twoPersonHouse } from '../../support/twoPersons.ts';

/** An order that two persons placed, and one that waits. */
async function installation(context: TestContext): Promise<World> {
  const house = await twoPersonHouse(context);
  const order = (name: string) => ({
    order: name,
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: 10,
    leastProof: 'line-anchored' as const,
    serverIdentity: Uint8Array.of(0xa1, 1, 2),
  });
  const id = await house.approved('order.create', order('order-1'));
  const approved = await house.permissions.allow('order.create', order('order-1'), id);
  assert.ok(!isRefusal(approved));
  assert.ok(!isRefusal(await house.authority.orders.create(approved)));
  await house.approved('order.create', order('order-2'));
  await house.world.logHead(house.authority);
  house.authority.database.close();
  return house.world;
}

const forged = toHex(
  encodeAuditEntry({
    kind: 'ordered',
    atMs: 1,
    order: 'order-9',
    recordSha256: new Uint8Array(32),
  }),
);
const granted = toHex(
  encodeAuditEntry({
    kind: 'decision',
    atMs: 1,
    act: 'operator-grant',
    subject: 'eve',
    detail: '',
  }),
);
const decided = (act: string, subject: string, detail: string): string =>
  toHex(encodeAuditEntry({ kind: 'decision', atMs: 1, act, subject, detail }));
/** Behind the first admins, as if it were one more of them; and behind a second beginning. */
const founded = decided('operator-added', 'mallory', `admin, ${'0'.repeat(64)}`);
const begunAgain = decided('two-person', '00'.repeat(16), 'mass limit 100');
const authorityOf = (profile: string): string =>
  toHex(
    encodeAuditEntry({
      kind: 'issued',
      atMs: 1,
      issuerKeyId: new Uint8Array(20),
      serialNumber: new Uint8Array(16),
      certificateSha256: new Uint8Array(32),
      profile,
      holder: 'Other Operational',
      ticketId: undefined,
    }),
  );
const last = '(SELECT max(id) FROM approvals)';

const tampering: ReadonlyArray<readonly [sql: string, fault: RegExp]> = [
  ['DELETE FROM two_person', /switched off behind its back/],
  [`UPDATE approvals SET spent_ms = 1 WHERE id = ${last}`, /spent and not logged so/],
  [
    'UPDATE approvals SET spent_ms = NULL, done_ms = NULL WHERE id = 3',
    /logged as spent, and open/,
  ],
  [`UPDATE approvals SET requester = 1 WHERE id = ${last}`, /recorded otherwise/],
  [`UPDATE approvals SET decided_by = 2 WHERE id = ${last}`, /decided otherwise than logged/],
  [`UPDATE approvals SET decision = 'rejected' WHERE id = ${last}`, /decided otherwise/],
  [`DELETE FROM approvals WHERE id = ${last}`, /logged and not recorded/],
  [
    "UPDATE operators SET certificate = (SELECT certificate FROM operators WHERE name = 'ada')",
    /not signed by/,
  ],
  [
    `INSERT INTO approvals SELECT 99, zeroblob(32), act, requester, signed, taken_ms, expires_ms,
       NULL, NULL, NULL, NULL, NULL, NULL FROM approvals WHERE id = ${last}`,
    /not in the log/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${forged}')`,
    /ordered order-9 without its approval/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${granted}')`,
    /decision eve without its approval before it/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${decided('mass-limit', '9000', '')}')`,
    /decision 9000 without its approval/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${authorityOf('issuing@1')}')`,
    /authority Other Operational: certified by one person/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${authorityOf('authority-city@1')}')`,
    /authority Other Operational: certified by one person/,
  ],
  [
    `UPDATE orders SET quantity = 11, eui64_last = x'02000000fe00000a';
     UPDATE batches SET quantity = 11`,
    /order order-1: is not what was ordered/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${decided('order-raised', 'order-1', 'order-1 by 9')}')`,
    /decision order-1 without its approval/,
  ],
  ['UPDATE two_person SET mass_limit = 1000000', /more or fewer devices than the log says/],
  [
    `INSERT INTO operators SELECT 99, 'mallory', certificate, randomblob(20), 1, NULL
     FROM operators WHERE name = 'ada'`,
    /operator mallory: not in the log/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${begunAgain}'), (x'${founded}')`,
    /decision mallory without its approval before it/,
  ],
  [
    `INSERT INTO audit_leaves (entry) VALUES (x'${begunAgain}')`,
    /two persons: begun a second time/,
  ],
  [
    `INSERT INTO operator_roles (operator, role, granted_ms)
     SELECT id, 'admin', 1 FROM operators WHERE name = 'eve'`,
    /operator eve: other roles/,
  ],
  ["UPDATE operators SET revoked_ms = 1 WHERE name = 'kim'", /operator kim: revoked otherwise/],
  [
    `UPDATE operators SET certificate = (SELECT certificate FROM operators WHERE name = 'kim')
     WHERE name = 'eve'`,
    /operator eve: another certificate/,
  ],
];

test('what two persons did adds up, and what was done behind their backs does not', async (context) => {
  const world = await installation(context);
  const report = await world.fsck();
  assert.deepEqual(report.faults, []);
  // Two operators were added, an order placed, another one waits.
  assert.equal(report.approvals, 4);
  const whole = readFileSync(world.path);
  for (const [sql, fault] of tampering) {
    const database = new DatabaseSync(world.path, { enableForeignKeyConstraints: false });
    database.exec('PRAGMA ignore_check_constraints = ON');
    database.exec(sql);
    database.close();
    const { faults } = await world.fsck();
    assert.ok(
      faults.some((text) => fault.test(text)),
      `${sql}\n${faults.join('\n')}`,
    );
    writeFileSync(world.path, whole);
  }
});
