/** How far one person comes with secrets, policies, cases and the log's key, where two are needed. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { caseDesk, Cases } from '../../../src/apps/authority/cases.ts';
import { SqliteCaseStore } from '../../../src/drivers/store/sqlite/caseStore.ts';
import type { ActKind, ActRequests } from '../../../src/trust/approvals/acts.ts';
import type { Approved } from '../../../src/trust/approvals/permissions.ts';
import { encodeAuditEntry } from '../../../src/trust/audit/entry.ts';
import { knownDevice, secretAct } from '../../../src/trust/issuance/grants.ts';
import { isRefusal, type Refusal } from '../../../src/trust/ports/faults.ts';
import type { LossCase } from '../../../src/trust/ports/lossCase.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { deviceIdOf } from '../../support/registrySamples.ts';
import { twoPersonHouse } from '../../support/twoPersons.ts';

const dayMs = 86_400_000;
const order = { product: 'meter', profile: 'ldevid', lifetimeMs: dayMs };
const named = { ...order, deviceId: deviceIdOf(1) };
const policy = {
  profile: 'ldevid',
  approval: 'first',
  afterExpiry: { kind: 'within', days: 9 },
} as const;

async function setUp(context: TestContext) {
  const house = await twoPersonHouse(context);
  const { authority, permissions } = house;
  const allowed = async <Kind extends ActKind>(
    kind: Kind,
    request: ActRequests[Kind],
  ): Promise<Approved<Kind>> => {
    const id = await house.approved(kind, request, 'ada', 'bob');
    const approved = await permissions.allow(kind, request, id);
    assert.ok(!isRefusal(approved));
    return approved;
  };
  const cases = await Cases.open(new SqliteCaseStore(authority.database));
  return { ...house, allowed, cases, desk: caseDesk(cases, permissions) };
}

const lost = (name: string): LossCase => ({
  name,
  kind: 'family',
  subject: name,
  reason: 'known keys',
  openedMs: 1,
  steps: [{ name: 'revoked', doneMs: 2, detail: 'all' }],
});

function code(outcome: object | Refusal<string> | undefined): string {
  return outcome !== undefined && isRefusal(outcome) ? outcome.refused : 'done';
}

test('one person makes a day’s share of secrets, and none for a device that is named', async (context) => {
  const { authority, allowed, world, permissions } = await setUp(context);
  const { grants } = authority;
  assert.equal(code(await grants.createSecretAlone(order, 2)), 'done');
  assert.equal(code(await grants.createSecretAlone(order, 2)), 'done');
  assert.equal(code(await grants.createSecretAlone(order, 2)), 'approval-needed');
  assert.equal(code(await permissions.allow('secret.create', named, undefined)), 'approval-needed');
  const approved = await allowed('secret.create', named);
  assert.equal(code(await grants.createSecret(approved)), 'done');
  assert.equal(code(await grants.createSecret(approved)), 'approval-spent');
  assert.equal((await grants.secrets(9)).length, 3);
  world.nowMs += dayMs + 3_600_000;
  assert.equal(code(await grants.createSecretAlone(order, 2)), 'done');
  assert.deepEqual((await world.fsck()).faults, []);
});

test('a policy of enrolment and the end of a case take two', async (context) => {
  const { authority, allowed, desk, cases, permissions, world } = await setUp(context);
  const { grants } = authority;
  assert.equal(
    code(await permissions.allow('policy.change', policy, undefined)),
    'approval-needed',
  );
  const changed = await allowed('policy.change', policy);
  assert.equal(await grants.savePolicy(changed), undefined);
  assert.equal(code(await grants.savePolicy(changed)), 'approval-spent');
  assert.deepEqual(
    (await grants.policies()).find(({ profile }) => profile === 'ldevid'),
    policy,
  );
  // To stop needs nobody.
  await desk.openCase(lost('tpm'));
  assert.equal(code(await desk.closeCase('tpm', 9)), 'approval-needed');
  assert.equal(cases.isElementLost('tpm', '1'), true);
  const { spending } = await allowed('case.close', { case: 'tpm' });
  assert.equal(code(await desk.closeCase('tpm', 9, spending?.id)), 'done');
  assert.equal(cases.isElementLost('tpm', '1'), false);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('the checker finds what one person did all the same', async (context) => {
  const { authority, allowed, desk, world, store } = await setUp(context);
  const limit = (await store.mode())?.massLimit ?? 0;
  await authority.grants.createSecret(await allowed('secret.create', named));
  await authority.grants.savePolicy(await allowed('policy.change', policy));
  await desk.openCase(lost('tpm'));
  await world.logHead(authority);
  authority.database.close();
  assert.deepEqual((await world.fsck()).faults, []);
  const insert = (act: string, subject: string, detail: string): string => {
    const entry = encodeAuditEntry({ kind: 'decision', atMs: world.nowMs, act, subject, detail });
    return `INSERT INTO audit_leaves (entry) VALUES (x'${toHex(entry)}');`;
  };
  const secret = insert(secretAct, deviceIdOf(2), 'ldevid of meter');
  const tampering: ReadonlyArray<readonly [sql: string, fault: RegExp]> = [
    [secret.repeat(limit + 1), /one-time secrets in a day by one person/],
    [
      insert(secretAct, deviceIdOf(2), `ldevid of meter${knownDevice}`),
      /without its approval before it/,
    ],
    [
      insert('enrolment-policy', 'ldevid', 'approval none, after expiry never'),
      /decision ldevid without its approval/,
    ],
    ["UPDATE enrolment_policies SET approval = 'none'", /policy of ldevid: nobody has decided it/],
    [insert('case-closed', 'tpm', '{}'), /decision tpm without its approval/],
    [insert('log-key-lost', 'log', 'empty'), /a new key by one person/],
  ];
  const whole = readFileSync(world.path);
  for (const [sql, fault] of tampering) {
    const database = new DatabaseSync(world.path);
    database.exec(sql);
    database.close();
    const { faults } = await world.fsck();
    assert.ok(
      faults.some((text) => fault.test(text)),
      `${sql.slice(0, 200)}\n${faults.join('\n')}`,
    );
    writeFileSync(world.path, whole);
  }
});
