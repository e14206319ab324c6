/** A key is lost while the authority runs: from the opened case on it certifies nothing, and what is needed to revoke goes on. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import {
  beginLostAuthority,
  beginLostLog,
  type LossOptions,
} from '../../src/apps/authority/lostKeys.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { CaseClient } from '../../src/drivers/links/local/caseClient.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { StatusClient } from '../../src/drivers/links/local/statusClient.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import type { LossCase } from '../../src/trust/ports/lossCase.ts';
import { findRevoked, parseCertificateList } from '../../src/wire/crl/certificateList.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { attributeText } from '../../src/wire/x509/names.ts';
import { Installation, passphrase } from '../support/installation.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { testKey, testRequest } from '../support/pki.ts';
import { until } from '../support/statusHouse.ts';

function lossOf({ folder, clock }: Installation): LossOptions {
  return { dataFolder: folder, passphrase, clock, reason: 'a backup was stolen' };
}

async function opened(
  { folder }: Installation,
  begin: (desk: CaseClient) => Promise<LossCase>,
): Promise<void> {
  const desk = new CaseClient(socketPathFor(folder, 'authority'));
  await begin(desk);
  desk.close();
}

test('an authority: no certificate under its key, and the same request gets one from the next key', async (context) => {
  const status = { baseUrl: 'http://status.example', shards: 1 };
  const installation = await Installation.create(context, { status });
  const { folder } = installation;
  const loss = lossOf(installation);
  const secret = async (): Promise<string> => {
    const desk = new DeskClient(socketPathFor(folder, 'authority'));
    const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 3_600_000 };
    const made = await desk.createSecret(order);
    desk.close();
    assert.ok(!isRefusal(made));
    return made.secret;
  };
  const asked = { request: testRequest(testKey()), profile: 'ldevid', secret: '' };
  await installation.serve(async (house) => {
    const { client } = house;
    const before = { ...asked, request: testRequest(testKey()), secret: await secret() };
    const first = await client.issueBySecret(before);
    assert.ok('certificate' in first);
    const { subject, serialNumber } = parseCertificate(first.certificate);
    asked.secret = await secret();
    const { issued } = await client.status();
    await opened(installation, (desk) => beginLostAuthority(desk, loss, 'operational'));
    await assert.rejects(
      client.issueBySecret(asked),
      (error) => error instanceof EnvironmentError && error.retryable,
    );
    assert.equal((await client.status()).issued, issued, 'nothing is promised that waits');
    // Others issue, and the lost one goes on saying what is revoked.
    assert.ok(!isRefusal(await client.issueServer(testRequest(testKey()), ['localhost'])));
    await house.revoke([attributeText(subject, 'serialNumber') ?? '']);
    const lists = new StatusClient(socketPathFor(folder, 'authority'));
    await until(async () => {
      const list = await lists.list({ authority: 'operational', shard: 0 });
      return (
        list !== undefined && findRevoked(parseCertificateList(list), serialNumber) !== undefined
      );
    });
    lists.close();
  });
  await assert.rejects(startAuthority({ ...loss }), /the key of operational is lost/);
  assert.equal((await replaceLost(loss, 'operational')).waitsFor, undefined);
  await installation.serve(async ({ client }) => {
    assert.ok('certificate' in (await client.issueBySecret(asked)));
  });
  assert.deepEqual((await installation.fsck()).faults, []);
});

test('the log: nothing more is published under its key', async (context) => {
  const installation = await Installation.create(context);
  const { log } = authorityPaths(installation.folder);
  const checkpoint = (): string => readFileSync(join(log, 'checkpoint'), 'utf8');
  const troubles: unknown[] = [];
  const config = { onTrouble: (error: unknown) => troubles.push(error) };
  await installation.serve(async ({ client }) => {
    await opened(installation, (desk) => beginLostLog(desk, lossOf(installation)));
    const last = checkpoint();
    assert.ok(!isRefusal(await client.issueServer(testRequest(testKey()), ['localhost'])));
    await client.status();
    await until(async () => troubles.some((error) => /is lost/.test(String(error))));
    assert.equal(checkpoint(), last);
  }, config);
});
