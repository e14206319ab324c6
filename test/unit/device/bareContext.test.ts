import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../support/bareContext.ts', import.meta.url));

test('the device ring works where there is nothing but ECMAScript', () => {
  const output = execFileSync(
    process.execPath,
    ['--no-warnings', '--experimental-vm-modules', program],
    { encoding: 'utf8' },
  );
  const { modules, texts, session, platform } = JSON.parse(output) as Record<string, unknown>;
  assert.deepEqual(platform, []);
  assert.ok(Number(modules) > 40, `${String(modules)} modules`);
  assert.deepEqual(texts, ['one', 'two', 'three']);
  assert.deepEqual(session, { kind: 'session', handshakeBytes: [37, 45, 19], resumed: false });
});
