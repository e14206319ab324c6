/** Every use of an authority's key stands in the log; what is refused does not, and is told elsewhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { AnswerTally } from '../../../src/trust/audit/answerTally.ts';
import { encodeAuditEntry, readAuditEntry } from '../../../src/trust/audit/entry.ts';
import { LineService, type LineRefusal } from '../../../src/trust/personalization/lineService.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { LogWorld } from '../../support/auditLog.ts';
import { World } from '../../support/issuing/world.ts';

test('a ceremony: one entry for each certificate that was signed', async (context) => {
  const world = await World.create(context);
  const { auditStore, issuanceStore } = world.open();
  const entries = (await auditStore.leaves(0, 100)).map(readAuditEntry);
  const holders = entries.map((entry) => (entry.kind === 'issued' ? entry.holder : entry.kind));
  assert.deepEqual(holders, [
    'Test Root',
    'Test factory',
    'Test operational',
    'Test server',
    'Test Manifests',
  ]);
  assert.equal((await issuanceStore.countCertificates()).issued, entries.length);
});

test('answers about status are counted, with a hash over all', async (context) => {
  const world = LogWorld.create(context);
  const { store, clock } = world;
  const tally = new AnswerTally({ store, crypto: nodeCrypto, clock });
  await tally.flush();
  const answers = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
  for (const answer of answers) tally.note(answer, new Uint8Array(20));
  tally.note(Uint8Array.of(4), new Uint8Array(20).fill(1));
  await tally.flush();
  await tally.flush();
  const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);
  const entries = (await store.leaves(0, 10)).map(readAuditEntry);
  assert.deepEqual(entries, [
    {
      kind: 'answers-signed',
      atMs: world.nowMs,
      signerKeyHash: new Uint8Array(20),
      count: 3,
      batchSha256: sha256(Buffer.concat(answers.map(sha256))),
    },
    {
      kind: 'answers-signed',
      atMs: world.nowMs,
      signerKeyHash: new Uint8Array(20).fill(1),
      count: 1,
      batchSha256: sha256(sha256(Uint8Array.of(4))),
    },
  ]);
  for (const entry of entries) assert.deepEqual(readAuditEntry(encodeAuditEntry(entry)), entry);
});

test('what could not be logged is logged the next time, in order', async () => {
  const logged: Uint8Array[] = [];
  let fails = true;
  const append = async (entries: readonly Uint8Array[]): Promise<void> => {
    if (fails) throw new EnvironmentError('disk', { retryable: true });
    logged.push(...entries);
  };
  const tally = new AnswerTally({
    store: { append },
    crypto: nodeCrypto,
    clock: { nowMs: () => 5 },
  });
  tally.note(Uint8Array.of(1), Uint8Array.of(7));
  const failing = tally.flush();
  tally.note(Uint8Array.of(2), Uint8Array.of(7));
  tally.note(Uint8Array.of(3), Uint8Array.of(8));
  await assert.rejects(failing, EnvironmentError);
  fails = false;
  await tally.flush();
  const counts = logged
    .map(readAuditEntry)
    .map((entry) => entry.kind === 'answers-signed' && entry.count);
  assert.deepEqual(counts, [2, 1]);
});

test('the line tells what it refused', async (context) => {
  const world = await World.create(context);
  const { orderStore, issuance } = world.open();
  const refusals: LineRefusal[] = [];
  const line = new LineService({
    crypto: nodeCrypto,
    clock: world.clock,
    store: orderStore,
    issuance,
    verifier: { verifyInPool: async () => false },
    orderKey: world.keys.order,
    sealingKey: { seal: (plaintext) => plaintext, open: (sealed) => sealed },
    anchors: [],
    chain: () => [],
    onRefusal: (refusal) => void refusals.push(refusal),
  });
  await line.answer('endorse', Uint8Array.of(0xff));
  assert.deepEqual(
    refusals.map(({ step, code }) => [step, code]),
    [['endorse', 'malformed']],
  );
});
