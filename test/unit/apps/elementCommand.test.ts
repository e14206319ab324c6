/** `birthmark element` as a person or a script runs it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createElementFolder } from '../../../src/drivers/elements/software/elementFolder.ts';

const commandFile = fileURLToPath(new URL('../../../src/apps/cli/main.ts', import.meta.url));
const passphrase = 'a passphrase';
const root = mkdtempSync(join(tmpdir(), 'birthmark-element-'));
const folder = join(root, 'reel');
after(() => rmSync(root, { recursive: true, force: true }));
// Made here, so that the commands need not pay for the full cost of scrypt.
await createElementFolder(folder, passphrase, 4);

function birthmark(
  words: readonly string[],
  secret: string = passphrase,
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', commandFile, ...words],
    {
      encoding: 'utf8',
      env: { ...process.env, BIRTHMARK_PASSPHRASE: secret, BIRTHMARK_PASSPHRASE_FILE: '' },
    },
  );
}

test('elements are made, listed and shown without their secrets', () => {
  const made = birthmark(['element', 'create', '--elements', folder, '--count', '3', '--json']);
  assert.deepEqual(JSON.parse(made.stdout), { event: 'created', count: 3, folder });
  const named = birthmark(['element', 'create', '--elements', folder, '--uid', 'AB01']);
  assert.match(named.stdout, /Made 1 blank element/);
  assert.match(named.stdout, /NOT FOR PRODUCTION/);
  const all = birthmark(['element', 'show', folder, '--json']);
  const { elements } = JSON.parse(all.stdout) as { elements: Array<{ lifecycle: string }> };
  assert.deepEqual(
    elements.map(({ lifecycle }) => lifecycle),
    ['blank', 'blank', 'blank', 'blank'],
  );
  const one = birthmark(['element', 'show', join(folder, 'ab01.element')]);
  assert.match(one.stdout, /^uid +ab01$/m);
  for (const name of readdirSync(folder)) {
    assert.match(readFileSync(join(folder, name), 'latin1'), /NOT FOR PRODUCTION/);
  }
});

test('a uid that is there, a wrong passphrase and a wrong word have their exit codes', () => {
  const exists = birthmark(['element', 'create', '--elements', folder, '--uid', 'ab01']);
  assert.equal(exists.status, 1);
  assert.match(exists.stderr, /already has an element ab01/);
  const wrong = birthmark(['element', 'show', folder], 'another passphrase');
  assert.equal(wrong.status, 3);
  assert.match(wrong.stderr, /does not open/);
  assert.ok(!wrong.stderr.includes('another passphrase') && !wrong.stderr.includes(' at '));
  for (const words of [
    ['--count', '0'],
    ['--count', '1e3'],
    ['--uid', 'xyz'],
    ['--uid', 'ab', '--count', '2'],
  ]) {
    const usage = birthmark(['element', 'create', '--elements', folder, ...words]);
    assert.equal(usage.status, 2, words.join(' '));
  }
});

test('a dry run makes nothing', () => {
  const nowhere = join(root, 'nowhere');
  const dry = birthmark(['element', 'create', '--elements', nowhere, '--count', '9', '--dry-run']);
  assert.match(dry.stdout, /Would make 9 blank elements/);
  assert.ok(!readdirSync(root).includes('nowhere'));
});
