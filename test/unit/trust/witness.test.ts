import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startWitness } from '../../../src/apps/witness/witness.ts';
import { HttpWitness } from '../../../src/drivers/links/witness/httpWitness.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { WitnessFolder, witnessHistory } from '../../../src/drivers/store/files/witnessFolder.ts';
import type { AuditLog } from '../../../src/trust/audit/log.ts';
import { witnessedAt } from '../../../src/trust/audit/notes.ts';
import { logKey } from '../../../src/trust/audit/publication.ts';
import { Witness, witnessKey } from '../../../src/trust/audit/witness.ts';
import {
  type AskedWitness,
  Witnessing,
  type WitnessTrouble,
} from '../../../src/trust/audit/witnessing.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import type { WitnessTarget } from '../../../src/trust/ports/witness.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { encodeNote, parseCheckpoint } from '../../../src/wire/tlog/checkpoint.ts';
import { encodeNoteKey, type NoteKey, parseNoteKey } from '../../../src/wire/tlog/noteKey.ts';
import { encodeSubmission } from '../../../src/wire/tlog/proof.ts';
import { LogWorld, noteSigner } from '../../support/auditLog.ts';

const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);

interface Shown {
  readonly witnessing: Witnessing;
  readonly kept: Uint8Array[];
  readonly troubles: WitnessTrouble[];
}

function show(world: LogWorld, log: AuditLog, witnesses: readonly AskedWitness[]): Shown {
  const kept: Uint8Array[] = [];
  const troubles: WitnessTrouble[] = [];
  const witnessing = new Witnessing({
    witnesses,
    files: world.tiles,
    crypto: nodeCrypto,
    verifier: world.verifier,
    clock: world.clock,
    checkpoint: () => log.published?.checkpoint,
    keep: async (_key, note) => void kept.push(note),
    onTrouble: (trouble) => void troubles.push(trouble),
  });
  return { witnessing, kept, troubles };
}

function folderWitness(world: LogWorld, key?: NoteKey): Witness {
  return new Witness({
    name: 'folder',
    logs: [key ?? logKey(nodeCrypto, world.signer)],
    memory: new WitnessFolder(join(world.folder, 'elsewhere')),
    crypto: nodeCrypto,
    verifier: world.verifier,
    clock: world.clock,
  });
}

const sizesIn = async (world: LogWorld): Promise<number[]> => {
  const { name } = logKey(nodeCrypto, world.signer);
  const notes = await witnessHistory(join(world.folder, 'elsewhere'), name);
  return notes.map((note) => parseCheckpoint(note).treeSize);
};

test('a folder elsewhere sees the log grow, at least every minute', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  const { witnessing, troubles } = show(world, log, [{ target: folderWitness(world) }]);
  await witnessing.advance();
  assert.deepEqual(await sizesIn(world), []);
  for (let minute = 0; minute < 4; minute++) {
    await world.append(100 * minute + 1);
    await log.advance();
    await witnessing.advance();
    await witnessing.advance();
    world.nowMs += 60_000;
  }
  assert.deepEqual(await sizesIn(world), [1, 102, 303, 604]);
  assert.deepEqual(troubles, []);
  assert.equal(witnessing.states[0]?.size, 604);
});

test('nothing is shown before half a minute is over, and the rest at the end', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  const { witnessing } = show(world, log, [{ target: folderWitness(world) }]);
  for (const [seconds, size] of [
    [0, 1],
    [29, 2],
    [1, 3],
  ] as const) {
    world.nowMs += seconds * 1000;
    await world.append(1);
    assert.equal((await log.advance()).treeSize, size);
    await witnessing.advance();
  }
  assert.deepEqual(await sizesIn(world), [1, 3]);
  await world.append(1);
  await log.advance();
  await witnessing.finish();
  assert.deepEqual(await sizesIn(world), [1, 3, 4]);
});

test('after a restart the witness says what it saw, and the proof begins there', async (context) => {
  const world = LogWorld.create(context);
  await world.append(300);
  const log = await world.open();
  await log.advance();
  await show(world, log, [{ target: folderWitness(world) }]).witnessing.advance();
  await world.append(70);
  await log.advance();
  const { witnessing, troubles } = show(world, log, [{ target: folderWitness(world) }]);
  await witnessing.advance();
  assert.deepEqual(troubles, []);
  assert.deepEqual(await sizesIn(world), [300, 370]);
});

