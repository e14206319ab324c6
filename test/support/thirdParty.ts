/**
 * A verifier of tile logs that shares nothing with the program: it reads the files as tlog-tiles describes
 * them, computes the tree from the entries by the recursive definition of RFC 6962, and checks the note
 * with openssl's Ed25519 behind node:crypto.
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Throws an `Error` that says what is wrong; returns the entries. */
export function verifyFiles(folder: string, verifierKey: string): readonly Buffer[] {
  const note = readFileSync(join(folder, 'checkpoint'), 'utf8');
  const { size, root } = verifyNote(note, verifierKey);
  const entries: Buffer[] = [];
  for (let tile = 0; tile * 256 < size; tile++) {
    const width = Math.min(256, size - tile * 256);
    entries.push(...bundle(readTile(folder, 'entries', tile, width)).slice(0, width));
  }
  const leaves = entries.map((entry) => sha256(Buffer.concat([Buffer.of(0), entry])));
  if (leaves.length !== size) throw new Error(`${leaves.length} entries of ${size}`);
  let row = leaves;
  for (let level = 0; row.length > 0; level++) {
    for (let tile = 0; tile * 256 < row.length; tile++) {
      const expected = Buffer.concat(row.slice(tile * 256, tile * 256 + 256));
      const found = readTile(folder, String(level), tile, Math.min(256, row.length - tile * 256));
      if (!found.subarray(0, expected.length).equals(expected)) {
        throw new Error(`tile ${level}/${tile} is wrong`);
      }
    }
    const full = Math.floor(row.length / 256);
    row = Array.from({ length: full }, (_, at) => treeHash(row.slice(at * 256, at * 256 + 256)));
  }
  if (!treeHash(leaves).equals(root)) throw new Error('the root is another');
  return entries;
}

export function treeHash(leaves: readonly Buffer[]): Buffer {
  const [only] = leaves;
  if (only === undefined) return sha256(Buffer.alloc(0));
  if (leaves.length === 1) return only;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256(
    Buffer.concat([Buffer.of(1), treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split))]),
  );
}

function verifyNote(note: string, verifierKey: string): { size: number; root: Buffer } {
  const [name = '', id = '', encoded = ''] = verifierKey
    .trim()
    .split('+', 2)
    .concat(verifierKey.trim().split('+').slice(2).join('+'));
  const raw = Buffer.from(encoded, 'base64').subarray(1);
  const key = createPublicKey({
    key: Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), raw]),
    format: 'der',
    type: 'spki',
  });
  const [text = '', signatures = ''] = note.split('\n\n');
  const line = signatures.split('\n').find((one) => one.startsWith(`— ${name} `)) ?? '';
  const value = Buffer.from(line.split(' ')[2] ?? '', 'base64');
  if (value.subarray(0, 4).toString('hex') !== id) throw new Error('signed with another key');
  if (!verify(undefined, Buffer.from(`${text}\n`), key, value.subarray(4))) {
    throw new Error('the signature is wrong');
  }
  const [, size = '', root = ''] = text.split('\n');
  return { size: Number(size), root: Buffer.from(root, 'base64') };
}

function readTile(folder: string, level: string, index: number, width: number): Buffer {
  const digits = String(index).padStart(Math.ceil(String(index).length / 3) * 3, '0');
  const groups = digits.match(/\d{3}/g) ?? [];
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  const full = join(folder, 'tile', level, path);
  const partial = `${full}.p/${width}`;
  const found = width < 256 && existsSync(partial) ? partial : full;
  if (!existsSync(found)) throw new Error(`${found} is missing`);
  return readFileSync(found);
}

function bundle(bytes: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) throw new Error('a bundle is cut');
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

function sha256(data: Buffer): Buffer {
  return createHash('sha256').update(data).digest();
}
