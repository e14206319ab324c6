/** The API as its callers depend on it: described, conditional, safe to repeat, bounded. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { pki } from '../support/peers.ts';
import { type TestIdentity, testNowMs } from '../support/pki.ts';
import {
  type HttpAnswer,
  type ProvisionerSetting,
  testProvisioner,
  type TestProvisioner,
} from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const one = deviceIdOf(1);
const two = deviceIdOf(2);
const device = pki.ldevid(one);
const app = pki.application('dashboard');
const other = pki.application('billing');
const person = pki.operator('ada');
const entries = [
  { identity: device, kind: 'ldevid', holder: one },
  { identity: app, kind: 'application', holder: 'dashboard' },
  { identity: other, kind: 'application', holder: 'billing' },
  { identity: person, kind: 'operator', holder: 'ada' },
] as const;
const revokeOne = `/api/v1/devices/${one}/revoke`;

function setUp(context: TestContext, config: ProvisionerSetting['config'] = {}) {
  return testProvisioner(context, { devices: [1, 2], entries, config });
}

function json(answer: HttpAnswer): Record<string, unknown> {
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}

function read(
  it: TestProvisioner,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<HttpAnswer> {
  return it.request('api', app, { path, headers });
}

function act(
  it: TestProvisioner,
  path: string,
  headers: Readonly<Record<string, string>> = {},
  { body = { reason: 'stolen' }, by = app }: { body?: object; by?: TestIdentity } = {},
): Promise<HttpAnswer> {
  const type = 'application/json';
  return it.request('api', by, { method: 'POST', path, type, headers, body: JSON.stringify(body) });
}

test('the description is the one that is published', async (context) => {
  const it = await setUp(context);
  const file = new URL('../../docs/openapi.json', import.meta.url);
  const document = json(await read(it, '/api/v1/openapi.json'));
  if (process.env['BIRTHMARK_WRITE'] === '1') writeFileSync(file, JSON.stringify(document));
  const published: unknown = JSON.parse(readFileSync(file, 'utf8'));
  assert.deepEqual(document, published, 'BIRTHMARK_WRITE=1 npm test -- scenarios/api, and format');
  assert.equal(document['openapi'], '3.1.0');
});

test('every route that the description names is there, and asks for what it says', async (context) => {
  const it = await setUp(context);
  const { paths } = json(await read(it, '/api/v1/openapi.json'));
  const routes = Object.entries(paths as Record<string, Record<string, object>>);
  assert.ok(routes.length >= 27);
  const values: Readonly<Record<string, string>> = {
    deviceId: two,
    sha256: toHex(other.sha256),
    id: 'ab'.repeat(32),
    leaf: '7',
    shard: '0',
  };
  const passedOn: string[] = [];
  for (const [path, methods] of routes) {
    const real = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? 'any');
    for (const method of Object.keys(methods)) {
      // Without a body an act is refused by its schema, not for want of a route.
      const answer = await it.request('api', person, { method: method.toUpperCase(), path: real });
      if (answer.status === 404 && json(answer)['code'] === 'unknown-here') {
        passedOn.push(real.replace('/api/v1', '/v1'));
      } else assert.equal(answer.status, method === 'get' ? 200 : 400, `${method} ${path}`);
    }
  }
  assert.deepEqual(
    it.authority.asked.map(({ path }) => path.split('?')[0]),
    passedOn,
  );
});

test('who has the newest is told so, and an act on what one has not seen is refused', async (context) => {
  const it = await setUp(context);
  const path = `/api/v1/devices/${one}`;
  const first = await read(it, path);
  const tag = String(first.headers.etag);
  assert.match(tag, /^"[\w-]{22}"$/);
  const unchanged = await read(it, path, { 'if-none-match': `"x", W/${tag}` });
  assert.deepEqual([unchanged.status, unchanged.body.length], [304, 0]);
  const stale = await act(it, revokeOne, { 'if-match': '"AAAAAAAAAAAAAAAAAAAAAA"' });
  assert.deepEqual([stale.status, json(stale)['code']], [412, 'changed']);
  assert.equal((await act(it, revokeOne, { 'if-match': `W/${tag}` })).status, 412);
  assert.equal(json(await read(it, path))['state'], 'enrolled');
  assert.equal((await act(it, revokeOne, { 'if-match': tag })).status, 200);
  assert.notEqual((await read(it, path, { 'if-none-match': tag })).status, 304);
  assert.equal((await act(it, revokeOne, { 'if-match': tag })).status, 412);
});

test('a repeat gets the first answer, byte for byte, and nobody else does', async (context) => {
  const it = await setUp(context);
  const key = { 'idempotency-key': '"8e03978e-40d5"' };
  const first = await act(it, revokeOne, key);
  assert.deepEqual((json(first)['devices'] as Array<{ changed: boolean }>)[0]?.changed, true);
  const again = await act(it, revokeOne, { 'idempotency-key': '8e03978e-40d5' });
  assert.deepEqual([again.status, again.body], [200, first.body]);
  assert.equal(again.headers['idempotency-replayed'], 'true');
  const reused = await act(it, revokeOne, key, { body: { reason: 'other' } });
  assert.deepEqual([reused.status, json(reused)['code']], [422, 'key-reused']);
  const theirs = await act(it, revokeOne, key, { by: other });
  assert.equal((json(theirs)['devices'] as Array<{ changed: boolean }>)[0]?.changed, false);
});

test('a refusal is kept too, and a key that is none is refused', async (context) => {
  const it = await setUp(context);
  const path = `/api/v1/certificates/${toHex(other.sha256)}`;
  await act(it, `${path}/revoke`, {}, { by: person });
  const key = { 'idempotency-key': 'k' };
  const forbidden = await act(it, `${path}/reinstate`, key, { by: person });
  assert.deepEqual([forbidden.status, json(forbidden)['code']], [403, 'forbidden']);
  const again = await act(it, `${path}/reinstate`, key, { by: person });
  assert.deepEqual([again.body, again.type], [forbidden.body, forbidden.type]);
  for (const wrong of ['', 'a b', 'x'.repeat(65), 'a\\b']) {
    const answer = await act(it, revokeOne, { 'idempotency-key': wrong });
    assert.deepEqual([answer.status, json(answer)['code']], [400, 'bad-request'], wrong);
  }
});

test('two at a time with one key: one acts, the other is told to wait or gets its answer', async (context) => {
  const it = await setUp(context);
  const headers = { 'idempotency-key': 'twice' };
  const both = await Promise.all([act(it, revokeOne, headers), act(it, revokeOne, headers)]);
  const acted = both.filter(
    ({ status, headers: sent }) => status === 200 && sent['idempotency-replayed'] === undefined,
  );
  assert.equal(acted.length, 1);
  for (const { status } of both) assert.ok(status === 200 || status === 409, String(status));
});

test('a certificate is held, comes back and ends', async (context) => {
  const it = await setUp(context);
  const path = `/api/v1/certificates/${toHex(other.sha256)}`;
  const by = { by: person };
  assert.equal(json(await act(it, `${path}/hold`, {}, by))['state'], 'held');
  assert.equal((await it.request('api', other, { path })).status, 0);
  assert.equal(json(await act(it, `${path}/reinstate`, {}, by))['state'], 'active');
  const ended = json(await act(it, `${path}/revoke`, {}, by));
  assert.equal(typeof ended['killMs'], 'number');
  assert.equal(json(await read(it, path))['state'], 'revoked');
  const unknown = await read(it, `/api/v1/certificates/${'0'.repeat(64)}`);
  assert.deepEqual([unknown.status, json(unknown)['code']], [404, 'unknown-certificate']);
});

test('an application acts on devices alone, and gives nothing back', async (context) => {
  const it = await setUp(context);
  const refused = async (path: string): Promise<unknown> => {
    const answer = await act(it, path);
    return [answer.status, json(answer)['code']];
  };
  for (const { sha256 } of [other, person]) {
    const path = `/api/v1/certificates/${toHex(sha256)}`;
    for (const verb of ['revoke', 'hold', 'reinstate']) {
      assert.deepEqual(await refused(`${path}/${verb}`), [403, 'wrong-role'], verb);
    }
    assert.equal(json(await read(it, path))['state'], 'active');
  }
  const own = `/api/v1/certificates/${toHex(device.sha256)}`;
  assert.equal(json(await act(it, `${own}/hold`))['state'], 'held');
  assert.deepEqual(await refused(`${own}/reinstate`), [403, 'wrong-role']);
  assert.equal(json(await act(it, `${own}/reinstate`, {}, { by: person }))['state'], 'active');
  assert.equal((await act(it, `${own}/revoke`)).status, 200);
});

test('ready means: the store reads, the authority answers, the certificate lasts', async (context) => {
  let nowMs = testNowMs;
  const clock = { nowMs: () => nowMs };
  const it = await setUp(context, { clock, health: { port: 0 } });
  const probe = async (path: string): Promise<[number, unknown]> => {
    const answer = await fetch(`http://127.0.0.1:${it.healthPort}${path}`);
    return [answer.status, await answer.json()];
  };
  const parts = { store: true, authority: true, certificate: true };
  assert.deepEqual(await probe('/readyz'), [200, { ready: true, parts }]);
  it.authority.away = true;
  const away = { ...parts, authority: false };
  assert.deepEqual(await probe('/readyz'), [503, { ready: false, parts: away }]);
  assert.deepEqual(await probe('/livez'), [200, { live: true }]);
  const [code, problem] = await probe('/%zz');
  assert.deepEqual([code, (problem as { readonly code: string }).code], [400, 'bad-request']);
  assert.match(it.troubles.join(), /health: authority/);
  it.authority.away = false;
  nowMs = Date.UTC(9000, 0);
  const ended = { ...parts, certificate: false };
  assert.deepEqual(await probe('/readyz'), [503, { ready: false, parts: ended }]);
});

const badBodies: readonly object[] = [
  {},
  { reason: 7 },
  { reason: 'x', reasn: 'misspelt' },
  { reason: 'a\u0085b' },
  [],
];

test('bodies are closed and nothing is coerced', async (context) => {
  const it = await setUp(context);
  for (const body of badBodies) {
    const answer = await act(it, revokeOne, {}, { body });
    assert.deepEqual([answer.status, json(answer)['code']], [400, 'bad-request']);
    assert.match(answer.type, /^application\/problem\+json/);
  }
  assert.equal(json(await read(it, `/api/v1/devices/${one}`))['state'], 'enrolled');
});

const order = {
  order: 'reel-1',
  product: 'sensor',
  family: 'software',
  hwType: '1.3.6.1.4.1.32473.1',
  quantity: 5,
  leastProof: 'line-anchored',
};
const status = { act: 'revoke', by: 'batch', name: 'reel-1', code: 'unspecified', reason: 'x' };
const longName = 'x'.repeat(65);
const secretOrder = { product: 'meter', profile: 'ldevid', lifetimeMs: 1 };
const anchor = { product: 'meter', certificate: 'AAAA', count: 1 };
const policy = { profile: 'ldevid', approval: 'first', afterExpiry: 'never' };

/** Bodies that the schemas refuse, for every act that came with the authority. */
const badActs: Readonly<Record<string, readonly object[]>> = {
  '/orders': [
    { ...order, quantity: 0 },
    { ...order, quantity: '5' },
    { ...order, order: longName },
    { ...order, hwType: 'no oid' },
    { ...order, eui64First: '00' },
    { ...order, batches: Array.from({ length: 1001 }, () => ({ batch: 'a', quantity: 1 })) },
    { ...order, approval: 'AB'.repeat(32) },
    { ...order, agreeKey: 'x' },
  ],
  '/orders/raise': [{ order: 'reel-1', batch: 'a', by: 0 }],
  '/tickets': [{ batch: 'a', count: 1, stationKeySpki: '!', notBeforeMs: 0, notAfterMs: 1 }],
  '/batches/reel-1/close': [{ approval: 7 }, { force: true }],
  '/profiles': [{ profile: 'ldevid' }, { profile: {}, version: 2 }],
  '/operators': [
    { name: 'eve', role: 'king', request: 'AAAA' },
    { name: 'eve', role: 'admin' },
  ],
  '/operators/renew': [{ name: 'eve', request: '?' }, { request: 'AAAA' }],
  '/operators/roles': [{ name: 'eve', role: 'admin', change: 'forget' }],
  '/operators/revoke': [{ name: '' }, { name: longName }],
  '/approvals/requests': [{}, { signed: 7 }, { signed: 'x y' }, { signed: 'A'.repeat(65_540) }],
  '/approvals/decisions': [{ signed: '' }, { signed: 'AAAA', by: 'ada' }],
  '/status/orders': [
    { ...status, act: 'delete' },
    { ...status, by: 'everything' },
    { ...status, code: 'because' },
    { ...status, reason: 'a\nb' },
    { ...status, dryRun: 'yes' },
    { ...status, by: 'device', deviceIds: [] },
    { ...status, name: longName },
    { ...status, sha256: 'AB'.repeat(32) },
  ],
  '/devices/revoke': [{ deviceIds: [one] }, { deviceIds: one, reason: 'x' }],
  '/devices/plan-revocation': [{ deviceIds: [longName] }, { deviceIds: [one], reason: 'x' }],
  '/manifests/pull': [{ all: true }, []],
  '/enrolment/secrets': [
    { ...secretOrder, lifetimeMs: 0 },
    { ...secretOrder, lifetimeMs: 3_651 * 86_400_000 },
    { ...secretOrder, product: longName },
    { ...secretOrder, deviceId: 'ILOU567890123456' },
    { ...secretOrder, secret: 'mine' },
    { ...secretOrder, profile: undefined },
  ],
  '/enrolment/secrets/void': [{ id: 0 }, { id: '1' }, { id: 1, force: true }, {}],
  '/enrolment/requests/decide': [
    { id: 1, decision: 'maybe' },
    { id: 1.5, decision: 'denied' },
    { id: 1, decision: 'approved', by: 'somebody else' },
  ],
  '/enrolment/policies': [
    { ...policy, approval: 'always' },
    { ...policy, afterExpiry: 'within' },
    { ...policy, afterExpiry: 'within', days: 3_651 },
    { ...policy, days: 7 },
    { ...policy, request: 'AB'.repeat(32) },
  ],
  '/foreign-anchors': [
    { ...anchor, count: 0 },
    { ...anchor, count: 10_000_000_001 },
    { ...anchor, certificate: 'not base64' },
    { ...anchor, certificate: 'A'.repeat(65_540) },
    { ...anchor, product: '' },
    { ...anchor, retiredMs: 1 },
  ],
  '/tokens': [
    { holder: 'dashboard', lifetimeMs: 366 * 86_400_000 + 1 },
    { holder: 'dashboard', lifetimeMs: 0.5 },
    { holder: 'a\u0007b', lifetimeMs: 1 },
    { holder: longName, lifetimeMs: 1 },
    { holder: 'dashboard', lifetimeMs: 1, token: 'mine' },
  ],
  '/tokens/revoke': [{ id: -1 }, { id: '1' }, {}],
  '/applications': [
    { name: 'dashboard', kind: 'station', request: 'AAAA' },
    { name: 'dashboard', kind: 'application', request: 'A*' },
    { name: 'dashboard', kind: 'application' },
    { name: longName, kind: 'operator', request: 'AAAA' },
  ],
  '/stations/enrol': [
    { name: 'station-1', request: 'AAAA', certificate: 'AAAA' },
    { name: 'station-1', request: 'AAAA', approval: 'ab' },
    { name: '', request: 'AAAA' },
    { name: 'station-1', request: 'A'.repeat(8_196) },
  ],
  '/foreign-anchors/retire': [{ product: 'meter', sha256: 'AB'.repeat(32) }, { product: 'meter' }],
};

