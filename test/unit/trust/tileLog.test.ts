import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { AuditLog } from '../../../src/trust/audit/log.ts';
import { logKey } from '../../../src/trust/audit/publication.ts';
import type { AuditStore } from '../../../src/trust/ports/auditStore.ts';
import { EnvironmentError, InvariantError } from '../../../src/trust/ports/faults.ts';
import type { LogFile, TileStore } from '../../../src/trust/ports/tileStore.ts';
import { encodeNoteKey } from '../../../src/wire/tlog/noteKey.ts';
import { LogWorld } from '../../support/auditLog.ts';
import { verifyFiles } from '../../support/thirdParty.ts';

const keyText = (world: LogWorld): string => encodeNoteKey(logKey(nodeCrypto, world.signer));

test('tiles, checkpoint and key can be checked by somebody who has nothing but the files', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  for (const count of [1, 2, 252, 1, 1, 300, 1000, 443]) {
    await world.append(count);
    const head = await log.advance();
    const entries = verifyFiles(world.logFolder, keyText(world));
    assert.equal(entries.length, head.treeSize);
    assert.equal(log.published?.checkpoint.treeSize, head.treeSize);
  }
  assert.equal(readFileSync(join(world.logFolder, 'key'), 'utf8'), `${keyText(world)}\n`);
  assert.deepEqual(
    verifyFiles(world.logFolder, keyText(world)).map((entry) => entry.toString('hex')),
    (await world.store.leaves(0, 100_000)).map((entry) => Buffer.from(entry).toString('hex')),
  );
});

test('partial tiles stay while a checkpoint had their size, and go when the full one is there', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  await world.append(5);
  await log.advance();
  await world.append(5);
  await log.advance();
  const first = join(world.logFolder, 'tile/0/000.p');
  assert.ok(existsSync(join(first, '5')) && existsSync(join(first, '10')));
  await world.append(246);
  await log.advance();
  assert.ok(!existsSync(first));
  assert.equal(readFileSync(join(world.logFolder, 'tile/0/000')).length, 8192);
});

test('an empty log has no checkpoint', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  assert.equal((await log.advance()).treeSize, 0);
  assert.equal(log.published, undefined);
});

test('a restart goes on at any size', async (context) => {
  const world = LogWorld.create(context);
  for (const count of [255, 1, 1, 65_279, 10, 300]) {
    const log = await world.open();
    await world.append(count);
    await log.advance();
    world.close();
  }
  assert.equal(verifyFiles(world.logFolder, keyText(world)).length, 65_846);
});

test('a crash at each step of the way loses nothing and signs nothing twice', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  await world.append(250);
  await log.advance();
  for (const step of ['write', 'saveHead', 'replace'] as const) {
    for (const done of [false, true]) {
      await world.append(7);
      const { tiles, store } = dying(world, step, done);
      const dead = await world.open({ tiles, store });
      await assert.rejects(dead.advance(), /crash/, `${step} ${done}`);
      // Whatever is published at that moment is true.
      verifyFiles(world.logFolder, keyText(world));
      world.close();
      const again = await world.open();
      const { treeSize } = await again.advance();
      assert.equal(verifyFiles(world.logFolder, keyText(world)).length, treeSize);
    }
  }
  assert.equal((await world.store.head())?.treeSize, 292);
});

test('after a failure the same log goes on by itself', async (context) => {
  const world = LogWorld.create(context);
  for (const step of ['write', 'saveHead', 'replace'] as const) {
    await world.append(300);
    const { tiles, store } = dying(world, step, false, 1);
    const log = await world.open({ tiles, store });
    await assert.rejects(log.advance(), /crash/);
    const { treeSize } = await log.advance();
    assert.equal(verifyFiles(world.logFolder, keyText(world)).length, treeSize);
  }
});

test('a database that is older than what was published signs nothing', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  await world.append(5);
  await log.advance();
  world.close();
  cpSync(world.databasePath, `${world.databasePath}.old`);
  const later = await world.open();
  await world.append(5);
  await later.advance();
  world.close();
  renameSync(`${world.databasePath}.old`, world.databasePath);
  await assert.rejects(world.open(), (error: unknown) => {
    return (
      error instanceof EnvironmentError && /an older database was put back/.test(error.message)
    );
  });
});

