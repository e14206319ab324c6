/** Elements of other makers at the authority: whom it believes by itself, and what a forged request gets. */
import { alone } from '../../support/alone.ts';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import type { LdevidOutcome, LdevidRequest } from '../../../src/trust/ports/enrolment.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { printName } from '../../../src/wire/x509/names.ts';
import { type OpenAuthority, World } from '../../support/issuing/world.ts';
import {
  forged,
  type TestIdentity,
  testKey,
  type TestPki,
  testPki,
  testRequest,
} from '../../support/pki.ts';
import { deviceIdOf } from '../../support/registrySamples.ts';

const product = 'thermometer';

interface House {
  readonly world: World;
  readonly authority: OpenAuthority;
  /** The other maker. */
  readonly maker: TestPki;
  readonly ask: (
    device: number,
    shown: TestIdentity,
    changes?: Partial<LdevidRequest>,
  ) => Promise<LdevidOutcome>;
}

async function open(context: { after(done: () => void): void }, count = 2): Promise<House> {
  const world = await World.create(context);
  const authority = world.open();
  const maker = testPki();
  const pinned = await authority.foreign.pin(
    await alone('anchor.pin', {
      product,
      certificate: maker.root.certificate.der,
      count,
    }),
  );
  assert.ok(!isRefusal(pinned));
  return {
    world,
    authority,
    maker,
    ask: (device, shown, changes = {}) =>
      authority.certification.certifyDevice({
        deviceId: deviceIdOf(device),
        authenticatedBy: shown.certificate.der,
        issuers: [maker.factory.certificate.der],
        product,
        request: testRequest(testKey()),
        profile: 'ldevid',
        ...changes,
      }),
  };
}

function word(outcome: LdevidOutcome): string {
  if (isRefusal(outcome)) return outcome.reason;
  return 'certificate' in outcome ? 'issued' : 'later';
}

test('a device of another maker is bound once, gets an LDevID, and renews with it', async (context) => {
  const { world, authority, maker, ask } = await open(context);
  const idevid = maker.idevid('0123F1822C38DD7A01');
  const first = await ask(1, idevid);
  assert.ok('certificate' in first, word(first));
  const issued = parseCertificate(first.certificate);
  assert.equal(printName(issued.subject), `serialNumber=${deviceIdOf(1)},O=Test`);
  assert.equal(word(await ask(1, idevid)), 'issued');
  const renewed = await ask(1, { ...idevid, certificate: issued }, { issuers: [] });
  assert.equal(word(renewed), 'issued');
  const [anchor] = await authority.foreign.anchors();
  assert.deepEqual([anchor?.taken, anchor?.count], [1, 2]);
  const kinds = (await authority.auditStore.leaves(0, 100)).map(
    (leaf) => readAuditEntry(leaf).kind,
  );
  // Neither shown nor the newest, the second one ends with the third.
  assert.deepEqual(kinds.slice(-6), [
    'foreign-anchor',
    'foreign-device',
    'issued',
    'issued',
    'revoked',
    'issued',
  ]);
  assert.deepEqual((await world.fsck()).faults, []);
});

test('who is not believed: another product, another maker, a forgery, somebody else’s place', async (context) => {
  const { authority, maker, ask } = await open(context);
  const idevid = maker.idevid('A1');
  assert.match(word(await ask(1, idevid, { product: 'gateway' })), /No authority of another maker/);
  assert.match(word(await ask(1, testPki().idevid('A1'))), /not believed/);
  assert.match(word(await ask(1, forged(idevid))), /not believed/);
  assert.match(word(await ask(1, idevid, { issuers: [] })), /not believed/);
  assert.match(
    word(await ask(1, idevid, { authenticatedBy: Uint8Array.of(0x30, 0) })),
    /cannot be read/,
  );
  assert.match(word(await ask(1, idevid, { deviceId: 'no device id' })), /No device/);
  assert.match(word(await ask(1, idevid, { profile: 'server' })), /not for devices/);
  // An operational certificate of the other maker is no identity from birth.
  assert.match(word(await ask(1, maker.server)), /not believed/);
  assert.equal(word(await ask(1, idevid)), 'issued');
  assert.match(word(await ask(2, idevid)), /bound otherwise/);
  assert.match(word(await ask(1, maker.idevid('A2'))), /bound otherwise/);
  // The birth key of one device, certified for another.
  const stolen = await ask(2, maker.idevid('A3'), { request: testRequest(idevid.key) });
  assert.ok(isRefusal(stolen) && stolen.refused === 'key-taken');
  assert.equal((await authority.foreign.anchors())[0]?.taken, 2);
});