test('nothing that is not of its form reaches the authority', async (context) => {
  const it = await setUp(context);
  for (const [path, bodies] of Object.entries(badActs)) {
    for (const body of bodies) {
      const answer = await act(it, `/api/v1${path}`, {}, { body, by: person });
      const about = `${path} ${JSON.stringify(body).slice(0, 80)}`;
      assert.deepEqual([answer.status, json(answer)['code']], [400, 'bad-request'], about);
    }
    const large = { deviceIds: [], reason: 'x'.repeat(300_000) };
    const refused = await act(it, `/api/v1${path}`, {}, { body: large, by: person });
    assert.ok([400, 413].includes(refused.status), `${path} ${refused.status}`);
  }
  // By its form alone: of a station that nobody knows and without a scope that is named.
  const scopeless = { ...status, name: undefined };
  assert.equal(
    (await act(it, '/api/v1/status/orders', {}, { body: scopeless, by: person })).status,
    400,
  );
  assert.deepEqual(it.authority.asked, []);
});

test('an application has no business with the authority, a token only reads', async (context) => {
  const it = await setUp(context);
  for (const path of Object.keys(badActs)) {
    const answer = await act(it, `/api/v1${path}`, {}, { body: {} });
    assert.deepEqual([answer.status, json(answer)['code']], [403, 'wrong-role'], path);
  }
  const staff = ['/orders', '/operators', '/approvals', '/log', '/horizon'];
  const enrolment = ['/secrets', '/requests', '/policies'].map((path) => `/enrolment${path}`);
  for (const path of [...staff, ...enrolment, '/foreign-anchors', '/tokens']) {
    const answer = await read(it, `/api/v1${path}`);
    assert.deepEqual([answer.status, json(answer)['code']], [403, 'wrong-role'], path);
  }
  assert.deepEqual(it.authority.asked, []);
});

