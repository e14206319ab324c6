import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fastify from 'fastify';
import { SecurityLogFolder } from '../../../src/drivers/store/files/securityLogFolder.ts';
import { installProblems, sendRefusal } from '../../../src/servers/http/problem.ts';
import { noteRefusals } from '../../../src/servers/local/refusalNotes.ts';
import { refuse } from '../../../src/trust/ports/faults.ts';
import type { RefusalNote } from '../../../src/trust/ports/securityLog.ts';

const clock = { nowMs: (): number => Date.UTC(2026, 5, 1) };

interface Opened {
  readonly log: SecurityLogFolder;
  readonly folder: string;
  readonly troubles: unknown[];
  readonly lines: (number?: number) => ReadonlyArray<Record<string, unknown>>;
}

function open(context: TestContext, limits: { fileBytes?: number; files?: number } = {}): Opened {
  const folder = join(mkdtempSync(join(tmpdir(), 'birthmark-security-')), 'security');
  const troubles: unknown[] = [];
  const onTrouble = (error: unknown): void => void troubles.push(error);
  const log = new SecurityLogFolder({ folder, clock, onTrouble, ...limits });
  context.after(() => {
    log.close();
    rmSync(join(folder, '..'), { recursive: true });
  });
  const lines = (number?: number): ReadonlyArray<Record<string, unknown>> => {
    const name = number === undefined ? 'refusals.jsonl' : `refusals.${number}.jsonl`;
    const text = readFileSync(join(folder, name), 'utf8').trimEnd();
    return text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  return { log, folder, troubles, lines };
}

test('a refusal is a line; the same one again is counted', (context) => {
  const { log, folder, lines } = open(context);
  log.write();
  assert.ok(!existsSync(folder));
  const note = { door: 'line endorse', code: 'bad-proof', reason: 'No.', subject: 'ab 01' };
  for (let count = 0; count < 500; count++) log.note(note);
  log.note({ door: 'mqtt', code: 'unknown-peer' });
  log.write();
  const at = '2026-06-01T00:00:00.000Z';
  assert.deepEqual(lines(), [
    { at, ...note, count: 500 },
    { at, door: 'mqtt', code: 'unknown-peer', count: 1 },
  ]);
  assert.equal(statSync(join(folder, 'refusals.jsonl')).mode & 0o777, 0o600);
  log.note(note);
  log.write();
  assert.equal(lines().length, 3);
});

test('a flood of different ones costs bounded memory and a few lines', (context) => {
  const { log, lines } = open(context);
  for (let count = 0; count < 5_000; count++) {
    log.note({ door: 'device', code: 'unknown-device', subject: String(count) });
  }
  log.note({ door: 'api', code: 'bad-request' });
  log.write();
  const written = lines();
  assert.equal(written.length, 1_002);
  assert.deepEqual(
    written.slice(-2).map(({ door, count, subject }) => ({ door, count, subject })),
    [
      { door: 'device', count: 4_000, subject: undefined },
      { door: 'api', count: 1, subject: undefined },
    ],
  );
});

test('files rotate and the oldest go', (context) => {
  const { log, lines, folder } = open(context, { fileBytes: 300, files: 2 });
  for (let round = 0; round < 12; round++) {
    log.note({ door: 'd', code: String(round) });
    log.write();
  }
  assert.deepEqual(
    [lines(2), lines(1), lines()].map((file) => file.map(({ code }) => code)),
    [
      ['0', '1', '2', '3'],
      ['4', '5', '6', '7'],
      ['8', '9', '10', '11'],
    ],
  );
  log.note({ door: 'd', code: '12' });
  log.write();
  assert.equal(lines(2)[0]?.['code'], '4');
  assert.ok(!existsSync(join(folder, 'refusals.3.jsonl')));
});

test('a disk that fails is told once, and nothing that was counted is lost', (context) => {
  const { log, folder, troubles, lines } = open(context);
  writeFileSync(folder, 'in the way');
  log.note({ door: 'd', code: 'c' });
  log.write();
  log.note({ door: 'd', code: 'c' });
  log.write();
  assert.equal(troubles.length, 1);
  rmSync(folder);
  log.write();
  assert.equal(lines()[0]?.['count'], 2);
});

test('every no of a local door is noted with its code, never with the caller’s text', async () => {
  const notes: RefusalNote[] = [];
  const app = fastify();
  installProblems(app, () => undefined);
  noteRefusals(app, { note: (note) => void notes.push(note) });
  app.get('/v1/orders/:order', (_request, reply) => sendRefusal(reply, refuse('no', 'Not so.')));
  app.get('/v1/status', () => ({}));
  await app.inject('/v1/orders/secret-name');
  await app.inject('/v1/status');
  await app.inject('/elsewhere/secret-name');
  await app.close();
  assert.deepEqual(notes, [
    { door: 'local', subject: 'GET /v1/orders/:order', code: 'no', reason: 'Not so.' },
    { door: 'local', subject: 'GET elsewhere', code: 'unknown-route' },
  ]);
});
