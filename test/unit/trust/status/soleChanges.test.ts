/**
 * What the authority takes from a provisioner by its word alone, and what under an approval; and what the
 * checker says when somebody has helped either along.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteStatusStore } from '../../../../src/drivers/store/sqlite/statusStore.ts';
import type { ActRequests } from '../../../../src/trust/approvals/acts.ts';
import type { Begun } from '../../../../src/trust/approvals/permissions.ts';
import { encodeAuditEntry } from '../../../../src/trust/audit/entry.ts';
import { isRefusal } from '../../../../src/trust/ports/faults.ts';
import { hashOfIssued } from '../../../../src/trust/issuance/succession.ts';
import type { IssuedCertificate } from '../../../../src/trust/ports/issuanceStore.ts';
import { type AuthorityNotice, renewed } from '../../../../src/trust/ports/registryStore.ts';
import { orderedAct, reportedAct, StatusNotices } from '../../../../src/trust/status/notices.ts';
import { toHex } from '../../../../src/wire/bytes/hex.ts';
import { isEndorsed } from '../../../../src/wire/line/endorsement.ts';
import { parseCertificate } from '../../../../src/wire/x509/certificate.ts';
import { attributeText } from '../../../../src/wire/x509/names.ts';
import { startMs, testSigner } from '../../../support/issuing/world.ts';
import { testElement, TestStation, unitRequest } from '../../../support/issuing/station.ts';
import { testKey } from '../../../support/pki.ts';
import { deviceIdOf } from '../../../support/registrySamples.ts';
import { twoPersonHouse, type TwoPersonHouse } from '../../../support/twoPersons.ts';

const dayMs = 86_400_000;
const devices = [1, 2, 3].map(deviceIdOf);
const [one = '', two = '', three = ''] = devices;

/** Two devices a day; three devices with a certificate each, and two more that were born in a batch. */
async function setUp(context: TestContext) {
  const house = await twoPersonHouse(context);
  const limited = await house.permissions.allow(
    'limit.mass',
    { devices: 2 },
    await house.approved('limit.mass', { devices: 2 }, 'ada', 'bob'),
  );
  assert.ok(!isRefusal(limited));
  await house.operators.setMassLimit(limited);
  for (const deviceId of devices) await certify(house, deviceId);
  const { authority, world, notes, store: approvals } = house;
  const notices = new StatusNotices({
    crypto: nodeCrypto,
    clock: world.clock,
    certificates: authority.issuanceStore,
    units: new SqliteStatusStore(authority.database),
    audit: authority.auditStore,
    approvals,
    foreign: authority.foreign,
    security: { note: (note) => void notes.push(note) },
  });
  const revokedOf = async (deviceId: string): Promise<number> =>
    (await authority.issuanceStore.certificatesOf(deviceId)).filter(
      ({ revokedMs }) => revokedMs !== undefined,
    ).length;
  return { ...house, notices, revokedOf };
}

async function certify({ authority }: TwoPersonHouse, deviceId: string): Promise<void> {
  const content = { spki: testKey().spki, name: deviceId };
  const [issued] = await authority.issuance.issue([{ profile: 'ldevid', content }]);
  assert.ok(issued !== undefined && !isRefusal(issued));
}

const hashOf = (issued: IssuedCertificate): Uint8Array => hashOfIssued(nodeCrypto, issued);

function notice(deviceId: string, changes: Partial<AuthorityNotice> = {}): AuthorityNotice {
  return {
    sequence: devices.indexOf(deviceId) + 1,
    act: 'revoke-device',
    subject: deviceId,
    holder: deviceId,
    code: 'keyCompromise',
    reason: 'recalled',
    atMs: startMs,
    ...changes,
  };
}

type Mass = ActRequests['status.mass'];

function order(scope: Mass['scope'], changes: Partial<Mass> = {}): Mass {
  return { act: 'revoke', scope, code: 'keyCompromise', reason: 'recalled', ...changes };
}

async function begun(house: TwoPersonHouse, request: Mass): Promise<Begun<'status.mass'>> {
  const id = await house.approved('status.mass', request);
  const approved = await house.permissions.allow('status.mass', request, id);
  assert.ok(!isRefusal(approved));
  const begins = await house.permissions.begin(approved);
  assert.ok(!isRefusal(begins));
  return begins;
}

