import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import { decode, openDeviceStore } from '../../../src/drivers/store/files/deviceStore.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';

let folder = '';
let path = '';

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'birthmark-device-'));
  path = join(folder, 'sensor', 'state');
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('what was committed is there after a restart, all of it', async () => {
  const store = await openDeviceStore(path);
  await Promise.all([
    store.commit(
      new Map([
        ['a', fromHex('01')],
        ['b', fromHex('02')],
      ]),
    ),
    store.commit(
      new Map([
        ['a', undefined],
        ['c', fromHex('03')],
      ]),
    ),
  ]);
  await store.close();
  const again = await openDeviceStore(path);
  assert.equal(await again.read('a'), undefined);
  assert.deepEqual(await again.read('b'), fromHex('02'));
  assert.deepEqual(await again.read('c'), fromHex('03'));
  await again.close();
  if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600);
});

test('a crash before the rename leaves the old values, and its rest does no harm', async () => {
  const store = await openDeviceStore(path);
  await store.commit(new Map([['a', fromHex('01')]]));
  await store.close();
  writeFileSync(`${path}.new`, fromHex('8301'));
  const again = await openDeviceStore(path);
  assert.deepEqual(await again.read('a'), fromHex('01'));
  await again.commit(new Map([['a', fromHex('02')]]));
  assert.deepEqual(await again.read('a'), fromHex('02'));
  await again.close();
  assert.ok(!readdirSync(join(folder, 'sensor')).includes('state.new'));
});

test('a second opener is refused while the first lives, in this process and in another', async () => {
  const store = await openDeviceStore(path);
  await assert.rejects(openDeviceStore(path), /in use by process/);
  const module = fileURLToPath(
    new URL('../../../src/drivers/store/files/deviceStore.ts', import.meta.url),
  );
  const script = `
    import { openDeviceStore } from ${JSON.stringify(module)};
    try { await openDeviceStore(${JSON.stringify(path)}); console.log('opened'); process.exit(0); }
    catch (error) { console.log(error.message); }`;
  const other = (): string =>
    execFileSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
  assert.match(other(), /in use by process/);
  await store.close();
  // The other process ends without closing: its claim ends with it.
  assert.match(other(), /opened/);
  await (await openDeviceStore(path)).close();
});

test('a damaged file is refused, at every byte', async () => {
  const store = await openDeviceStore(path);
  await store.commit(new Map([['name', fromHex('0102')]]));
  await store.close();
  const good = readFileSync(path);
  for (let offset = 0; offset < good.length; offset++) {
    const bad = Buffer.from(good);
    bad[offset] = (bad[offset] ?? 0) ^ 0x01;
    assert.throws(
      () => decode(bad),
      (error) => error instanceof MalformedError || error instanceof UnsupportedError,
      `offset ${offset}`,
    );
  }
  writeFileSync(path, good.subarray(0, good.length - 1));
  await assert.rejects(
    openDeviceStore(path),
    (error) => error instanceof DeviceFault && !error.retryable && /damaged/.test(error.message),
  );
});

test('limits are kept, and a failed disk is told', async () => {
  const store = await openDeviceStore(path);
  await assert.rejects(store.commit(new Map([['a', new Uint8Array(4097)]])), TypeError);
  await store.commit(new Map([['a', new Uint8Array(4096)]]));
  rmSync(join(folder, 'sensor'), { recursive: true });
  await assert.rejects(
    store.commit(new Map([['a', fromHex('01')]])),
    (error) => error instanceof DeviceFault && error.retryable,
  );
  // What is stored is unknown now, so nothing more is promised until a restart.
  await assert.rejects(store.commit(new Map([['a', fromHex('01')]])), /start again/);
  await store.close();
});
