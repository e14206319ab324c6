/** What every registry store must do, the reference in maps and the real ones alike. */
import assert from 'node:assert/strict';
import { toHex } from '../../src/wire/bytes/hex.ts';
import type { RegistryStore } from '../../src/trust/ports/registryStore.ts';
import * as postgresTables from '../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresRegistryStore } from '../../src/drivers/store/postgres/registryStore.ts';
import { SqliteRegistryStore } from '../../src/drivers/store/sqlite/registryStore.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { MemoryRegistryStore } from '../support/memoryRegistryStore.ts';
import { importedDevice, sha256Of } from '../support/registrySamples.ts';
import { type BackendParts, contract } from '../support/storeBackends.ts';

const backends: BackendParts<RegistryStore> = {
  memory: () => new MemoryRegistryStore(),
  sqlite: {
    migrations: provisionerMigrations,
    stores: (database) => new SqliteRegistryStore(database),
  },
  postgres: {
    migrations: postgresTables.provisionerMigrations,
    stores: (database) => new PostgresRegistryStore(database),
  },
};

contract('registry store', backends, (check) => {
  check('an imported device is found by each of its names', async (store) => {
    const device = importedDevice(1);
    assert.deepEqual(await store.importDevices([device], 100), { imported: 1, unchanged: 0 });
    const record = await store.device(device.identity.deviceId);
    assert.deepEqual(record, {
      ...device.identity,
      role: 'sensor',
      state: 'released',
      importedMs: 100,
      enrolledMs: undefined,
      revokedMs: undefined,
      revocationReason: undefined,
      heldMs: undefined,
    });
    const { family, uid, eui64, kid } = device.identity;
    assert.deepEqual(await store.deviceByUid(family, uid), record);
    assert.deepEqual(await store.deviceByLinkAddress(eui64 ?? uid), record);
    assert.deepEqual(await store.devicesByKid(kid ?? uid, 5), [record]);
    assert.deepEqual(await store.deviceBySignKey(record.signKeySpki), record);
    assert.equal(await store.deviceBySignKey(uid), undefined);
    assert.ok(record.agreeKey);
    assert.deepEqual(await store.deviceByAgreeKey(record.agreeKey), record);
    assert.equal(await store.deviceByAgreeKey(uid), undefined);
    assert.equal(await store.deviceByUid('other', uid), undefined);
    const [certificate] = device.certificates;
    assert.ok(certificate);
    assert.deepEqual(await store.certificate(certificate.sha256), {
      ...certificate,
      holder: device.identity.deviceId,
      state: 'active',
      addedMs: 100,
      revokedMs: undefined,
      revocationReason: undefined,
    });
  });

  check('importing the same again changes nothing', async (store) => {
    const devices = [importedDevice(1), importedDevice(2)];
    await store.importDevices(devices, 100);
    const again = await store.importDevices([...devices, importedDevice(3)], 200);
    assert.deepEqual(again, { imported: 1, unchanged: 2 });
    assert.equal((await store.device(importedDevice(1).identity.deviceId))?.importedMs, 100);
  });

  check('one conflict and nothing is imported', async (store) => {
    await store.importDevices([importedDevice(1)], 100);
    const [one, two] = [importedDevice(1).identity, importedDevice(2)];
    const conflicts = {
      deviceId: { deviceId: one.deviceId },
      uid: { uid: one.uid },
      eui64: { eui64: one.eui64 },
      signKeySpki: { signKeySpki: one.signKeySpki },
      agreeKey: { agreeKey: one.agreeKey },
    };
    for (const [attribute, overlap] of Object.entries(conflicts)) {
      const clash = { ...two, identity: { ...two.identity, ...overlap } };
      const outcome = await store.importDevices([importedDevice(3), clash], 200);
      assert.deepEqual(outcome, { conflictAt: 1, attribute });
    }
    const clash = { ...two, certificates: importedDevice(1).certificates };
    const outcome = await store.importDevices([importedDevice(3), clash], 200);
    assert.deepEqual(outcome, { conflictAt: 1, attribute: 'certificate' });
    assert.equal(await store.device(importedDevice(3).identity.deviceId), undefined);
    assert.equal(await store.certificate(sha256Of('idevid 3')), undefined);
  });

  check('a conflict inside one import is found as well', async (store) => {
    const two = importedDevice(2);
    const twin = { ...two, identity: { ...two.identity, uid: importedDevice(1).identity.uid } };
    const outcome = await store.importDevices([importedDevice(1), twin], 100);
    assert.deepEqual(outcome, { conflictAt: 1, attribute: 'uid' });
    assert.equal(await store.device(importedDevice(1).identity.deviceId), undefined);
  });

  check('pages go on after the last id, and states filter', async (store) => {
    const devices = [1, 2, 3, 4, 5].map((n) => importedDevice(n));
    await store.importDevices(devices, 100);
    const ids = devices.map(({ identity }) => identity.deviceId).sort();
    const first = await store.devices({ limit: 2 });
    assert.deepEqual(first.map(idOf), ids.slice(0, 2));
    const rest = await store.devices({ limit: 9, after: ids[1] });
    assert.deepEqual(rest.map(idOf), ids.slice(2));
    await store.revokeDevices([ids[3] ?? ''], 'lost', 200);
    assert.deepEqual((await store.devices({ limit: 9, state: 'revoked' })).map(idOf), [ids[3]]);
    const counts = { expected: 0, released: 4, enrolled: 0, revoked: 1 };
    assert.deepEqual(await store.countDevices(), counts);
  });

  check('several devices may share a kid', async (store) => {
    const devices = [1, 2, 3].map((n) => importedDevice(n, { kid: Uint8Array.of(7) }));
    await store.importDevices(devices, 100);
    assert.equal((await store.devicesByKid(Uint8Array.of(7), 9)).length, 3);
    assert.equal((await store.devicesByKid(Uint8Array.of(7), 2)).length, 2);
    assert.equal((await store.devicesByKid(Uint8Array.of(8), 2)).length, 0);
    // Those that cannot have sessions take no place of those that can.
    const [first = '', second = '', third = ''] = devices
      .map(({ identity }) => identity.deviceId)
      .sort();
    await store.revokeDevices([first], 'lost', 200);
    assert.deepEqual((await store.devicesByKid(Uint8Array.of(7), 1)).map(idOf), [second]);
    await store.setHold([second], true, 'lent', 300);
    assert.deepEqual((await store.devicesByKid(Uint8Array.of(7), 1)).map(idOf), [third]);
  });

  check('a product is a gateway for its present and future devices', async (store) => {
    await store.importDevices([importedDevice(1)], 100);
    assert.equal(await store.setProductRole('thermo', 'gateway'), 1);
    await store.importDevices([importedDevice(2)], 100);
    for (const n of [1, 2]) {
      assert.equal((await store.device(importedDevice(n).identity.deviceId))?.role, 'gateway');
    }
    assert.equal(await store.setProductRole('thermo', 'sensor'), 2);
  });

  check('only a released device enrols', async (store) => {
    const device = importedDevice(1, {}, 'expected');
    const { deviceId } = device.identity;
    await store.importDevices([device], 100);
    const entry = ldevid(deviceId, 'first');
    assert.equal(await store.enrolDevice(entry, 200), 'not-released');
    assert.equal(await store.certificate(entry.sha256), undefined);
    assert.equal(await store.releaseDevices([deviceId, 'nobody']), 1);
    assert.equal(await store.enrolDevice(entry, 300), 'enrolled');
    assert.equal(await store.enrolDevice(entry, 400), 'enrolled');
    const record = await store.device(deviceId);
    assert.deepEqual([record?.state, record?.enrolledMs], ['enrolled', 300]);
    assert.equal(await store.enrolDevice(ldevid('nobody', 'x'), 400), 'unknown-device');
    assert.equal(await store.markEnrolled('nobody', 400), 'unknown-device');
    await store.revokeDevices([deviceId], 'lost', 500);
    assert.equal(await store.enrolDevice(ldevid(deviceId, 'second'), 600), 'revoked');
    assert.equal(await store.markEnrolled(deviceId, 600), 'revoked');
  });

  check('a certificate has one holder', async (store) => {
    const entry = { ...ldevid('door-1', 'd'), kind: 'station' as const };
    assert.equal(await store.addCertificate(entry, 100), 'added');
    assert.equal(await store.addCertificate(entry, 200), 'unchanged');
    assert.equal(await store.addCertificate({ ...entry, holder: 'door-2' }, 200), 'taken');
    await store.importDevices([importedDevice(1)], 100);
    const stolen = { ...ldevid(importedDevice(1).identity.deviceId, 'd') };
    assert.equal(await store.enrolDevice(stolen, 300), 'taken');
  });

  check('a renewed LDevID supersedes its predecessors and nothing else', async (store) => {
    await store.importDevices([importedDevice(1)], 100);
    const { deviceId } = importedDevice(1).identity;
    for (const word of ['old', 'new', 'newer']) {
      await store.enrolDevice(ldevid(deviceId, word), 200);
    }
    assert.equal(await store.supersedeOlder(deviceId, sha256Of('new'), 300), 1);
    assert.equal(await store.supersedeOlder(deviceId, sha256Of('unknown'), 300), 0);
    assert.deepEqual(
      (await store.pendingNotices(10)).map((notice) => ({ ...notice, sequence: 0 })),
      [
        {
          sequence: 0,
          act: 'revoke-certificate',
          subject: toHex(sha256Of('old')),
          holder: deviceId,
          code: 'superseded',
          reason: 'renewed',
          atMs: 300,
        },
      ],
    );
    const states = (await store.certificatesOf(deviceId)).map(({ kind, state }) => [kind, state]);
    assert.deepEqual(states, [
      ['idevid', 'active'],
      ['ldevid', 'superseded'],
      ['ldevid', 'active'],
      ['ldevid', 'active'],
    ]);
  });

  check(
    'an LDevID enters together with the end of those that do not stay beside it',
    async (store) => {
      await store.importDevices([importedDevice(1), importedDevice(2)], 100);
      const { deviceId } = importedDevice(1).identity;
      const other = importedDevice(2).identity.deviceId;
      await store.enrolDevice(ldevid(other, 'theirs'), 200, []);
      for (const word of ['a', 'b', 'held']) await store.enrolDevice(ldevid(deviceId, word), 200);
      await store.setCertificateState(sha256Of('held'), 'held', 'why', 250);
      await store.settleNotices((await store.pendingNotices(10)).map(({ sequence }) => sequence));
      const beside = [sha256Of('b'), sha256Of('unknown')];
      for (const nowMs of [300, 400]) await store.enrolDevice(ldevid(deviceId, 'c'), nowMs, beside);
      const states = async (holder: string): Promise<readonly string[]> =>
        (await store.certificatesOf(holder)).map(({ kind, state }) => `${kind} ${state}`);
      assert.deepEqual(await states(deviceId), [
        'idevid active',
        'ldevid superseded',
        'ldevid active',
        'ldevid superseded',
        'ldevid active',
      ]);
      assert.deepEqual(await states(other), ['idevid active', 'ldevid active']);
      // The authority has said it: it is not told.
      assert.deepEqual(await store.pendingNotices(10), []);
      await store.revokeDevices([deviceId], 'lost', 500);
      assert.equal(await store.enrolDevice(ldevid(deviceId, 'd'), 600, []), 'revoked');
    },
  );

  check('certificate states: what may follow what', async (store) => {
    await store.addCertificate({ ...ldevid('app', 'a'), kind: 'application' }, 100);
    const set = (state: 'active' | 'held' | 'revoked'): Promise<string> =>
      store.setCertificateState(sha256Of('a'), state, 'why', 200);
    assert.equal(await set('held'), 'changed');
    assert.equal(await set('held'), 'unchanged');
    assert.equal(await set('active'), 'changed');
    assert.equal(await set('revoked'), 'changed');
    assert.equal(await set('revoked'), 'unchanged');
    assert.equal(await set('active'), 'forbidden');
    assert.equal(await set('held'), 'forbidden');
    const record = await store.certificate(sha256Of('a'));
    assert.deepEqual([record?.revokedMs, record?.revocationReason], [200, 'why']);
    assert.equal(
      await store.setCertificateState(sha256Of('nobody'), 'held', 'why', 200),
      'unknown',
    );
    const notices = await store.pendingNotices(10);
    assert.deepEqual(
      notices.map(({ act, subject, holder, code }) => [act, subject, holder, code]),
      ['certificateHold', 'removeFromCRL', 'unspecified'].map((code) => [
        'revoke-certificate',
        toHex(sha256Of('a')),
        'app',
        code,
      ]),
    );
  });

  check('a hold on a device takes its active certificates along, and back', async (store) => {
    await store.importDevices([importedDevice(1)], 100);
    const { deviceId } = importedDevice(1).identity;
    await store.enrolDevice(ldevid(deviceId, 'l'), 200);
    const states = async (): Promise<readonly string[]> =>
      (await store.certificatesOf(deviceId)).map(({ state }) => state);
    const hold = async (held: boolean): Promise<ReadonlyArray<boolean>> =>
      (await store.setHold([deviceId, 'nobody'], held, 'lent', 300)).map(({ changed }) => changed);
    assert.deepEqual(await hold(false), [false]);
    assert.deepEqual(await hold(true), [true]);
    assert.deepEqual(await hold(true), [false]);
    assert.equal((await store.device(deviceId))?.heldMs, 300);
    assert.deepEqual(await states(), ['held', 'held']);
    assert.equal(await store.enrolDevice(ldevid(deviceId, 'm'), 400), 'held');
    assert.equal(await store.markEnrolled(deviceId, 400), 'held');
    assert.deepEqual(await hold(false), [true]);
    assert.equal((await store.device(deviceId))?.heldMs, undefined);
    assert.deepEqual(await states(), ['active', 'active']);
    assert.deepEqual(
      (await store.pendingNotices(9)).map(({ act, holder, code }) => [act, holder, code]),
      [
        ['revoke-device', deviceId, 'certificateHold'],
        ['revoke-device', deviceId, 'removeFromCRL'],
      ],
    );
    await hold(true);
    await store.revokeDevices([deviceId], 'lost', 500, 'keyCompromise');
    assert.deepEqual(await hold(true), [false]);
    assert.deepEqual(await hold(false), [false]);
    assert.deepEqual(await states(), ['revoked', 'revoked']);
    assert.equal((await store.pendingNotices(9)).at(-1)?.code, 'keyCompromise');
  });

  check('a revoked device keeps its rows, and all its certificates are revoked', async (store) => {
    await store.importDevices([importedDevice(1), importedDevice(2)], 100);
    const { deviceId } = importedDevice(1).identity;
    await store.enrolDevice(ldevid(deviceId, 'l'), 200);
    const certificates = [sha256Of('idevid 1'), sha256Of('l')];
    assert.deepEqual(await store.revokeDevices([deviceId, 'nobody'], 'lost', 300), [
      { deviceId, changed: true, certificates },
    ]);
    assert.deepEqual(await store.revokeDevices([deviceId], 'again', 400), [
      { deviceId, changed: false, certificates },
    ]);
    const record = await store.device(deviceId);
    const expected = ['revoked', 300, 'lost'];
    assert.deepEqual([record?.state, record?.revokedMs, record?.revocationReason], expected);
    for (const held of await store.certificatesOf(deviceId)) assert.equal(held.state, 'revoked');
    assert.equal((await store.certificate(sha256Of('idevid 2')))?.state, 'active');
  });

  check('devices by product and by family, in pages', async (store) => {
    const devices = [1, 2, 3, 4].map((n) => importedDevice(n));
    await store.importDevices(devices, 100);
    const ids = devices.map(({ identity }) => identity.deviceId).sort();
    const { product, family } = importedDevice(1).identity;
    assert.deepEqual(await store.deviceIdsOf('product', product, undefined, 3), ids.slice(0, 3));
    assert.deepEqual(await store.deviceIdsOf('product', product, ids[2], 3), ids.slice(3));
    assert.deepEqual(await store.deviceIdsOf('family', family, undefined, 9), ids);
    assert.deepEqual(await store.deviceIdsOf('family', 'other', undefined, 9), []);
  });

  check('authorities of others are kept once, in order', async (store) => {
    const anchor = { role: 'anchor', certificate: Uint8Array.of(1) } as const;
    const intermediate = { role: 'intermediate', certificate: Uint8Array.of(2) } as const;
    assert.equal(await store.addForeignAuthorities([anchor, intermediate, anchor], 100), 2);
    assert.equal(await store.addForeignAuthorities([intermediate], 200), 0);
    assert.deepEqual(await store.foreignAuthorities(), [anchor, intermediate]);
  });

  check('the last manifest only goes forward', async (store) => {
    assert.equal(await store.lastManifest(), 0);
    await store.noteManifest(7);
    await store.noteManifest(3);
    assert.equal(await store.lastManifest(), 7);
  });

  check('notices wait in order until they are settled', async (store) => {
    const devices = [1, 2, 3].map((n) => importedDevice(n));
    await store.importDevices(devices, 100);
    for (const { identity } of devices) await store.revokeDevices([identity.deviceId], 'x', 200);
    const first = await store.pendingNotices(2);
    const ids = devices.map(({ identity }) => identity.deviceId);
    assert.deepEqual(
      first.map(({ subject }) => subject),
      ids.slice(0, 2),
    );
    await store.settleNotices(first.map(({ sequence }) => sequence));
    assert.deepEqual(
      (await store.pendingNotices(9)).map(({ subject }) => subject),
      ids.slice(2),
    );
  });
});

function idOf({ deviceId }: { deviceId: string }): string {
  return deviceId;
}

function ldevid(holder: string, word: string) {
  return { sha256: sha256Of(word), kind: 'ldevid', holder, notAfterMs: 1_900_000_000_000 } as const;
}