test('another history, another key, missing or changed tiles: nothing is signed', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  await world.append(300);
  await log.advance();
  const backup = `${world.logFolder}.whole`;
  cpSync(world.logFolder, backup, { recursive: true });
  const restore = (): void => {
    rmSync(world.logFolder, { recursive: true });
    cpSync(backup, world.logFolder, { recursive: true });
  };
  const refused = (message: RegExp): Promise<void> =>
    assert.rejects(world.open(), (error: unknown) => {
      return error instanceof EnvironmentError && !error.retryable && message.test(error.message);
    });

  rmSync(join(world.logFolder, 'tile/1'), { recursive: true });
  await refused(/tiles at the end of the log are missing/);
  restore();
  const edge = join(world.logFolder, 'tile/0/001.p/44');
  const bytes = readFileSync(edge);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  writeFileSync(edge, bytes);
  await refused(/not those of the database/);
  restore();
  writeFileSync(join(world.logFolder, 'checkpoint'), 'nonsense');
  await refused(/not signed by the key of this log/);
  restore();
  world.database.prepare('UPDATE audit_heads SET root = zeroblob(32)').run();
  await assert.rejects(world.open(), /another history of 300 leaves/);
});

test('a lost folder is made again from the database', async (context) => {
  const world = LogWorld.create(context);
  const log = await world.open();
  await world.append(700);
  await log.advance();
  const checkpoint = readFileSync(join(world.logFolder, 'checkpoint'), 'utf8');
  rmSync(world.logFolder, { recursive: true });
  await (await world.open()).advance();
  assert.equal(readFileSync(join(world.logFolder, 'checkpoint'), 'utf8'), checkpoint);
  assert.equal(verifyFiles(world.logFolder, keyText(world)).length, 700);

  rmSync(world.logFolder, { recursive: true });
  world.database.prepare("UPDATE audit_leaves SET entry = x'00' WHERE id = 5").run();
  await assert.rejects(world.open(), /do not give its stored root/);
});

test('a log of before there were files gets them', async (context) => {
  const world = LogWorld.create(context);
  await world.append(1300);
  const old = await AuditLog.open(world.store, world.clock, nodeCrypto);
  await old.advance();
  assert.equal(old.published, undefined);
  await world.append(3);
  await (await world.open()).advance();
  assert.equal(verifyFiles(world.logFolder, keyText(world)).length, 1303);
});

test('the store takes no second history', async (context) => {
  const world = LogWorld.create(context);
  await world.append(4);
  const log = await world.open();
  const head = await log.advance();
  await world.store.saveHead(head);
  const other = { ...head, root: new Uint8Array(32) };
  await assert.rejects(world.store.saveHead(other), InvariantError);
  await assert.rejects(world.store.saveHead({ ...head, treeSize: 3 }), InvariantError);
});

test('a tile that is there with another content is never overwritten', async (context) => {
  const world = LogWorld.create(context);
  const { tiles } = world;
  const file = (byte: number): LogFile => ({
    path: 'tile/0/000.p/1',
    content: Buffer.alloc(32, byte),
  });
  await tiles.write([file(1)]);
  await tiles.write([file(1)]);
  await assert.rejects(tiles.write([file(2)]), /another content/);
  await assert.rejects(tiles.read('../secret'), TypeError);
});

/** The step fails `times` times: before it did anything, or when all was done and nobody was told. */
function dying(
  world: LogWorld,
  step: 'write' | 'saveHead' | 'replace',
  done: boolean,
  times = Infinity,
): { tiles: TileStore; store: AuditStore } {
  const { tiles, store } = world;
  let left = times;
  const guard =
    <Input>(name: string, act: (input: Input) => Promise<void>) =>
    async (input: Input): Promise<void> => {
      const isKey =
        typeof input === 'object' && input !== null && Reflect.get(input, 'path') === 'key';
      const dies = name === step && !isKey && left > 0;
      if (dies) left -= 1;
      if (!dies || done) await act(input);
      if (dies) throw new EnvironmentError('crash', { retryable: true });
    };
  return {
    tiles: {
      read: (path) => tiles.read(path),
      dropPartials: (paths) => tiles.dropPartials(paths),
      write: guard('write', (files: readonly LogFile[]) => tiles.write(files)),
      replace: guard('replace', (file: LogFile) => tiles.replace(file)),
    },
    store: {
      leaves: (from, limit) => store.leaves(from, limit),
      countLeaves: () => store.countLeaves(),
      head: () => store.head(),
      rootAt: (size) => store.rootAt(size),
      append: (entries) => store.append(entries),
      saveHead: guard('saveHead', (head: Parameters<AuditStore['saveHead']>[0]) =>
        store.saveHead(head),
      ),
    },
  };
}
