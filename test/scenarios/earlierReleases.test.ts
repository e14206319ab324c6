/**
 * The data folder of every earlier release opens: tables are brought up to date, the log goes on from its
 * files, the ticket that was open gives what it still has to give, and the checker finds nothing.
 */
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStores } from '../../src/apps/provisioner/stores.ts';
import { Installation } from '../support/installation.ts';
import { testElement, unitRequest } from '../support/issuing/station.ts';
import { testSigner } from '../support/issuing/world.ts';
import { importedDevice } from '../support/registrySamples.ts';
import {
  fixtureFolders,
  fixtureMs,
  fixtureVersion,
  unpackFixture,
} from '../support/releaseFixture.ts';

for (const fixture of fixtureFolders()) {
  test(`data of ${fixtureVersion(fixture)}`, async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-release-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const { ticket, stationKey } = unpackFixture(fixture, folder);
    const key = createPrivateKey({ key: stationKey, format: 'der', type: 'pkcs8' });
    const installation = Installation.open(folder, testSigner(key), { nowMs: () => fixtureMs });
    await installation.serve(async (house) => {
      await house.births(ticket, ['g', 'h', 'i']);
      const station = await house.station(ticket);
      const names = Array.from({ length: 6 }, (_, index) => `more ${index}`);
      const units = await Promise.all(names.map((name) => unitRequest(testElement(name))));
      const answers = await station.endorse(units);
      const refused = answers.flatMap((answer) => ('code' in answer ? [answer.code] : []));
      // Two of ten were taken before it, five and three since.
      assert.deepEqual(refused, ['quota-exhausted']);
      assert.ok((await house.client.order('order-1'))?.batches[0]?.closedMs !== undefined);
    });
    const report = await installation.fsck();
    assert.deepEqual(report.faults, []);
    assert.deepEqual(
      { units: report.units, tickets: report.tickets, revoked: report.revoked },
      { units: 14, tickets: 2, revoked: 2 },
    );
    await doors(folder);
  });
}

async function doors(folder: string): Promise<void> {
  const stores = await openStores(join(folder, 'provisioner'), 10);
  const { enrolled, released, revoked } = await stores.registry.countDevices();
  assert.deepEqual([enrolled, released, revoked], [1, 1, 1]);
  const { deviceId } = importedDevice(1).identity;
  assert.equal((await stores.registry.certificatesOf(deviceId)).length, 2);
  const [message] = await stores.telemetry.latest(deviceId, 10);
  assert.deepEqual(message?.payload, Uint8Array.of(1, 2, 3));
  await stores.close();
}

test('the present version has left its own', () => {
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  assert.ok(fixtureFolders().map(fixtureVersion).includes(version));
});
