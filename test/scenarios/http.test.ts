/** The HTTP doors: what they answer, page by page, and what they refuse without a change or a stack trace. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { LocalClient } from '../../src/drivers/links/local/localClient.ts';
import { ProvisionerClient } from '../../src/drivers/links/local/provisionerClient.ts';
import type { CloneRecord } from '../../src/trust/ports/cloneStore.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { pki } from '../support/peers.ts';
import { testKey, testRequest } from '../support/pki.ts';
import {
  type HttpAnswer,
  type HttpRequest,
  testProvisioner,
  type TestProvisioner,
} from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const one = deviceIdOf(1);
const device = pki.ldevid(one);
const idevid = pki.idevid(one);
const station = pki.station('line 1');
const app = pki.application('dashboard');
const entries = [
  { identity: device, kind: 'ldevid', holder: one },
  { identity: idevid, kind: 'idevid', holder: one },
  { identity: station, kind: 'station', holder: 'line 1' },
  { identity: app, kind: 'application', holder: 'dashboard' },
] as const;

async function setUp(context: TestContext, devices: readonly number[] = [1]) {
  const it = await testProvisioner(context, { devices, entries });
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  return { it, client };
}

function json(answer: HttpAnswer): Record<string, unknown> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}

async function api(it: TestProvisioner, path: string): Promise<HttpAnswer> {
  return it.request('api', app, { path });
}

test('devices come in pages that join without a gap', async (context) => {
  const { it } = await setUp(context, [1, 2, 3, 4, 5]);
  const seen: string[] = [];
  let after = '';
  for (let page = 0; page < 9; page++) {
    const answer = json(await api(it, `/api/v1/devices?limit=2${after}`));
    const devices = answer['devices'] as Array<{ deviceId: string }>;
    seen.push(...devices.map(({ deviceId }) => deviceId));
    const { next } = answer;
    if (typeof next !== 'string') break;
    after = `&after=${next}`;
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5].map(deviceIdOf).sort());
});

test('a device is shown with its certificates, and states filter', async (context) => {
  const { it } = await setUp(context, [1, 2]);
  const shown = json(await api(it, `/api/v1/devices/${one}`));
  assert.equal(shown['state'], 'enrolled');
  const certificates = shown['certificates'] as Array<{ kind: string; sha256: string }>;
  assert.ok(certificates.some(({ sha256 }) => sha256 === toHex(device.sha256)));
  const enrolled = json(await api(it, '/api/v1/devices?state=enrolled'))['devices'] as unknown[];
  assert.equal(enrolled.length, 1);
});

test('evidence of a clone is in the document of its device, at both doors', async (context) => {
  const seen: CloneRecord = {
    deviceId: one,
    sessionId: 'ab'.repeat(16),
    sequenceNumber: 7,
    reason: 'number-used-twice',
    seenMs: 1_700_000_000_000,
    messageHash: new Uint8Array(32).fill(9),
    ingress: deviceIdOf(2),
    linkAddress: Uint8Array.of(2, 0xff),
  };
  const it = await testProvisioner(context, { devices: [1, 2], entries, evidence: [seen] });
  const expected = {
    seenMs: seen.seenMs,
    reason: 'number-used-twice',
    sessionId: seen.sessionId,
    sequenceNumber: 7,
    ingress: deviceIdOf(2),
    linkAddress: '02ff',
    messageSha256: '09'.repeat(32),
  };
  assert.deepEqual(json(await api(it, `/api/v1/devices/${one}`))['cloneEvidence'], [expected]);
  assert.deepEqual(json(await api(it, `/api/v1/devices/${deviceIdOf(2)}`))['cloneEvidence'], []);
  const client = new ProvisionerClient(it.config.socketPath);
  context.after(() => client.close());
  const shown = await client.device(one);
  assert.ok(!isRefusal(shown));
  assert.deepEqual(shown.cloneEvidence, [expected]);
});

const badQueries = [
  '/api/v1/devices?limit=0',
  '/api/v1/devices?limit=1001',
  '/api/v1/devices?limit=1&limit=2',
  '/api/v1/devices?limit=x',
  '/api/v1/devices?state=nonsense',
  '/api/v1/devices?after=../../etc/passwd',
  `/api/v1/devices/${one}/telemetry?before=-1`,
  `/api/v1/devices/${one}/telemetry?limit=99999`,
];

test('queries that make no sense are problems with a code', async (context) => {
  const { it } = await setUp(context);
  for (const path of badQueries) {
    const answer = await api(it, path);
    assert.equal(answer.status, 400, path);
    assert.match(answer.type, /^application\/problem\+json/);
    assert.equal(json(answer)['code'], 'bad-request');
  }
});

test('what is not there is 404, and nothing says more', async (context) => {
  const { it } = await setUp(context);
  for (const path of [
    '/',
    '/api/v1/devices/nobody',
    `/api/v1/devices/${deviceIdOf(9)}`,
    '/v1/%00',
  ]) {
    const answer = await api(it, path);
    assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    assert.doesNotMatch(answer.body.toString(), /at .*\.ts|node_modules|Error:/);
  }
});

const badRevocations: ReadonlyArray<Omit<HttpRequest, 'path'>> = [
  { type: 'application/json', body: '{"reason":' },
  { type: 'application/json', body: '{}' },
  { type: 'application/json', body: '{"reason":""}' },
  { type: 'application/json', body: '{"reason":7}' },
  { type: 'application/json', body: `{"reason":"${'x'.repeat(201)}"}` },
  { type: 'application/json', body: '{"reason":"a\\u0000b"}' },
  { type: 'application/json', body: '{"__proto__":{"reason":"x"}}' },
  { type: 'text/plain', body: 'reason' },
  { type: 'application/json', body: `{"reason":"${'x'.repeat(100_000)}"}` },
];

test('a malformed revocation revokes nothing', async (context) => {
  const { it } = await setUp(context);
  for (const request of badRevocations) {
    const path = `/api/v1/devices/${one}/revoke`;
    const answer = await it.request('api', app, { method: 'POST', path, ...request });
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}`);
  }
  assert.equal(json(await api(it, `/api/v1/devices/${one}`))['state'], 'enrolled');
});

test('a device reads its configuration and leaves telemetry', async (context) => {
  const { it, client } = await setUp(context);
  const answer = await it.request('device', device, { path: '/v1/configuration' });
  assert.deepEqual(json(answer), {
    deviceId: one,
    role: 'sensor',
    mqtt: { host: 'localhost', port: it.ports.mqtt },
    timeMs: it.config.clock?.nowMs(),
  });
  const sent = await it.request('device', device, {
    method: 'POST',
    path: '/v1/telemetry',
    type: 'application/octet-stream',
    body: Uint8Array.of(1, 2, 3),
  });
  assert.equal(sent.status, 204);
  const stored = await client.telemetry(one);
  assert.ok(!isRefusal(stored));
  assert.deepEqual(
    stored.map(({ path, payload }) => [path, toHex(payload)]),
    [['https', '010203']],
  );
  const messages = json(await api(it, `/api/v1/devices/${one}/telemetry`))['messages'];
  assert.deepEqual((messages as Array<{ payload: string }>)[0]?.payload, 'AQID');
});

test('with the birth certificate there is enrolment and nothing else', async (context) => {
  const { it } = await setUp(context);
  const post = {
    method: 'POST',
    path: '/v1/telemetry',
    type: 'application/octet-stream',
    body: 'x',
  };
  for (const request of [{ path: '/v1/configuration' }, post]) {
    const answer = await it.request('device', idevid, request);
    assert.deepEqual([answer.status, json(answer)['code']], [403, 'not-enrolled']);
  }
  const anchors = await it.request('device', idevid, { path: '/.well-known/est/cacerts' });
  assert.equal(anchors.status, 200);
});

test('telemetry that is too large or of another type is refused', async (context) => {
  const { it, client } = await setUp(context);
  const post = { method: 'POST', path: '/v1/telemetry' };
  const large = { ...post, type: 'application/octet-stream', body: Buffer.alloc(33 * 1024) };
  assert.equal((await it.request('device', device, large)).status, 413);
  const text = { ...post, type: 'text/plain', body: 'x' };
  assert.equal((await it.request('device', device, text)).status, 415);
  assert.deepEqual(await client.telemetry(one), []);
});

test("a station's bytes go through as they are", async (context) => {
  const { it } = await setUp(context);
  const cbor = { method: 'POST', type: 'application/cbor', body: Uint8Array.of(0x81, 0x01) };
  const answer = await it.request('station', station, { ...cbor, path: '/line/v1/endorse' });
  assert.deepEqual([answer.status, toHex(answer.body)], [200, '838101']);
  assert.deepEqual(it.authority.posts, [{ step: 'endorse', message: Uint8Array.of(0x81, 0x01) }]);
  it.authority.away = true;
  const away = await it.request('station', station, { ...cbor, path: '/line/v1/report' });
  assert.deepEqual([away.status, json(away)['code']], [503, 'unavailable']);
  const other = await it.request('station', station, { ...cbor, path: '/line/v1/revoke' });
  assert.equal(other.status, 404);
  const wrong = { ...cbor, type: 'application/json', path: '/line/v1/open' };
  assert.equal((await it.request('station', station, wrong)).status, 415);
});

test('the metrics count every refusal, and hold no word of a peer', async (context) => {
  const { it } = await setUp(context);
  await it.request('api', pki.application('nobody'), { path: '/' });
  await api(it, '/api/v1/devices/hostile%0Alabel');
  await api(it, `/api/v1/devices/${deviceIdOf(9)}`);
  const { body, status } = await api(it, '/metrics');
  assert.equal(status, 200);
  const text = body.toString();
  assert.match(text, /birthmark_refusals_total\{door="api",code="unknown-certificate"\} 1/);
  assert.match(text, /birthmark_refusals_total\{door="api",code="unknown-device"\} 1/);
  assert.match(text, /birthmark_refusals_total\{door="api",code="bad-request"\} 1/);
  assert.doesNotMatch(text, /hostile/);
});

test('local: an application is enrolled and let in at once', async (context) => {
  const { it, client } = await setUp(context);
  const key = testKey();
  const enrolled = await client.enrolApplication('application', 'billing', testRequest(key));
  assert.ok(!isRefusal(enrolled));
  const chainPem = enrolled.chain.map(pemOf).join('');
  const identity = { ...app, chainPem, privateKeyPem: key.pem };
  assert.equal((await it.request('api', identity, { path: '/api/v1/devices' })).status, 200);
  const taken = await client.enrolApplication('application', one, testRequest(testKey()));
  assert.ok(isRefusal(taken) && taken.refused === 'bad-name');
});

test('local: one certificate is held, comes back, and is revoked for good', async (context) => {
  const { it, client } = await setUp(context);
  const sha256 = toHex(app.sha256);
  assert.equal(await client.hold(sha256, 'lost laptop'), undefined);
  assert.equal((await api(it, '/api/v1/devices')).status, 0);
  assert.equal(await client.reinstate(sha256, 'found'), undefined);
  assert.equal((await api(it, '/api/v1/devices')).status, 200);
  const report = await client.revokeCertificate(sha256, 'stolen');
  assert.ok(!isRefusal(report));
  assert.equal((await api(it, '/api/v1/devices')).status, 0);
  const back = await client.reinstate(sha256, 'found');
  assert.ok(isRefusal(back) && back.refused === 'forbidden');
});

test('local: a dry run changes nothing', async (context) => {
  const { it, client } = await setUp(context);
  const plan = await client.planRevocation([one, 'nobody']);
  assert.ok(!isRefusal(plan));
  assert.deepEqual(plan.unknown, ['nobody']);
  assert.equal(plan.devices[0]?.revokedAlready, false);
  assert.equal((await it.request('device', device, { path: '/v1/configuration' })).status, 200);
});

test('a manifest file that cannot be read is told, and nothing happens', async (context) => {
  const { it } = await setUp(context);
  const local = new LocalClient(it.config.socketPath, 'provisioner');
  context.after(() => local.close());
  const order = { file: '/nowhere/at/all', format: 'microchip', signers: [], anchors: [] };
  for (const body of ['[]', '{}', JSON.stringify({ ...order, state: 'released' }), '{"file":1}']) {
    const { status } = await local.send({
      method: 'POST',
      path: '/v1/manifests',
      contentType: 'application/json',
      body,
    });
    assert.ok(status >= 400, `${status}`);
  }
});

function pemOf(der: Uint8Array): string {
  const text = Buffer.from(der)
    .toString('base64')
    .replaceAll(/(.{64})/g, '$1\n');
  return `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`;
}
