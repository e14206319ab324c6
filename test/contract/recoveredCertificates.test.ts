/** Certificates of which the log alone knows, and what became of any since the backup, on every store. */
import assert from 'node:assert/strict';
import type { PublishedList } from '../../src/apps/store/relearn.ts';
import { type AuditEntry, encodeAuditEntry } from '../../src/trust/audit/entry.ts';
import { EnvironmentError, InvariantError } from '../../src/trust/ports/faults.ts';
import type { Revocation } from '../../src/trust/ports/issuanceStore.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { encodeRevokedEntry } from '../../src/wire/crl/certificateList.ts';
import { shardOf } from '../../src/wire/crl/shard.ts';
import {
  bytesOf,
  certificateIntent,
  issuingBackends,
  type IssuingStores,
  leaf,
} from '../support/issuingStores.ts';
import { sha256Of } from '../support/registrySamples.ts';
import { closing, decision, learn } from '../support/relearning.ts';
import { contract } from '../support/storeBackends.ts';

type Issued = Extract<AuditEntry, { readonly kind: 'issued' }>;

const serialOf = (number: number): Uint8Array => bytesOf(`serial ${number}`, 16);

const issued = (number: number): Issued => ({
  kind: 'issued',
  atMs: 500,
  issuerKeyId: Uint8Array.of(1),
  serialNumber: serialOf(number),
  certificateSha256: sha256Of(`certificate ${number}`),
  profile: 'ldevid@1',
  holder: `holder-${number}`,
  ticketId: undefined,
});

const status = (
  kind: 'revoked' | 'held' | 'reinstated',
  number: number,
  atMs: number,
): AuditEntry => ({ kind, atMs, serialNumber: serialOf(number), reason: 'keyCompromise: x' });

const listSigned = (number: number): AuditEntry => ({
  kind: 'list-signed',
  atMs: 500,
  issuerKeyId: Uint8Array.of(1),
  shard: 0,
  number,
  listSha256: sha256Of('list'),
});

const onList = (number: number): Revocation => ({
  serialNumber: serialOf(number),
  code: 'superseded',
  reason: 'listed',
  atMs: 900,
  entry: leaf(`listed ${number}`),
});

function listOf(revoked: readonly Revocation[]): PublishedList {
  const times = { thisUpdateMs: 1, nextUpdateMs: 2 };
  const name = { authority: 'operational', number: 9, issuerKeyId: Uint8Array.of(1) };
  return { ...name, ...times, der: leaf('list'), isImported: false, revoked };
}

async function stateOf({ issuance }: IssuingStores, number: number): Promise<unknown> {
  const rows = await issuance.certificatesOf(`holder-${number}`);
  return rows.map(({ profile, held, revokedMs }) => [profile, held ? 'held' : revokedMs]);
}