/** Device ids of two elements that were born in the batch `reel-1`. */
async function births(house: TwoPersonHouse): Promise<readonly string[]> {
  const { authority, permissions, world } = house;
  const wanted = {
    order: 'reel-1',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: 2,
    leastProof: 'line-anchored' as const,
    serverIdentity: Uint8Array.of(0xa1, 1, 2),
  };
  const placed = await permissions.allow(
    'order.create',
    wanted,
    await house.approved('order.create', wanted),
  );
  assert.ok(!isRefusal(placed));
  assert.ok(!isRefusal(await authority.orders.create(placed)));
  const signer = testSigner();
  const ticket = {
    batch: 'reel-1',
    count: 2,
    stationKeySpki: signer.publicKeySpki,
    notBeforeMs: world.nowMs,
    notAfterMs: world.nowMs + dayMs,
  };
  const allowed = await permissions.allow(
    'ticket.issue',
    ticket,
    await house.approved('ticket.issue', ticket),
  );
  assert.ok(!isRefusal(allowed));
  const issued = await authority.orders.issueTicket(allowed);
  assert.ok(!isRefusal(issued));
  const station = new TestStation(authority.line, world.keys.order, issued.signed, signer);
  const opening = await station.open();
  const units = await Promise.all(
    ['uid 1', 'uid 2'].map((uid) => unitRequest(testElement(uid), opening)),
  );
  return (await station.endorse(units)).map((unit) => {
    assert.ok(isEndorsed(unit));
    return unit.deviceId;
  });
}

const code = (outcome: object): string => ('refused' in outcome ? String(outcome.refused) : '');