test('another past and a cut end are refused, every time, and the witness keeps what it saw', async (context) => {
  const world = LogWorld.create(context);
  await world.append(10);
  const log = await world.open();
  await log.advance();
  await show(world, log, [{ target: folderWitness(world) }]).witnessing.advance();
  world.close();
  const start = async (leaves: number): Promise<Shown> => {
    for (const path of [world.logFolder, world.databasePath]) rmSync(path, { recursive: true });
    await world.append(leaves);
    const other = await world.open();
    await other.advance();
    const shown = show(world, other, [{ target: folderWitness(world) }]);
    await shown.witnessing.advance();
    world.nowMs += 60_000;
    await shown.witnessing.advance();
    world.close();
    return shown;
  };
  for (const [leaves, reason] of [
    [5, /saw 10 leaves; this log has 5: its end was cut off/],
    [10, /does not continue|another tree/],
    [15, /does not continue/],
  ] as const) {
    const { troubles, witnessing } = await start(leaves);
    assert.deepEqual(
      troubles.map(({ kind }) => kind),
      ['refused', 'refused'],
    );
    for (const trouble of troubles) assert.match(trouble.reason, reason);
    assert.equal(witnessing.states[0]?.trouble?.kind, 'refused');
  }
  assert.deepEqual(await sizesIn(world), [10]);
});

test('who is no log of it, signs with another key or sends nonsense gets nothing', async (context) => {
  const world = LogWorld.create(context);
  await world.append(3);
  const log = await world.open();
  await log.advance();
  const checkpoint = log.published?.checkpoint;
  assert.ok(checkpoint);
  const note = encodeNote(checkpoint.text, checkpoint.signatures);
  const body = (text: string, oldSize = 0): Uint8Array =>
    utf8(encodeSubmission({ oldSize, path: [], checkpoint: text }));
  const codeOf = async (witness: Witness, bytes: Uint8Array): Promise<string> => {
    const answer = await witness.submit(bytes);
    return answer.kind === 'refused' ? answer.code : answer.kind;
  };
  const witness = folderWitness(world);
  assert.equal(await codeOf(witness, utf8('old 0\n')), 'malformed');
  assert.equal(await codeOf(witness, body(note, 4)), 'malformed');
  assert.equal(await codeOf(witness, body(note, 2)), 'conflict');
  const stranger = folderWitness(world, logKey(nodeCrypto, noteSigner()));
  assert.equal(await codeOf(stranger, body(note)), 'unknown-log');
  const { name, publicKey } = logKey(nodeCrypto, noteSigner());
  const impostor = { ...logKey(nodeCrypto, world.signer), publicKey };
  assert.notEqual(name, impostor.name);
  assert.equal(await codeOf(folderWitness(world, impostor), body(note)), 'bad-signature');
  assert.equal(await codeOf(witness, body(note.replace('\n3\n', '\n4\n'))), 'bad-signature');
  assert.ok(!existsSync(join(world.folder, 'elsewhere')));
  assert.equal(await codeOf(witness, body(note)), 'accepted');
});