test('a method that a resource does not have is told from a resource that is not there', async (context) => {
  const it = await setUp(context);
  const ask = (path: string, method: string): Promise<HttpAnswer> =>
    it.request('api', person, { path: `/api/v1${path}`, method });
  for (const [path, method, allow] of [
    ['/devices', 'DELETE', 'GET, HEAD'],
    ['/orders', 'PUT', 'GET, HEAD, POST'],
    ['/status/orders', 'GET', 'POST'],
  ] as const) {
    const answer = await ask(path, method);
    assert.deepEqual([answer.status, json(answer)['code']], [405, 'wrong-method'], path);
    assert.deepEqual(String(answer.headers['allow']).split(', ').toSorted().join(', '), allow);
  }
  assert.equal((await ask('/nowhere', 'DELETE')).status, 404);
});

test('what the authority tells has a tag, and leaves by its schema', async (context) => {
  const it = await setUp(context);
  const head = { log: 'example/log', treeSize: 3, root: 'ab', checkpoint: 'text' };
  it.authority.documents.set('/v1/log', { ...head, privateRow: 'secret' });
  const ask = (headers: Readonly<Record<string, string>>): Promise<HttpAnswer> =>
    it.request('api', person, { path: '/api/v1/log', headers });
  const first = await ask({});
  assert.deepEqual(json(first), head);
  assert.equal((await ask({ 'if-none-match': String(first.headers.etag) })).status, 304);
  it.authority.documents.set('/v1/log', { ...head, treeSize: 4 });
  assert.equal((await ask({ 'if-none-match': String(first.headers.etag) })).status, 200);
  it.authority.away = true;
  const away = await ask({});
  assert.deepEqual([away.status, json(away)['code']], [503, 'unavailable']);
});