contract('recovered certificates', issuingBackends, (check) => {
  check('one of the log gets a row once, and can be revoked', async (stores) => {
    assert.equal((await learn(stores, [issued(1)])).lostCertificates, 1);
    const again = await learn(stores, [issued(1), status('revoked', 1, 600)]);
    assert.deepEqual([again.lostCertificates, again.changesOfStatus], [0, 1]);
    assert.deepEqual(await stateOf(stores, 1), [['lost/ldevid@1', 600]]);
    const unknown = { ...issued(2), issuerKeyId: Uint8Array.of(2) };
    await assert.rejects(learn(stores, [unknown]), (error) => {
      return error instanceof EnvironmentError && /--authority/.test(error.message);
    });
  });

  check(
    'what was signed after the backup is what the log says, and not signed again',
    async (s) => {
      const [begun] = await s.issuance.begin([certificateIntent(1)]);
      assert.ok(begun !== undefined && 'taken' in begun);
      const signed = await s.issuance.begin([certificateIntent(2)]);
      const completion = { id: begun.taken + 1, signature: leaf('s'), entry: leaf('known') };
      assert.equal(signed.length, 1);
      await s.issuance.complete([completion]);
      const report = await learn(s, [issued(3), issued(2), issued(1), issued(1), issued(4)]);
      assert.equal(report.lostCertificates, 3);
      assert.deepEqual(await s.issuance.unfinished(0, 9), []);
      const states = await Promise.all([1, 2, 3, 4].map((number) => stateOf(s, number)));
      const lost = [['lost/ldevid@1', undefined]];
      assert.deepEqual(states, [lost, [['ldevid@1', undefined]], lost, lost]);
    },
  );

  check('changes of status come in the order of the log, and lists behind them', async (stores) => {
    const entries = [
      ...[1, 2, 3, 4, 5].map(issued),
      status('held', 1, 600),
      status('held', 2, 600),
      status('reinstated', 2, 610),
      status('held', 3, 600),
      status('reinstated', 3, 610),
      status('revoked', 3, 620),
      status('held', 3, 630),
      // The first change made the list of its authority, whose number is what was signed since.
      listSigned(7),
      status('revoked', 1, 640),
      status('held', 2, 650),
    ];
    const lists = [listOf([1, 2, 4, 99].map(onList))];
    const report = await learn(stores, entries, { lists });
    const { leaves, lostCertificates, changesOfStatus, unknownOnLists } = report;
    assert.deepEqual([leaves, lostCertificates], [entries.length, 5]);
    assert.deepEqual([changesOfStatus, unknownOnLists], [10, 1]);
    const states = await Promise.all([1, 2, 3, 4, 5].map((number) => stateOf(stores, number)));
    const ends = [640, 900, 620, 900, undefined];
    assert.deepEqual(
      states,
      ends.map((end) => [['lost/ldevid@1', end]]),
    );
    assert.deepEqual(await stores.issuance.countCertificates(), { issued: 5, revoked: 4 });
    const [list] = await stores.status.pendingLists(['operational'], 2_000);
    assert.ok(list);
    assert.equal(await stores.status.takeNumber(list.id), 9 + 2 ** 20 + 1);
    const all = await stores.audit.leaves(0, 99);
    const told = [...entries.map(encodeAuditEntry), leaf('listed 2'), leaf('listed 4'), closing];
    assert.deepEqual(all, told);
  });

  check('each is on the list of its shard, which counts its changes', async (stores) => {
    const { status: lists } = stores;
    await lists.createLists({ authority: 'operational', shards: 4, baseUrl: undefined });
    const numbers = Array.from({ length: 12 }, (_, number) => number);
    const held = numbers.map((number) => status('held', number, 600));
    const revoked = numbers.map((number) => status('revoked', number, 700));
    await learn(stores, [...numbers.map(issued), ...held, ...revoked]);
    const pending = await lists.pendingLists(['operational'], 2_000);
    assert.equal(pending.length, 4);
    for (const { id, shard, revision } of pending) {
      const own = numbers.filter((number) => shardOf(serialOf(number), 4) === shard);
      const entry = { revokedAtMs: 700, reason: 'keyCompromise' } as const;
      const entries = own.map((number) =>
        encodeRevokedEntry({ ...entry, serialNumber: serialOf(number) }),
      );
      const page = { entries: concat(...entries), count: own.length, next: undefined };
      assert.deepEqual(await lists.entries(id, 0, 99), page);
      // Two each, and once for all lists that are signed anew.
      assert.equal(revision, 2 * own.length + 1);
    }
  });

  check('however many there are: no leaf is lost, and none comes twice', async (stores) => {
    const entries = Array.from({ length: 2_345 }, (_, number) => [
      issued(number),
      ...(number % 5 === 0 ? [status('revoked', number, 600)] : []),
      ...(number % 1_000 === 999 ? [listSigned(number)] : []),
    ]).flat();
    const report = await learn(stores, entries);
    assert.deepEqual([report.lostCertificates, report.changesOfStatus], [2_345, 469]);
    assert.deepEqual(await stores.audit.leaves(0, 9_999), [
      ...entries.map(encodeAuditEntry),
      closing,
    ]);
  });

  check('a status of what was never issued is a fault, and nothing is learnt', async (stores) => {
    const entries = [decision('case', 'x', ''), issued(1), status('revoked', 2, 600)];
    await assert.rejects(learn(stores, entries), InvariantError);
    assert.equal(await stores.audit.countLeaves(), 0);
    assert.deepEqual(await stateOf(stores, 1), []);
    assert.equal(await stores.recovery.recovery(), undefined);
  });
});
