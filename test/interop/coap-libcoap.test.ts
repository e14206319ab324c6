/** The CoAP door with a peer that is not ours: libcoap's client discovers, meets errors, and shows its address. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { carryStart } from '../../src/wire/edhoc/carriage.ts';
import { startInitiator } from '../../src/wire/edhoc/initiator.ts';
import { type CoapWorld, coapWorld } from '../support/coapWorld.ts';

const run = promisify(execFile);
const program = 'coap-client-notls';
const missing = await run(program, ['-h']).then(
  () => false,
  (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
);
const needs = { skip: missing ? `needs ${program} (Debian package libcoap3-bin)` : false };

async function client(
  context: TestContext,
  world: CoapWorld,
  path: string,
  options: readonly string[],
): Promise<{ readonly output: Buffer; readonly log: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-coap-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const uri = `coap://127.0.0.1:${world.door.port}${path}`;
  const { stdout, stderr } = await run(program, ['-v', '6', '-B', '5', ...options, uri], {
    encoding: 'buffer',
  });
  return { output: stdout, log: stdout.toString('latin1') + stderr.toString('latin1') };
}

test('libcoap discovers, in small blocks', needs, async (context) => {
  const world = await coapWorld(context);
  const { log } = await client(context, world, '/.well-known/core', ['-m', 'get']);
  assert.match(log, /Block2:\d\/M\/32/);
  const wanted = '/.well-known/core?rt=ace.est.sen';
  const { output } = await client(context, world, wanted, ['-m', 'get']);
  assert.match(output.toString(), /<\/\.well-known\/est\/sen>;rt=ace\.est\.sen;ct="281 287";osc/);
  assert.deepEqual(world.defects, []);
});

test('libcoap meets errors', needs, async (context) => {
  const world = await coapWorld(context);
  const nowhere = await client(context, world, '/nowhere', ['-m', 'get']);
  assert.match(nowhere.log, /c:4\.04/);
  const edhoc = '/.well-known/edhoc';
  const garbage = await client(context, world, edhoc, ['-m', 'post', '-t', '65', '-e', 'x']);
  assert.match(garbage.log, /c:4\.00.*Content-Format:64/);
  assert.match(garbage.log, /016772656675736564/);
  const wrongMethod = await client(context, world, edhoc, ['-m', 'get']);
  assert.match(wrongMethod.log, /c:4\.05/);
});

test('libcoap shows its address with Echo and gets message_2', needs, async (context) => {
  const world = await coapWorld(context, { door: { longestMessage2Bytes: 1000 } });
  const profile = { method: 3, suites: [2], message4: false } as const;
  const { message1 } = startInitiator(nodeCrypto, profile, {
    connectionId: Uint8Array.of(5),
  });
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-coap-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'message1');
  writeFileSync(file, carryStart(message1));
  const options = ['-m', 'post', '-t', '65', '-f', file];
  const { log } = await client(context, world, '/.well-known/edhoc', options);
  assert.match(log, /c:2\.04.*Content-Format:64/);
  assert.match(log, /binary data length 48/);
  assert.ok(
    !log.includes(toHex(message1).slice(20)) || world.refusals.includes('address-not-shown'),
  );
  assert.deepEqual(world.refusals, ['address-not-shown']);
});