test('the count bounds it, retirement ends it, and those who are bound go on', async (context) => {
  const { authority, maker, ask } = await open(context, 1);
  const bound = maker.idevid('B1');
  assert.equal(word(await ask(1, bound)), 'issued');
  assert.match(word(await ask(2, maker.idevid('B2'))), /Every device/);
  const certificate = maker.root.certificate.der;
  assert.ok(
    !isRefusal(
      await authority.foreign.pin(await alone('anchor.pin', { product, certificate, count: 3 })),
    ),
  );
  assert.equal(word(await ask(2, maker.idevid('B2'))), 'issued');
  const fewer = await authority.foreign.pin(
    await alone('anchor.pin', { product, certificate, count: 1 }),
  );
  assert.ok(isRefusal(fewer) && fewer.refused === 'count-too-low');
  const sha256 = nodeCrypto.hash('SHA-256', certificate);
  assert.equal(
    await authority.foreign.retire(await alone('anchor.retire', { product, sha256 })),
    undefined,
  );
  assert.ok(
    isRefusal(await authority.foreign.retire(await alone('anchor.retire', { product, sha256 }))),
  );
  assert.match(word(await ask(3, maker.idevid('B3'))), /retired/);
  assert.equal(word(await ask(1, bound)), 'issued');
});

test('revoked by device or by birth certificate, the device gets nothing, also with its LDevID', async (context) => {
  const { authority, maker, ask } = await open(context);
  const [one, two] = [maker.idevid('C1'), maker.idevid('C2')];
  const first = await ask(1, one);
  assert.ok('certificate' in first);
  assert.equal(word(await ask(2, two)), 'issued');
  const notice = { code: 'keyCompromise', reason: 'lost', holder: undefined, atMs: 1 } as const;
  await authority.statusNotices.record([
    { ...notice, sequence: 1, act: 'revoke-device', subject: deviceIdOf(1) },
    { ...notice, sequence: 2, act: 'revoke-certificate', subject: toHex(two.sha256) },
  ]);
  assert.match(word(await ask(1, one)), /revoked/);
  const ldevid = { ...one, certificate: parseCertificate(first.certificate) };
  assert.match(word(await ask(1, ldevid, { issuers: [] })), /revoked/);
  assert.match(word(await ask(2, two)), /revoked/);
});

test('what cannot be pinned', async (context) => {
  const { authority, maker } = await open(context);
  const leaf = maker.idevid('D1').certificate.der;
  const noAuthority = await authority.foreign.pin(
    await alone('anchor.pin', { product, certificate: leaf, count: 1 }),
  );
  assert.ok(isRefusal(noAuthority) && noAuthority.refused === 'not-an-authority');
  const broken = await authority.foreign.pin(
    await alone('anchor.pin', { product, certificate: leaf.subarray(1), count: 1 }),
  );
  assert.ok(isRefusal(broken) && broken.refused === 'malformed');
});

test('an anchor whose certificate a restore has lost believes nobody until it is pinned again', async (context) => {
  const { authority, maker, ask } = await open(context);
  const [bound, other] = [maker.idevid('0123F1822C38DD7A01'), maker.idevid('0123F1822C38DD7A02')];
  assert.equal(word(await ask(1, bound)), 'issued');
  assert.equal(await authority.foreign.revoke(deviceIdOf(1), 'lost', 1), true);
  await authority.database.transact((connection) =>
    connection.prepare("UPDATE foreign_anchors SET certificate = x'', retired_ms = 1").run(),
  );
  assert.match(word(await ask(2, other)), /No authority of another maker is pinned/);
  const certificate = maker.root.certificate.der;
  const pinned = await alone('anchor.pin', { product, certificate, count: 2 });
  assert.ok(!isRefusal(await authority.foreign.pin(pinned)));
  assert.equal(word(await ask(2, other)), 'issued');
  assert.match(word(await ask(1, bound)), /revoked/);
});
