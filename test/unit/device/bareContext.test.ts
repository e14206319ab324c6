import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  bundleSensor,
  certificateParts,
  pinnedParts,
  sensorCeilingBytes,
  sessionParts,
} from '../../../bench/support/sensorBundle.ts';

const program = fileURLToPath(new URL('../../support/bareContext.ts', import.meta.url));

function runBare(...script: readonly string[]): Record<string, unknown> {
  const output = execFileSync(
    process.execPath,
    ['--no-warnings', '--experimental-vm-modules', program, ...script],
    { encoding: 'utf8' },
  );
  return JSON.parse(output) as Record<string, unknown>;
}

test('the device ring works where there is nothing but ECMAScript', () => {
  const { modules, texts, session, platform } = runBare();
  assert.deepEqual(platform, []);
  assert.ok(Number(modules) > 40, `${String(modules)} modules`);
  assert.deepEqual(texts, ['one', 'two', 'three']);
  assert.deepEqual(session, { kind: 'session', handshakeBytes: [37, 45, 19], resumed: false });
});

test('the sensor as one minified script works in the same place, and does not grow unseen', async (context) => {
  const parts = [...sessionParts, ...certificateParts];
  const bytes = Buffer.byteLength(await bundleSensor(parts));
  assert.ok(bytes <= sensorCeilingBytes, `${bytes} bytes`);
  const code = await bundleSensor([...parts, ...pinnedParts]);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bundle-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const script = join(folder, 'sensor.js');
  writeFileSync(script, code);
  const { texts, session, platform } = runBare(script);
  assert.deepEqual(platform, []);
  assert.deepEqual(texts, ['one', 'two', 'three']);
  assert.deepEqual(session, { kind: 'session', handshakeBytes: [37, 45, 19], resumed: false });
});
