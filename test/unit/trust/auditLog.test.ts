import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { AuditLog, LogTree } from '../../../src/trust/audit/log.ts';
import type { AuditHead, AuditStore } from '../../../src/trust/ports/auditStore.ts';
import { InvariantError } from '../../../src/trust/ports/faults.ts';

const sha256 = (data: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha256').update(data).digest());

/** RFC 6962 §2.1, word for word: the tree over a whole list. */
function rootOf(entries: readonly Uint8Array[]): Uint8Array {
  const [only] = entries;
  if (only === undefined) return sha256(new Uint8Array(0));
  if (entries.length === 1) return sha256(Uint8Array.of(0, ...only));
  let split = 1;
  while (split * 2 < entries.length) split *= 2;
  const left = rootOf(entries.slice(0, split));
  const right = rootOf(entries.slice(split));
  return sha256(Uint8Array.of(1, ...left, ...right));
}

class MemoryAudit implements AuditStore {
  readonly entries: Uint8Array[] = [];
  readonly heads: AuditHead[] = [];

  leaves(from: number, limit: number): Promise<readonly Uint8Array[]> {
    return Promise.resolve(this.entries.slice(from, from + limit));
  }

  countLeaves(): Promise<number> {
    return Promise.resolve(this.entries.length);
  }

  head(): Promise<AuditHead | undefined> {
    return Promise.resolve(this.heads.at(-1));
  }

  rootAt(treeSize: number): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.heads.find((head) => head.treeSize === treeSize)?.root);
  }

  saveHead(head: AuditHead): Promise<void> {
    this.heads.push(head);
    return Promise.resolve();
  }

  append(entries: readonly Uint8Array[]): Promise<void> {
    this.entries.push(...entries);
    return Promise.resolve();
  }
}

const entry = (index: number): Uint8Array => Uint8Array.of(index & 255, index >> 8);

test('the root of every size is that of RFC 6962', () => {
  const tree = new LogTree(sha256, undefined);
  const entries: Uint8Array[] = [];
  for (let size = 0; size < 70; size++) {
    assert.deepEqual(tree.root(), rootOf(entries), `size ${size}`);
    tree.append(entry(size));
    entries.push(entry(size));
  }
});

test('a tree goes on from any stored head as if it had never stopped', () => {
  for (let stopped = 0; stopped < 40; stopped++) {
    const first = new LogTree(sha256, undefined);
    for (let index = 0; index < stopped; index++) first.append(entry(index));
    const second = new LogTree(sha256, first.head(0));
    for (let index = stopped; index < 50; index++) second.append(entry(index));
    assert.deepEqual(second.root(), rootOf(Array.from({ length: 50 }, (_, index) => entry(index))));
  }
});

test('a stored head that contradicts itself is found', () => {
  const tree = new LogTree(sha256, undefined);
  for (let index = 0; index < 5; index++) tree.append(entry(index));
  const head = tree.head(0);
  assert.throws(() => new LogTree(sha256, { ...head, root: new Uint8Array(32) }), InvariantError);
  assert.throws(() => new LogTree(sha256, { ...head, subtrees: [] }), InvariantError);
});

test('the log takes in what was committed, in pages, and stores a head only when it grew', async () => {
  const store = new MemoryAudit();
  const clock = { nowMs: () => 7 };
  const log = await AuditLog.open(store, clock, nodeCrypto);
  assert.equal((await log.advance()).treeSize, 0);
  assert.equal(store.heads.length, 0);
  for (let index = 0; index < 2_500; index++) store.entries.push(entry(index));
  const [one, other] = await Promise.all([log.advance(), log.advance()]);
  assert.deepEqual(one, other);
  assert.deepEqual([one?.treeSize, one?.atMs], [2_500, 7]);
  assert.deepEqual(one?.root, rootOf(store.entries));
  await log.advance();
  assert.equal(store.heads.length, 1);
  const again = await AuditLog.open(store, clock, nodeCrypto);
  store.entries.push(entry(1));
  assert.deepEqual((await again.advance()).root, rootOf(store.entries));
});
