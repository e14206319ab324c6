/** Keeps docs/standards.md complete: every RFC that the code cites has its place there. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const standards = readFileSync(join(root, 'docs/standards.md'), 'utf8');

test('every RFC cited in src stands in docs/standards.md', () => {
  const known = new Set(numbersIn(standards));
  const missing = new Map<string, string>();
  for (const file of sources()) {
    for (const number of numbersIn(readFileSync(join(root, file), 'utf8'))) {
      if (!known.has(number)) missing.set(`RFC ${number}`, file);
    }
  }
  assert.deepEqual([...missing], []);
});

function numbersIn(text: string): string[] {
  return [...text.matchAll(/\bRFC (\d{3,5})\b/g)].map(([, number = '']) => number);
}

function sources(): string[] {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  return files.filter((file) => file.endsWith('.ts')).map((file) => join('src', file));
}
