/** Revocation: registry first, then everything live, then the authority. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import type { LiveConnections } from '../../../src/trust/ports/liveConnections.ts';
import type { AuthorityNotice } from '../../../src/trust/ports/registryStore.ts';
import { tellAuthority } from '../../../src/trust/revocation/outbox.ts';
import { Revocation } from '../../../src/trust/revocation/revocation.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { deviceIdOf, importedDevice, sha256Of } from '../../support/registrySamples.ts';

const ids = [1, 2, 3].map(deviceIdOf);

async function setUp() {
  const store = new MemoryRegistryStore();
  await store.importDevices(
    [1, 2, 3].map((n) => importedDevice(n)),
    1,
  );
  const dropped: string[] = [];
  const live = (name: string): LiveConnections => ({
    name,
    drop: async (holders) => {
      for (const holder of holders) {
        const device = await store.device(holder);
        // What is dropped before the registry says no could come back at once.
        assert.equal(device?.state, 'revoked');
        dropped.push(`${name} ${holder}`);
      }
      return holders.size;
    },
    dropCertificate: async (sha256) => {
      assert.equal((await store.certificate(sha256))?.state, 'revoked');
      dropped.push(`${name} certificate`);
      return 1;
    },
  });
  let ms = 0;
  const revocation = new Revocation({
    store,
    clock: { nowMs: () => 1000 },
    monotonicMs: () => (ms += 5),
    live: [live('tls'), live('mqtt'), live('session')],
  });
  return { store, dropped, revocation };
}

test('the registry is written before anything live is ended', async () => {
  const { revocation, dropped, store } = await setUp();
  const report = await revocation.revokeDevices([ids[0] ?? ''], 'lost');
  assert.ok(!isRefusal(report));
  assert.deepEqual(report.ended, { tls: 1, mqtt: 1, session: 1 });
  assert.deepEqual(report.devices, [{ deviceId: ids[0], changed: true, certificates: 1 }]);
  assert.equal(report.killMs, 5);
  assert.equal(dropped.length, 3);
  assert.equal((await store.device(ids[1] ?? ''))?.state, 'released');
});

test('an unknown device among others revokes nothing', async () => {
  const { revocation, dropped, store } = await setUp();
  const report = await revocation.revokeDevices([ids[0] ?? '', 'nobody'], 'lost');
  assert.ok(isRefusal(report) && report.refused === 'unknown-device');
  assert.deepEqual(dropped, []);
  assert.equal((await store.device(ids[0] ?? ''))?.state, 'released');
});

test('revoking again ends what might still live', async () => {
  const { revocation, dropped } = await setUp();
  await revocation.revokeDevices(ids, 'lost');
  const report = await revocation.revokeDevices(ids, 'lost');
  assert.ok(!isRefusal(report));
  assert.deepEqual(
    report.devices.map(({ changed }) => changed),
    [false, false, false],
  );
  assert.equal(dropped.length, 18);
});

test('too many at once is refused whole', async () => {
  const { revocation } = await setUp();
  const many = Array.from({ length: 10_001 }, (_, n) => deviceIdOf(n));
  const report = await revocation.revokeDevices(many, 'lost');
  assert.ok(isRefusal(report) && report.refused === 'too-many');
});

test('one certificate is revoked and its device is not', async () => {
  const { revocation, store, dropped } = await setUp();
  const report = await revocation.revokeCertificate(sha256Of('idevid 1'), 'leaked');
  assert.ok(!isRefusal(report));
  assert.equal((await store.device(ids[0] ?? ''))?.state, 'released');
  assert.deepEqual(dropped, ['tls certificate', 'mqtt certificate', 'session certificate']);
  const unknown = await revocation.revokeCertificate(sha256Of('nothing'), 'leaked');
  assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-certificate');
});

test('a plan counts and changes nothing', async () => {
  const { revocation, store } = await setUp();
  await revocation.revokeDevices([ids[1] ?? ''], 'lost');
  const plan = await revocation.plan([ids[0] ?? '', ids[1] ?? '', 'nobody']);
  assert.deepEqual(plan, {
    devices: [
      { deviceId: ids[0], revokedAlready: false, certificates: 1 },
      { deviceId: ids[1], revokedAlready: true, certificates: 1 },
    ],
    unknown: ['nobody'],
  });
  assert.equal((await store.device(ids[0] ?? ''))?.state, 'released');
});

test('the authority is told once it answers, and only once', async () => {
  const { revocation, store } = await setUp();
  await revocation.revokeDevices(ids, 'lost');
  const told: AuthorityNotice[] = [];
  let down = true;
  const authority = {
    recordRevocations: async (notices: readonly AuthorityNotice[]) => {
      if (down) throw new EnvironmentError('the authority does not answer', { retryable: true });
      told.push(...notices);
      return [];
    },
  };
  const first = await tellAuthority(store, authority);
  assert.deepEqual(first, {
    told: 0,
    waiting: [],
    stopped: 'the authority does not answer',
  });
  down = false;
  assert.deepEqual(await tellAuthority(store, authority), {
    told: 3,
    waiting: [],
    stopped: undefined,
  });
  assert.deepEqual(
    told.map(({ act, subject }) => [act, subject]),
    ids.map((id) => ['revoke-device', id]),
  );
  assert.deepEqual(await tellAuthority(store, authority), {
    told: 0,
    waiting: [],
    stopped: undefined,
  });
});
