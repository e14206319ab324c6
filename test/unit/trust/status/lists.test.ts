/** Lists of revoked certificates: when they are signed, what is on them, and what stays when it fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SoftwareVerifier } from '../../../../src/drivers/keys/software/verifier.ts';
import { EnvironmentError } from '../../../../src/trust/ports/faults.ts';
import { RevocationLists, usualSchedule } from '../../../../src/trust/status/lists.ts';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { readAuditEntry } from '../../../../src/trust/audit/entry.ts';
import { toHex } from '../../../../src/wire/bytes/hex.ts';
import { startMs } from '../../../support/issuing/world.ts';
import {
  entriesOf,
  published,
  shardOf4,
  statusBase,
  StatusWorld,
} from '../../../support/status.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const device = '0123456789abcdef';

test('the first lists: one a shard, empty, signed, with the scope of the certificates', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  // Four of two authorities each, and the complete one of birth certificates.
  assert.equal(await open.lists.advance(), 9);
  assert.equal(await open.lists.advance(), 0);
  const issuer = world.issuer('operational');
  for (const shard of [0, 1, 2, 3]) {
    const list = await published(open, shard);
    assert.deepEqual([list.number, toHex(list.crlNumber ?? new Uint8Array(0))], [1, '01']);
    assert.equal(list.thisUpdateMs, startMs);
    assert.equal(list.nextUpdateMs, startMs + 3 * dayMs);
    assert.deepEqual(list.authorityKeyIdentifier, issuer.keyIdentifier);
    assert.deepEqual(list.issuer, issuer.subject.der);
    assert.deepEqual(list.issuingDistributionPoint, {
      uri: `${statusBase}/crl/operational/${shard}.crl`,
      onlyContainsUserCerts: true,
      onlyContainsCACerts: false,
    });
    const { signatureAlgorithm, tbsCertList, signature } = list;
    const { publicKeySpki } = issuer.signer;
    const verifier = new SoftwareVerifier();
    assert.ok(verifier.verify(publicKeySpki, signatureAlgorithm, tbsCertList, signature));
    assert.deepEqual(entriesOf(list), []);
  }
  // Birth certificates name no list, so theirs is complete and limits nothing.
  const birth = await published(open, 0, 'factory');
  assert.equal(birth.issuingDistributionPoint, undefined);
});

test('a revocation makes one new list, of its shard; many in between make one', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  await open.lists.advance();
  const issued = [];
  for (let count = 0; count < 24; count++) issued.push(await world.issue(open, device));
  const mine = issued.filter(({ serialNumber }) => shardOf4(serialNumber) === 2);
  assert.ok(mine.length > 1);
  world.nowMs += 1_000;
  for (const { serialNumber } of mine) await world.change(open, serialNumber, 'keyCompromise');
  assert.equal(await open.lists.advance(), 1);
  const list = await published(open, 2);
  assert.equal(list.number, 2);
  assert.equal(list.thisUpdateMs, startMs + 1_000);
  assert.equal(list.nextUpdateMs, startMs + 1_000 + 3 * dayMs);
  assert.deepEqual(
    entriesOf(list),
    mine.map(({ serialNumber }) => `${toHex(serialNumber)} keyCompromise`).sort(),
  );
  assert.equal((await published(open, 1)).number, 1);
  // Lists in between do not put off the regular ones.
  world.nowMs = startMs + dayMs;
  assert.equal(await open.lists.advance(), 9);
  assert.equal((await published(open, 2)).number, 3);
});

test('held is on the list, reinstated is not, revoked after a hold is', async (context) => {
  const world = await StatusWorld.create(context, { shards: 1 });
  const open = await world.open();
  const [one, two] = [await world.issue(open, device), await world.issue(open, device)];
  const entries = async (): Promise<readonly string[]> => {
    await open.lists.advance();
    return entriesOf(await published(open, 0));
  };
  await world.change(open, one.serialNumber, 'certificateHold');
  await world.change(open, two.serialNumber, 'certificateHold');
  const lines = (first: string, second: string): readonly string[] =>
    [`${toHex(one.serialNumber)} ${first}`, `${toHex(two.serialNumber)} ${second}`].sort();
  assert.deepEqual(await entries(), lines('certificateHold', 'certificateHold'));
  await world.change(open, one.serialNumber, 'removeFromCRL');
  await world.change(open, two.serialNumber, 'superseded');
  assert.deepEqual(await entries(), [`${toHex(two.serialNumber)} superseded`]);
});

test('RFC 5280 §3.3: who has expired leaves after one regular list beyond the end', async (context) => {
  const world = await StatusWorld.create(context, { shards: 1 });
  const open = await world.open();
  const old = await world.issue(open, device);
  await world.change(open, old.serialNumber, 'superseded');
  world.nowMs += 100 * dayMs;
  const young = await world.issue(open, device);
  const state = async (): Promise<readonly number[]> => {
    await open.lists.advance();
    const list = await published(open, 0);
    return [list.number, entriesOf(list).length];
  };
  assert.deepEqual(await state(), [1, 1]);
  // Beyond the end of the first certificate, but not regular: the last regular list was before it.
  world.nowMs = startMs + 365 * dayMs - 1_000;
  assert.deepEqual(await state(), [2, 1]);
  world.nowMs += 2_000;
  await world.change(open, young.serialNumber, 'superseded');
  assert.deepEqual(await state(), [3, 2]);
  world.nowMs += hourMs;
  await world.change(open, young.serialNumber, 'removeFromCRL');
  assert.deepEqual(await state(), [3, 2]);
  // The regular list beyond it shows it for the last time.
  world.nowMs += dayMs;
  assert.deepEqual(await state(), [4, 2]);
  world.nowMs += dayMs;
  assert.deepEqual(await state(), [5, 1]);
  assert.equal((await open.store.statusOf(old.serialNumber))?.status.kind, 'revoked');
});

test('every list is a leaf of the audit log', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  await open.lists.advance();
  const leaves = (await open.authority.auditStore.leaves(0, 100)).map(readAuditEntry);
  const signed = leaves.filter(({ kind }) => kind === 'list-signed');
  assert.equal(signed.length, 9);
  const list = await open.store.list({ authority: 'operational', shard: 3 });
  const sha256 = nodeCrypto.hash('SHA-256', list?.der ?? new Uint8Array(0));
  assert.ok(
    signed.some(
      (entry) =>
        entry.kind === 'list-signed' &&
        entry.shard === 3 &&
        toHex(entry.listSha256) === toHex(sha256),
    ),
  );
});

test('a key that is lost for a while keeps the old lists and delays the new ones', async (context) => {
  let lost = false;
  const world = await StatusWorld.create(context, {
    between: {
      signer: (signer) => ({
        ...signer,
        sign: async (data) => {
          if (lost) throw new EnvironmentError('the token is away', { retryable: true });
          return signer.sign(data);
        },
      }),
    },
  });
  const open = await world.open();
  await open.lists.advance();
  const one = await world.issue(open, device);
  lost = true;
  await world.change(open, one.serialNumber, 'keyCompromise');
  await assert.rejects(open.lists.advance(), /token is away/);
  const shard = shardOf4(one.serialNumber);
  assert.equal((await published(open, shard)).number, 1);
  lost = false;
  assert.equal(await open.lists.advance(), 1);
  const list = await published(open, shard);
  // The number of the list that never was stays out.
  assert.deepEqual([list.number, entriesOf(list).length], [3, 1]);
});

test('what the disk changed is not signed', async (context) => {
  const world = await StatusWorld.create(context, { shards: 1 });
  const open = await world.open();
  await open.lists.advance();
  const { serialNumber } = await world.issue(open, device);
  await world.change(open, serialNumber, 'superseded');
  await open.authority.database.transact((connection) =>
    connection.prepare(`UPDATE list_entries SET entry = substr(entry, 2)`).run(),
  );
  await assert.rejects(open.lists.advance(), { name: 'InvariantError', message: /damaged/ });
  assert.equal((await published(open, 0)).number, 1);
});

test('two calls at a time are one', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  assert.deepEqual(await Promise.all([open.lists.advance(), open.lists.advance()]), [9, 9]);
  assert.equal((await published(open, 0)).number, 1);
});

test('the root signs its list where its key is open, for a long time', async (context) => {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const distribution = { authority: 'root', baseUrl: statusBase, shards: 1, responder: false };
  await open.store.createLists({ ...distribution });
  const lists = new RevocationLists({
    store: open.store,
    clock: world.world.clock,
    crypto: nodeCrypto,
    issuers: [world.root(distribution)],
    schedule: { everyMs: 365 * dayMs, overlapMs: 30 * dayMs },
  });
  assert.equal(await lists.advance(), 1);
  const list = await published(open, 0, 'root');
  // Complete, so that it serves the root too, which names no list.
  assert.equal(list.issuingDistributionPoint, undefined);
  assert.equal(list.nextUpdateMs, startMs + 395 * dayMs);
  assert.ok(usualSchedule.overlapMs > usualSchedule.everyMs);
});
