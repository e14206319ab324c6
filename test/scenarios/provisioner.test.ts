/** The provisioner over its life: restarts, renewals, manifests of the authority, a folder that is taken. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { FakeProvisioningAuthority } from '../support/fakeAuthority.ts';
import { makeMaker } from '../support/manifestMaker.ts';
import { pki } from '../support/peers.ts';
import { testNowMs } from '../support/pki.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const one = deviceIdOf(1);
const device = pki.ldevid(one);
const entries = [{ identity: device, kind: 'ldevid', holder: one }] as const;

test('a second start on the same folder says who has it', async (context) => {
  const it = await testProvisioner(context);
  await assert.rejects(startProvisioner(it.config), (error) => {
    assert.ok(error instanceof EnvironmentError);
    assert.match(error.message, new RegExp(`in use by process ${process.pid}`));
    return true;
  });
});

test('a port that is taken is told, and nothing stays open', async (context) => {
  const it = await testProvisioner(context);
  await it.close();
  const squatter = createServer().listen(0, '127.0.0.1');
  await once(squatter, 'listening');
  context.after(() => squatter.close());
  const address = squatter.address();
  assert.ok(address !== null && typeof address === 'object');
  const ports = { ...it.config.ports, api: address.port };
  await assert.rejects(startProvisioner({ ...it.config, ports }), /EADDRINUSE/);
  const again = await startProvisioner(it.config);
  await again.close();
});

test('without the authority there is no start', async (context) => {
  const authority = new FakeProvisioningAuthority(pki);
  authority.away = true;
  await assert.rejects(testProvisioner(context, { authority }), EnvironmentError);
});

test('a restart keeps keys, certificate, devices and telemetry', async (context) => {
  const it = await testProvisioner(context, { devices: [1], entries });
  await it.request('device', device, {
    method: 'POST',
    path: '/v1/telemetry',
    type: 'application/octet-stream',
    body: 'x',
  });
  await it.close();
  const again = await startProvisioner(it.config);
  context.after(() => again.close());
  assert.deepEqual(again.serverIdentity, it.serverIdentity);
  assert.equal(it.authority.issuedServers, 1);
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  const telemetry = await client.telemetry(one);
  assert.ok(!isRefusal(telemetry));
  assert.equal(telemetry.length, 1);
});

test('other names, or two thirds of its life, and the certificate is made anew', async (context) => {
  const it = await testProvisioner(context);
  await it.close();
  const renamed = await startProvisioner({ ...it.config, names: ['iot.example.com'] });
  await renamed.close();
  assert.equal(it.authority.issuedServers, 2);
  const late = { nowMs: () => testNowMs + 50 * 365 * 86_400_000 };
  const old = await startProvisioner({ ...it.config, names: ['iot.example.com'], clock: late });
  await old.close();
  assert.equal(it.authority.issuedServers, 3);
});

test('no private key is on disk in clear, and nobody else may read the folder', async (context) => {
  const it = await testProvisioner(context);
  for (const name of ['tls.key', 'edhoc.key', 'sessions.key', 'tls.pem']) {
    const file = join(it.config.folder, name);
    assert.doesNotMatch(readFileSync(file, 'utf8'), /PRIVATE KEY/, name);
    assert.equal(statSync(file).mode & 0o077, 0, name);
  }
  assert.equal(statSync(it.config.socketPath).mode & 0o777, 0o600);
  assert.equal(statSync(it.config.folder).mode & 0o777, 0o700);
});

test('what the authority signed at a close is imported before the station hears of it', async (context) => {
  const authority = new FakeProvisioningAuthority(pki);
  const maker = makeMaker();
  authority.manifestSigners = maker.trust.signers;
  authority.roots = maker.trust.anchors;
  const station = pki.station('line 1');
  const it = await testProvisioner(context, {
    authority,
    entries: [{ identity: station, kind: 'station', holder: 'line 1' }],
  });
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  authority.manifests.push({ sequence: 1, batch: 'reel-1', bytes: maker.manifest([{}, {}]) });
  const close = { path: '/line/v1/close', method: 'POST', type: 'application/cbor', body: 'x' };
  assert.equal((await it.request('station', station, close)).status, 200);
  const status = await client.status();
  assert.ok(!isRefusal(status));
  assert.deepEqual([status.devices.released, status.lastManifest], [2, 1]);
});

test('a manifest of the authority that does not verify is not passed over', async (context) => {
  const authority = new FakeProvisioningAuthority(pki);
  const maker = makeMaker();
  authority.manifestSigners = maker.trust.signers;
  authority.roots = maker.trust.anchors;
  const it = await testProvisioner(context, { authority });
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  const good = maker.manifest([{}]);
  authority.manifests.push(
    { sequence: 1, batch: 'reel-1', bytes: makeMaker().manifest([{}]) },
    { sequence: 2, batch: 'reel-2', bytes: good },
  );
  const outcome = await client.pullManifests();
  assert.ok(isRefusal(outcome) && outcome.refused === 'unknown-signer');
  const status = await client.status();
  assert.ok(!isRefusal(status));
  assert.deepEqual([status.devices.released, status.lastManifest], [0, 0]);
});

test('a new operational certificate, once shown, ends the use of the old one', async (context) => {
  const renewed = pki.ldevid(one);
  const it = await testProvisioner(context, {
    devices: [1],
    entries: [...entries, { identity: renewed, kind: 'ldevid', holder: one }],
  });
  const ask = { path: '/v1/configuration' };
  assert.equal((await it.request('device', device, ask)).status, 200);
  assert.equal((await it.request('device', renewed, ask)).status, 200);
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  const shown = await client.device(one);
  assert.ok(!isRefusal(shown));
  const states = shown.certificates.filter(({ kind }) => kind === 'ldevid').map((c) => c.state);
  assert.deepEqual(states, ['superseded', 'active']);
  assert.equal((await it.request('device', device, ask)).status, 0);
});