test('an order that is placed twice with one key is placed once', async (context) => {
  const it = await setUp(context);
  const placed = { ...order, profile: 'idevid', partNumber: 'p', eui64First: '00', createdMs: 1 };
  it.authority.documents.set('/v1/orders', { ...placed, serverIdentity: '' });
  const place = (): Promise<HttpAnswer> =>
    act(it, '/api/v1/orders', { 'idempotency-key': 'once' }, { body: order, by: person });
  const first = await place();
  assert.equal(first.status, 200, first.body.toString());
  const again = await place();
  assert.deepEqual([again.body, again.headers['idempotency-replayed']], [first.body, 'true']);
  assert.equal(it.authority.asked.length, 1);
  assert.deepEqual(JSON.parse(String(it.authority.asked[0]?.body)), order);
});

/** Every octet that the provisioner keeps. */
function everythingKept({ config }: TestProvisioner): string {
  const files = readdirSync(config.folder, { recursive: true, withFileTypes: true });
  return files
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join();
}

test('a secret is told once: no repeat has it, and nothing that is kept', async (context) => {
  const it = await setUp(context);
  const secret = '0123456789abcdefghjkmnpqrstvwxyz';
  const made = { id: 12, deviceId: one, product: 'meter', profile: 'ldevid', expiresMs: 9 };
  it.authority.documents.set('/v1/enrolment/secrets', { ...made, secret });
  const create = (key: string): Promise<HttpAnswer> =>
    act(
      it,
      '/api/v1/enrolment/secrets',
      { 'idempotency-key': key },
      { body: secretOrder, by: person },
    );
  const first = await create('once');
  assert.deepEqual([first.status, json(first)], [200, { ...made, secret }]);
  assert.equal(first.headers['cache-control'], 'no-store');
  const again = await create('once');
  assert.deepEqual([again.status, json(again)['code']], [409, 'told-once']);
  assert.deepEqual(
    [again.headers['idempotency-replayed'], /number 12 /.test(String(json(again)['detail']))],
    ['true', true],
  );
  assert.equal(it.authority.asked.length, 1);
  // A refusal holds no secret, and is repeated as it was.
  it.authority.documents.delete('/v1/enrolment/secrets');
  const refused = await create('refused');
  assert.equal(json(refused)['code'], 'unknown-here');
  assert.deepEqual((await create('refused')).body, refused.body);
  const open = { createdMs: 1, keyIdentifier: null, spentOn: null, voidedMs: null };
  it.authority.documents.set('/v1/enrolment/secrets', { secrets: [{ ...made, ...open, secret }] });
  const listed = await it.request('api', person, { path: '/api/v1/enrolment/secrets' });
  assert.deepEqual([listed.status, listed.body.includes(secret)], [200, false]);
  await it.close();
  const kept = everythingKept(it);
  assert.deepEqual([kept.includes('told-once'), kept.includes(secret)], [true, false]);
});