test('a second process on the network cosigns over HTTP', async (context) => {
  const world = LogWorld.create(context);
  const refusals: string[] = [];
  const running = await startWitness({
    folder: join(world.folder, 'elsewhere'),
    passphrase: 'x',
    keyCostLog2: 4,
    logs: [logKey(nodeCrypto, world.signer)],
    host: '127.0.0.1',
    port: 0,
    clock: world.clock,
    onRefusal: (code) => void refusals.push(code),
  });
  context.after(() => running.close());
  await world.append(20);
  const log = await world.open();
  await log.advance();
  const url = `http://127.0.0.1:${running.port}/`;
  const key = parseNoteKey(sha256, running.key);
  const target = new HttpWitness(url);
  const { witnessing, kept, troubles } = show(world, log, [{ target, key }]);
  await witnessing.advance();
  await world.append(1);
  await log.advance();
  world.nowMs += 60_000;
  await witnessing.advance();
  assert.deepEqual(troubles, []);
  const notes = kept.map((note) => parseCheckpoint(note));
  assert.deepEqual(
    notes.map(({ treeSize }) => treeSize),
    [20, 21],
  );
  const [, second] = notes;
  assert.ok(second);
  assert.equal(witnessedAt(world.verifier, second, key), world.nowMs / 1000);

  const wrongKey = witnessKey(nodeCrypto, key.name, noteSigner());
  const doubted = show(world, log, [{ target, key: wrongKey }]);
  await doubted.witnessing.advance();
  assert.match(doubted.troubles[0]?.reason ?? '', /did not sign it with its key/);

  const answers = [
    await target.submit(utf8('nonsense')),
    await target.submit(
      utf8(encodeSubmission({ oldSize: 1, path: [], checkpoint: textOf(second) })),
    ),
  ];
  assert.deepEqual(answers, [
    { kind: 'refused', code: 'malformed', reason: 'It cannot read the submission.' },
    { kind: 'conflict', size: 21 },
  ]);
  assert.deepEqual(refusals, ['malformed']);
  await assert.rejects(
    startWitness({
      folder: join(world.folder, 'elsewhere'),
      passphrase: 'x',
      logs: [],
      host: '127.0.0.1',
      port: 0,
      onRefusal: () => undefined,
    }),
    EnvironmentError,
  );
});

test('a witness that is away is told once, asked again, and told again when it goes again', async (context) => {
  const world = LogWorld.create(context);
  await world.append(2);
  const log = await world.open();
  await log.advance();
  let away = true;
  let asked = 0;
  const inner = folderWitness(world);
  const target: WitnessTarget = {
    name: 'far',
    submit: (body) => {
      asked += 1;
      return away
        ? Promise.reject(new EnvironmentError('no route', { retryable: true }))
        : inner.submit(body);
    },
  };
  const { witnessing, troubles } = show(world, log, [{ target }]);
  const step = async (seconds: number): Promise<void> => {
    world.nowMs += seconds * 1000;
    await witnessing.advance();
  };
  await step(0);
  await step(5);
  await step(5);
  assert.deepEqual([asked, troubles.length], [2, 1]);
  away = false;
  await step(10);
  assert.equal(witnessing.states[0]?.trouble, undefined);
  away = true;
  await step(30);
  assert.equal(troubles.length, 2);
});

test('a line of the history that a crash has cut costs nothing', async (context) => {
  const world = LogWorld.create(context);
  await world.append(2);
  const log = await world.open();
  await log.advance();
  await show(world, log, [{ target: folderWitness(world) }]).witnessing.advance();
  const { name } = logKey(nodeCrypto, world.signer);
  const folder = sha256Hex(name).slice(0, 16);
  const history = join(world.folder, 'elsewhere', folder, 'history');
  writeFileSync(history, `${readFileSync(history, 'utf8')}\n"half a li`);
  await world.append(1);
  await log.advance();
  await show(world, log, [{ target: folderWitness(world) }]).witnessing.advance();
  assert.deepEqual(await sizesIn(world), [2, 3]);
});

test('verifier keys: one line, bound to name, type and key', () => {
  const log = logKey(nodeCrypto, noteSigner());
  const witness = witnessKey(nodeCrypto, 'witness.example/w1', noteSigner());
  for (const key of [log, witness]) {
    assert.deepEqual(parseNoteKey(sha256, encodeNoteKey(key)), key);
  }
  const text = encodeNoteKey(witness);
  for (const broken of [
    '',
    text.replace('w1', 'w2'),
    text.slice(0, -4),
    text.replace(/\+[0-9a-f]{8}\+/, '+00000000+'),
    `${text} `,
    text.replace(/\+B/, '+C'),
  ]) {
    assert.throws(() => parseNoteKey(sha256, broken), MalformedError, broken);
  }
  // The key of the Go checksum database, as its documentation prints it.
  const go = 'sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8';
  assert.equal(encodeNoteKey(parseNoteKey(sha256, go)), go);
});

function textOf(note: ReturnType<typeof parseCheckpoint>): string {
  return encodeNote(note.text, note.signatures);
}

function sha256Hex(text: string): string {
  return Buffer.from(sha256(utf8(text))).toString('hex');
}
