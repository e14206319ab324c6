/** What the registry decides by itself: imports, candidates, who may enrol. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { Registry } from '../../../src/trust/registry/registry.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { deviceIdOf, importedDevice, sha256Of } from '../../support/registrySamples.ts';

function registry(): Registry {
  return new Registry(new MemoryRegistryStore(), { nowMs: () => 1000 });
}

function refusalOf(outcome: unknown): { code: string; reason: string } {
  assert.ok(isRefusal(outcome), 'a refusal was expected');
  return { code: outcome.refused, reason: outcome.reason };
}

test('a bad entry is named and nothing is imported', async () => {
  const faults = {
    deviceId: { deviceId: 'ILLEGAL-ILLEGAL-' },
    family: { family: '' },
    product: { product: 'a\nb' },
    uid: { uid: new Uint8Array(65) },
    eui64: { eui64: new Uint8Array(6) },
    signKeySpki: { signKeySpki: new Uint8Array(3) },
    agreeKey: { agreeKey: new Uint8Array(65) },
    kid: { kid: new Uint8Array(0) },
    'agreeKey and kid': { kid: undefined },
  };
  for (const [words, changes] of Object.entries(faults)) {
    const it = registry();
    const bad = importedDevice(2, changes);
    const { code, reason } = refusalOf(await it.importDevices([importedDevice(1), bad]));
    assert.equal(code, 'malformed');
    assert.match(reason, /^entry 1 /);
    assert.ok(reason.includes(words), reason);
    assert.equal(await it.device(deviceIdOf(1)), undefined);
  }
});

test('a device brings only device certificates', async () => {
  const device = importedDevice(1);
  const certificates = [{ kind: 'operator', sha256: sha256Of('x'), notAfterMs: 1 }] as const;
  const { code } = refusalOf(await registry().importDevices([{ ...device, certificates }]));
  assert.equal(code, 'malformed');
});

test('a duplicate is named with the attribute it shares', async () => {
  const it = registry();
  await it.importDevices([importedDevice(1)]);
  const twin = importedDevice(2, { uid: importedDevice(1).identity.uid });
  const { code, reason } = refusalOf(await it.importDevices([importedDevice(3), twin]));
  assert.equal(code, 'duplicate');
  assert.match(reason, new RegExp(`entry 1 \\(device ${deviceIdOf(2)}\\).*uid`));
});

test('candidates: the hinted device first, others of the kid after it, revoked ones never', async () => {
  const store = new MemoryRegistryStore();
  const it = new Registry(store, { nowMs: () => 1000 });
  const kid = Uint8Array.of(7);
  const devices = [1, 2, 3, 4].map((n) => importedDevice(n, { kid }));
  await it.importDevices(devices);
  const hinted = devices[2]?.identity.eui64;
  const found = await it.candidates(kid, hinted);
  assert.equal(found[0]?.deviceId, deviceIdOf(3));
  assert.equal(new Set(found.map(({ deviceId }) => deviceId)).size, 4);
  await store.revokeDevices([deviceIdOf(3)], 'lost', 1);
  const left = (await it.candidates(kid, hinted)).map(({ deviceId }) => deviceId);
  assert.deepEqual([...left].sort(), [1, 2, 4].map(deviceIdOf).sort());
  assert.deepEqual(await it.candidates(Uint8Array.of(9), hinted), []);
});

test('candidates are bounded', async () => {
  const it = registry();
  const kid = Uint8Array.of(7);
  const devices = Array.from({ length: 40 }, (_, n) => importedDevice(n, { kid }));
  await it.importDevices(devices);
  const found = await it.candidates(kid, devices[30]?.identity.eui64);
  assert.equal(found.length, 16);
  assert.equal(found[0]?.deviceId, deviceIdOf(30));
});

test('a key names one device, and none that may have no sessions', async () => {
  const store = new MemoryRegistryStore();
  const it = new Registry(store, { nowMs: () => 1000 });
  const { deviceId, agreeKey } = importedDevice(1).identity;
  assert.ok(agreeKey);
  assert.equal(await it.candidateByKey(agreeKey), undefined);
  await it.importDevices([importedDevice(1, {}, 'expected'), importedDevice(2)]);
  assert.equal(await it.candidateByKey(agreeKey), undefined);
  await it.releaseDevices([deviceId]);
  assert.equal((await it.candidateByKey(agreeKey))?.deviceId, deviceId);
  await store.setHold([deviceId], true, 'lent', 1);
  assert.equal(await it.candidateByKey(agreeKey), undefined);
  await store.setHold([deviceId], false, 'back', 2);
  await store.revokeDevices([deviceId], 'lost', 3);
  assert.equal(await it.candidateByKey(agreeKey), undefined);
});

test('enrolment needs a released device and the proof level asked for', async () => {
  const store = new MemoryRegistryStore();
  const strict = new Registry(store, { nowMs: () => 1000 }, { leastProof: 'line-anchored' });
  await strict.importDevices([
    importedDevice(1),
    importedDevice(2, {}, 'expected'),
    importedDevice(3, { proofLevel: 'possession' }),
  ]);
  const device = await strict.mayEnrol(deviceIdOf(1));
  assert.ok(!isRefusal(device) && device.deviceId === deviceIdOf(1));
  assert.equal(refusalOf(await strict.mayEnrol(deviceIdOf(2))).code, 'not-released');
  assert.equal(refusalOf(await strict.mayEnrol(deviceIdOf(3))).code, 'not-released');
  assert.equal(refusalOf(await strict.mayEnrol(deviceIdOf(4))).code, 'unknown-device');
  await store.revokeDevices([deviceIdOf(1)], 'lost', 1);
  assert.equal(refusalOf(await strict.mayEnrol(deviceIdOf(1))).code, 'revoked');
});

test('certificates of devices never come by the side door', async () => {
  const entry = { sha256: sha256Of('x'), kind: 'ldevid', holder: 'd', notAfterMs: 1 } as const;
  await assert.rejects(registry().addCertificate(entry), TypeError);
});

test('nobody is named like a device', async () => {
  const entry = { sha256: sha256Of('x'), kind: 'application', notAfterMs: 1 } as const;
  for (const holder of [deviceIdOf(1), '', 'a\u0000b']) {
    assert.equal(refusalOf(await registry().addCertificate({ ...entry, holder })).code, 'bad-name');
  }
});

test('hold and reinstate; revoked stays revoked', async () => {
  const store = new MemoryRegistryStore();
  const it = new Registry(store, { nowMs: () => 1000 });
  const sha256 = sha256Of('x');
  assert.equal(refusalOf(await it.hold(sha256, 'why')).code, 'unknown-certificate');
  await it.addCertificate({ sha256, kind: 'application', holder: 'app', notAfterMs: 1 });
  assert.equal(await it.hold(sha256, 'why'), undefined);
  assert.equal((await it.certificate(sha256))?.state, 'held');
  assert.equal(await it.reinstate(sha256, 'found'), undefined);
  await store.setCertificateState(sha256, 'revoked', 'why', 1);
  assert.equal(refusalOf(await it.reinstate(sha256, 'found')).code, 'forbidden');
});