test('a token is made, told once, listed without itself and ended', async (context) => {
  const it = await setUp(context);
  const body = { holder: 'dashboard', lifetimeMs: 60_000 };
  const create = (): Promise<HttpAnswer> =>
    act(it, '/api/v1/tokens', { 'idempotency-key': 'once' }, { body, by: person });
  const made = json(await create());
  const token = String(made['token']);
  assert.equal(json(await create())['code'], 'told-once');
  const authorization = `Bearer ${token}`;
  const path = '/api/v1/tokens';
  const list = () => it.request('api', undefined, { path, headers: { authorization } });
  const listed = await list();
  assert.deepEqual([listed.status, listed.body.includes(token)], [200, false]);
  assert.deepEqual((json(listed)['tokens'] as object[]).length, 1);
  const end = (): Promise<HttpAnswer> =>
    act(it, `${path}/revoke`, {}, { body: { id: made['id'] }, by: person });
  assert.equal((await end()).status, 200);
  assert.deepEqual([(await list()).status, (await end()).status], [401, 404]);
  await it.close();
  assert.equal(everythingKept(it).includes(token), false);
});

test('the authority is told who decides, by the door and not by the caller', async (context) => {
  const it = await setUp(context);
  const path = '/enrolment/requests/decide';
  it.authority.documents.set(`/v1${path}`, {});
  const body = { id: 3, decision: 'denied' };
  assert.equal((await act(it, `/api/v1${path}`, {}, { body, by: person })).status, 200);
  const [asked] = it.authority.asked;
  assert.deepEqual(JSON.parse(String(asked?.body)), { ...body, by: 'operator/ada' });
});

test('one caller has a rate, and its excess costs nobody else', async (context) => {
  const it = await setUp(context, { apiRate: { requests: 2, everyMs: 3_600_000 } });
  const path = '/api/v1/devices';
  assert.equal((await read(it, path)).status, 200);
  assert.equal((await read(it, path)).headers['ratelimit-remaining'], '0');
  const refused = await read(it, path);
  assert.deepEqual([refused.status, json(refused)['code']], [429, 'too-many-requests']);
  assert.ok(Number(refused.headers['retry-after']) > 0);
  assert.equal((await it.request('api', other, { path })).status, 200);
});