test('by its word alone a provisioner changes as many devices in a day as one person may', async (context) => {
  const { notices, revokedOf, notes, world } = await setUp(context);
  const all = devices.map((deviceId) => notice(deviceId));
  const first = await notices.record(all);
  assert.deepEqual([first.changed, first.waiting.map(({ subject }) => subject)], [2, [three]]);
  assert.deepEqual(await Promise.all(devices.map(revokedOf)), [1, 1, 0]);
  assert.deepEqual(
    notes.map(({ door, code: word }) => [door, word]),
    [['approvals', 'approval-needed']],
  );
  // Told again and again: what is done counts no more, and the log is not filled with the rest.
  assert.deepEqual((await notices.record(all)).waiting, [all[2]]);
  assert.equal(notes.length, 1);
  world.nowMs += dayMs - 1;
  assert.equal((await notices.record(all)).waiting.length, 1);
  // The hour in which the first ones came counts whole.
  world.nowMs += 3_600_001;
  assert.deepEqual(await notices.record(all), { changed: 1, waiting: [] });
  assert.equal(await revokedOf(three), 1);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('a device counts once, with all that it has; holds and reinstatements count as well', async (context) => {
  const { notices, revokedOf, authority, world, ...house } = await setUp(context);
  await certify({ ...house, authority, world }, one);
  const hold = { code: 'certificateHold' } as const;
  assert.deepEqual(await notices.record([notice(one, hold)]), { changed: 2, waiting: [] });
  const back = await notices.record([notice(one, { code: 'removeFromCRL' })]);
  assert.deepEqual(back, { changed: 2, waiting: [] });
  assert.equal((await notices.record([notice(two)])).waiting.length, 1);
  assert.equal(await revokedOf(two), 0);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('a renewal that is reported is no change by a person; the end of the newest certificate is', async (context) => {
  const { notices, authority, world, ...house } = await setUp(context);
  for (const deviceId of devices) await certify({ ...house, authority, world }, deviceId);
  const ofEach = async (at: number): Promise<readonly AuthorityNotice[]> =>
    Promise.all(
      devices.map(async (deviceId) => {
        const all = (await authority.issuanceStore.certificatesOf(deviceId)).map(hashOf);
        return notice(deviceId, {
          act: 'revoke-certificate',
          subject: toHex(all.at(at) ?? new Uint8Array(0)),
          ...renewed,
        });
      }),
    );
  assert.deepEqual(await notices.record(await ofEach(0)), { changed: 3, waiting: [] });
  assert.deepEqual((await world.fsck()).faults, []);
  const { changed, waiting } = await notices.record(await ofEach(-1));
  assert.deepEqual([changed, waiting.length], [2, 1]);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('no word of a provisioner touches the certificate of an authority', async (context) => {
  const { notices, authority, world } = await setUp(context);
  const leaves = await authority.auditStore.countLeaves();
  for (const role of ['root', 'factory', 'operational', 'server']) {
    const certificate = world.certificateOf(role);
    const holder = attributeText(parseCertificate(certificate).subject, 'commonName') ?? '';
    assert.equal((await authority.issuanceStore.certificatesOf(holder)).length, 1);
    const subject = toHex(nodeCrypto.hash('SHA-256', certificate));
    for (const named of [holder, undefined]) {
      const said = { act: 'revoke-certificate', subject, holder: named } as const;
      assert.deepEqual(await notices.record([notice(holder, said)]), { changed: 0, waiting: [] });
    }
    assert.deepEqual(await notices.record([notice(holder)]), { changed: 0, waiting: [] });
  }
  assert.equal(await authority.auditStore.countLeaves(), leaves);
});

test('an approval covers the devices that it names, this change of theirs, and nothing else', async (context) => {
  const house = await setUp(context);
  const { notices, revokedOf, notes } = house;
  const allowed = await begun(house, order({ by: 'device', deviceIds: [one, two] }));
  const wrong: ReadonlyArray<readonly AuthorityNotice[]> = [
    [notice(one), notice(three)],
    [notice(one, { code: 'superseded' })],
    [notice(one, { code: 'certificateHold' })],
    [notice(one, { reason: 'because' })],
  ];
  for (const said of wrong) {
    assert.equal(code(await notices.recordOrdered(allowed, said)), 'not-ordered');
  }
  assert.deepEqual(await Promise.all(devices.map(revokedOf)), [0, 0, 0]);
  assert.equal(notes.filter((note) => note.code === 'not-ordered').length, wrong.length);
  const done = await notices.recordOrdered(allowed, [notice(one), notice(two)]);
  assert.deepEqual(done, { changed: 2, waiting: [] });
  // What was approved is not what one person may still do.
  assert.equal(await house.store.soleChangesLeft(house.world.nowMs), 2);
  assert.deepEqual((await house.world.fsck()).faults, []);
});

test('an approval of a batch covers what was born in it', async (context) => {
  const house = await setUp(context);
  const { notices } = house;
  const [born = '', other = ''] = await births(house);
  const batch = await begun(house, order({ by: 'batch', name: 'reel-1' }));
  assert.equal(
    code(await notices.recordOrdered(batch, [notice(born), notice(one)])),
    'not-ordered',
  );
  assert.ok(!isRefusal(await notices.recordOrdered(batch, [notice(born)])));
  const family = { by: 'family', name: 'software', firmware: '2.0' } as const;
  const newer = await begun(house, order(family));
  assert.equal(code(await notices.recordOrdered(newer, [notice(other)])), 'not-ordered');
  const older = await begun(house, order({ ...family, firmware: '1.0' }));
  assert.ok(!isRefusal(await notices.recordOrdered(older, [notice(other)])));
  assert.deepEqual((await house.world.fsck()).faults, []);
});

test('the checker finds each change that nobody allowed', async (context) => {
  const house = await setUp(context);
  const { notices, world, authority } = house;
  const [born = ''] = await births(house);
  const allowed = await begun(house, order({ by: 'batch', name: 'reel-1' }));
  await notices.recordOrdered(allowed, [notice(born)]);
  await notices.record([notice(one), notice(two)]);
  await world.logHead(authority);
  authority.database.close();
  assert.deepEqual((await world.fsck()).faults, []);
  const approval = toHex(allowed.approval ?? new Uint8Array(0));
  const decided = (act: string, subject: string, detail: string): string =>
    toHex(encodeAuditEntry({ kind: 'decision', atMs: world.nowMs, act, subject, detail }));
  const insert = (entry: string): string => `INSERT INTO audit_leaves (entry) VALUES (x'${entry}')`;
  const blank = (act: string): string =>
    `UPDATE audit_leaves SET entry = x'${decided('nothing', 'nobody', '')}'
     WHERE instr(hex(entry), '${toHex(new TextEncoder().encode(act)).toUpperCase()}') > 0`;
  const tampering: ReadonlyArray<readonly [sql: string, fault: RegExp]> = [
    [blank(reportedAct), new RegExp(`${one}: revoked, and no entry before it`)],
    [blank(orderedAct), new RegExp(`${born}: revoked, and no entry before it`)],
    [insert(decided(reportedAct, 'revoked', three)), /status of 3 devices was changed in a day/],
    [insert(decided(orderedAct, approval, `revoked ${one}`)), /was revoked under it/],
    [insert(decided(orderedAct, approval, `held ${born}`)), /was held under it/],
    [insert(decided(orderedAct, '00'.repeat(32), `revoked ${born}`)), /was not used for that/],
  ];
  const whole = readFileSync(world.path);
  for (const [sql, fault] of tampering) {
    const database = new DatabaseSync(world.path);
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
