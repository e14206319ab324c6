import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import {
  checkpointText,
  cosignatureMessage,
  encodeCosignature,
  encodeNote,
  noteKeyId,
  parseCheckpoint,
  parseCosignature,
  signatureBy,
} from '../../../src/wire/tlog/checkpoint.ts';
import {
  encodeEntries,
  parseEntries,
  parseTilePath,
  tilePath,
  tilesFor,
} from '../../../src/wire/tlog/tile.ts';
import {
  consistencyProof,
  emptyRoot,
  hashesOnAppend,
  inclusionProof,
  leafHash,
  rootOf,
  type StoredHash,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/wire/tlog/tree.ts';

const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest();

/** The eight leaves that the test data of Certificate Transparency implementations use. */
const leaves = [
  '',
  '00',
  '10',
  '2021',
  '3031',
  '40414243',
  '5051525354555657',
  '606162636465666768696a6b6c6d6e6f',
].map((text) => Buffer.from(text, 'hex'));

function grow(entries: readonly Uint8Array[]): StoredHash {
  const store = new Map<string, Uint8Array>();
  const stored: StoredHash = (level, index) => {
    const hash = store.get(`${level}/${index}`);
    assert.ok(hash, `hash ${level}/${index} asked for before it is complete`);
    return hash;
  };
  for (const [index, entry] of entries.entries()) {
    for (const made of hashesOnAppend(sha256, stored, index, leafHash(sha256, entry))) {
      store.set(`${made.level}/${made.index}`, made.hash);
    }
  }
  return stored;
}

test('RFC 6962 §2.1: published roots of one to eight leaves', () => {
  const stored = grow(leaves);
  const expected = [
    'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ];
  for (const [size, root] of expected.entries()) {
    assert.equal(toHex(rootOf(sha256, stored, size)), root);
  }
  assert.equal(toHex(emptyRoot(sha256)), expected[0]);
});

test('every leaf of every tree up to 70 is proven, and a changed proof is not', () => {
  const entries = Array.from({ length: 70 }, (_, index) => utf8(`entry ${index}`));
  const stored = grow(entries);
  for (let treeSize = 1; treeSize <= entries.length; treeSize++) {
    const root = rootOf(sha256, stored, treeSize);
    for (let leafIndex = 0; leafIndex < treeSize; leafIndex++) {
      const path = inclusionProof(sha256, stored, leafIndex, treeSize);
      const leaf = leafHash(sha256, entries[leafIndex] ?? new Uint8Array());
      const proof = { leaf, leafIndex, treeSize, path, root };
      assert.ok(verifyInclusion(sha256, proof));
      assert.ok(!verifyInclusion(sha256, { ...proof, leafIndex: leafIndex + 1 }));
      assert.ok(!verifyInclusion(sha256, { ...proof, path: [...path, root] }));
      assert.ok(!verifyInclusion(sha256, { ...proof, leaf: sha256(leaf) }));
    }
  }
});

test('every older tree is proven to be a prefix, and a changed one is not', () => {
  const entries = Array.from({ length: 40 }, (_, index) => utf8(`entry ${index}`));
  const stored = grow(entries);
  const forked = grow([utf8('another'), ...entries.slice(1)]);
  for (let newSize = 1; newSize <= entries.length; newSize++) {
    for (let oldSize = 1; oldSize <= newSize; oldSize++) {
      const proof = {
        oldSize,
        newSize,
        oldRoot: rootOf(sha256, stored, oldSize),
        newRoot: rootOf(sha256, stored, newSize),
        path: consistencyProof(sha256, stored, oldSize, newSize),
      };
      assert.ok(verifyConsistency(sha256, proof), `${oldSize} to ${newSize}`);
      const other = rootOf(sha256, forked, oldSize);
      assert.ok(!verifyConsistency(sha256, { ...proof, oldRoot: other }));
      assert.ok(!verifyConsistency(sha256, { ...proof, path: [...proof.path, other] }));
    }
  }
});

test('C2SP tlog-tiles: paths', () => {
  assert.equal(tilePath({ level: 0, index: 1_234_067, width: 256 }), 'tile/0/x001/x234/067');
  assert.equal(tilePath({ level: 1, index: 0, width: 8 }), 'tile/1/000.p/8');
  assert.equal(tilePath({ level: 'entries', index: 999, width: 256 }), 'tile/entries/999');
  for (const path of ['tile/0/x001/x234/067', 'tile/entries/x001/000.p/255']) {
    assert.equal(tilePath(parseTilePath(path) ?? { level: 0, index: 0, width: 1 }), path);
  }
  for (const path of ['tile/0/1', 'tile/0/x000/001', 'tile/00/001', 'tile/0/001.p/256']) {
    assert.equal(parseTilePath(path), undefined, path);
  }
  assert.equal(parseTilePath('tile/0/001.p/0') ?? parseTilePath('tile/0/../001'), undefined);
});

test('tiles of a grown log: those that changed, and no other', () => {
  assert.deepEqual(tilesFor(0, 1).map(tilePath), ['tile/entries/000.p/1', 'tile/0/000.p/1']);
  assert.deepEqual(tilesFor(255, 513).map(tilePath), [
    'tile/entries/000',
    'tile/entries/001',
    'tile/entries/002.p/1',
    'tile/0/000',
    'tile/0/001',
    'tile/0/002.p/1',
    'tile/1/000.p/2',
  ]);
  assert.deepEqual(tilesFor(513, 513), []);
});

test('entry bundles', () => {
  const entries = [utf8('one'), new Uint8Array(300), new Uint8Array()];
  assert.deepEqual(parseEntries(encodeEntries(entries)), entries);
  assert.throws(() => parseEntries(Uint8Array.of(0)), { name: 'MalformedError', offset: 0 });
  assert.throws(() => parseEntries(Uint8Array.of(0, 2, 1)), { name: 'MalformedError' });
  assert.throws(() => encodeEntries([new Uint8Array(65_536)]), TypeError);
});

test('a checkpoint is written, signed, read', () => {
  const checkpoint = { origin: 'maker.example/log', treeSize: 20, root: sha256(utf8('root')) };
  const keyId = noteKeyId(sha256, 'maker.example/log', new Uint8Array(32));
  const text = checkpointText(checkpoint);
  const signature = new Uint8Array(64).fill(7);
  const note = encodeNote(text, [{ keyName: 'maker.example/log', keyId, signature }]);
  const read = parseCheckpoint(utf8(note));
  assert.equal(read.text, text);
  assert.equal(read.treeSize, 20);
  assert.deepEqual(read.root, Uint8Array.from(checkpoint.root));
  assert.deepEqual(signatureBy(read, 'maker.example/log', keyId), signature);
  assert.equal(signatureBy(read, 'other.example/log', keyId), undefined);
  for (const broken of [
    note.slice(0, -1),
    note.replace('\n20\n', '\n020\n'),
    note.replace('\n\n', '\n'),
    note.replace('maker.example/log\n', 'maker example\n'),
    note.replace('— maker', '- maker'),
    text,
  ]) {
    assert.throws(() => parseCheckpoint(utf8(broken)), { name: 'MalformedError' }, broken);
  }
});

test('C2SP tlog-cosignature: time and signature of a witness', () => {
  assert.equal(
    Buffer.from(cosignatureMessage('log\n1\nAAAA\n', 1_679_315_147)).toString(),
    'cosignature/v1\ntime 1679315147\nlog\n1\nAAAA\n',
  );
  const signature = new Uint8Array(64).fill(9);
  const parsed = parseCosignature(encodeCosignature(1_679_315_147, signature));
  assert.deepEqual(parsed, { timeSeconds: 1_679_315_147, signature });
  assert.equal(parseCosignature(signature), undefined);
});
