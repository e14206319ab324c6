/**
 * Whatever JSON an operator sends to the acts about enrolment, other makers and programs: it is refused by
 * its form, at the API and at the authority alike, or what arrives keeps every bound. Nothing breaks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import fc from 'fast-check';
import { judgeBySchema } from '../../src/servers/http/apiDescription.ts';
import { authorityApi } from '../../src/servers/http/authorityApi.ts';
import { admitCallers } from '../../src/servers/http/callers.ts';
import { type ClientActs, clientRoutes } from '../../src/servers/http/clients.ts';
import { installProblems } from '../../src/servers/http/problem.ts';
import { enrolmentDeskRoutes } from '../../src/servers/local/enrolment.ts';
import { foreignRoutes } from '../../src/servers/local/foreign.ts';
import { operatorRoles } from '../../src/trust/ports/approvalStore.ts';
import { refuse } from '../../src/trust/ports/faults.ts';
import type { Link } from '../../src/trust/ports/link.ts';
import { isNightly } from '../support/nightly.ts';

const numRuns = isNightly ? 20_000 : 500;
const no = refuse('rejected', 'never');

const valid: ReadonlyArray<readonly [path: string, body: object]> = [
  ['/enrolment/secrets', { product: 'meter', profile: 'ldevid', lifetimeMs: 1 }],
  [
    '/enrolment/secrets',
    {
      deviceId: '0123456789abcdef',
      product: 'meter',
      profile: 'ldevid',
      lifetimeMs: 86_400_000,
      approval: 'ab'.repeat(32),
    },
  ],
  ['/enrolment/secrets/void', { id: 1 }],
  ['/enrolment/requests/decide', { id: 1, decision: 'approved' }],
  ['/enrolment/policies', { profile: 'ldevid', approval: 'first', afterExpiry: 'never' }],
  ['/enrolment/policies', { profile: 'x', approval: 'none', afterExpiry: 'within', days: 30 }],
  ['/foreign-anchors', { product: 'meter', certificate: 'AAAA', count: 7 }],
  ['/foreign-anchors/retire', { product: 'meter', sha256: 'cd'.repeat(32) }],
  ['/tokens', { holder: 'dashboard', lifetimeMs: 5 }],
  ['/tokens/revoke', { id: 3 }],
  ['/applications', { name: 'dashboard', kind: 'application', request: 'AAAA' }],
  ['/stations/enrol', { name: 'station-1', request: 'AAAA' }],
];

/** A body of the table with members changed, left out and added; now and then any JSON. */
const asked = fc.constantFrom(...valid).chain(([path, body]) => {
  const member = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...Object.keys(body)) },
    { weight: 1, arbitrary: fc.constantFrom('by', '__proto__', 'x') },
  );
  const value = fc.oneof(
    { weight: 3, arbitrary: fc.oneof(fc.maxSafeInteger(), fc.double(), fc.constantFrom(0, -1)) },
    { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 80 }) },
    { weight: 1, arbitrary: fc.base64String() },
    { weight: 1, arbitrary: fc.jsonValue() },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  const changed = fc
    .array(fc.tuple(member, value), { maxLength: 2 })
    .map((changes) => ({ ...body, ...Object.fromEntries(changes) }));
  const sent = fc.oneof(
    { weight: 5, arbitrary: changed },
    { weight: 1, arbitrary: fc.jsonValue() },
  );
  return fc.tuple(fc.constant(path), sent);
});

const dayMs = 86_400_000;

/** These throw, and so answer 500, where something arrives that should not. */
function name(text: string): void {
  assert.match(text, /^[^\p{Cc}]{1,64}$/u);
}

function within(number: number, least: number, most: number): void {
  assert.ok(Number.isSafeInteger(number) && number >= least && number <= most);
}

/** The authority's door, behind which nobody allows anything. */
function authority(): Link {
  const app = fastify({ logger: false });
  installProblems(app, () => undefined);
  enrolmentDeskRoutes(app, {
    createSecret: async ({ product, profile, lifetimeMs, deviceId = '0'.repeat(16) }) => {
      [product, profile].forEach(name);
      assert.match(deviceId, /^[0-9a-hjkmnp-tv-z]{16}$/);
      within(lifetimeMs, 1, 3_650 * dayMs);
      return no;
    },
    secrets: async () => [],
    voidSecret: async (id) => {
      within(id, 1, Number.MAX_SAFE_INTEGER);
      return no;
    },
    approvals: async () => [],
    decide: async (id, _decision, decidedBy) => {
      within(id, 1, Number.MAX_SAFE_INTEGER);
      assert.equal(decidedBy, 'signer/ada');
      return no;
    },
    policies: async () => [],
    savePolicy: async ({ profile, afterExpiry }) => {
      name(profile);
      if (afterExpiry.kind === 'within') within(afterExpiry.days, 1, 3_650);
      return no;
    },
  });
  foreignRoutes(app, {
    pin: async ({ product, count }) => {
      name(product);
      within(count, 1, 10_000_000_000);
      return no;
    },
    retire: async (product, sha256) => {
      name(product);
      assert.equal(sha256.length, 32);
      return no;
    },
    anchors: async () => [],
  });
  return {
    send: async ({ method, path, contentType = 'application/json', body }) => {
      const payload = typeof body === 'string' ? body : '';
      const headers = { 'content-type': contentType };
      const answer = await app.inject({ method: method ?? 'GET', url: path, headers, payload });
      return { status: answer.statusCode, body: new Uint8Array(answer.rawPayload) };
    },
    close: () => void app.close(),
  };
}

test('any body of an act about enrolment, makers and programs', async (context) => {
  const link = authority();
  const app = fastify({ logger: false });
  context.after(async () => {
    link.close();
    await app.close();
  });
  installProblems(app, () => undefined);
  admitCallers(app, {
    verifyToken: async () => undefined,
    verifyOperator: async () => ({ name: 'ada', roles: operatorRoles }),
    isSingleOperator: async () => false,
    onRefusal: () => undefined,
  });
  judgeBySchema(app);
  authorityApi(app, { authority: link, onRefusal: () => undefined });
  const clients: ClientActs = {
    tokens: {
      create: async (holder, lifetimeMs) => {
        name(holder);
        within(lifetimeMs, 1, 366 * dayMs);
        return refuse('rejected', 'never');
      },
      tokens: async () => [],
      revoke: async (id) => {
        within(id, 1, Number.MAX_SAFE_INTEGER);
        return refuse('unknown', 'none');
      },
    },
    enrolApplication: async (holder) => {
      name(holder);
      return no;
    },
    enrolStation: async (holder) => {
      name(holder);
      return no;
    },
  };
  clientRoutes(app, clients, () => undefined);
  const statuses = new Set<number>();
  await fc.assert(
    fc.asyncProperty(asked, async ([url, body]) => {
      const answer = await app.inject({
        method: 'POST',
        url,
        headers: { authorization: 'Concealed x', 'content-type': 'application/json' },
        payload: JSON.stringify(body),
      });
      statuses.add(answer.statusCode);
      assert.ok([400, 403, 404].includes(answer.statusCode), answer.payload);
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/);
    }),
    { numRuns },
  );
  // Bodies were refused, and others arrived.
  assert.deepEqual(
    [...statuses].toSorted((a, b) => a - b),
    [400, 403, 404],
  );
});
