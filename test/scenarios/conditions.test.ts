/** Conditions of acts that the authority answers, at the API (RFC 9110 §13). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pki } from '../support/peers.ts';
import { testProvisioner } from '../support/provisioner.ts';

const person = pki.operator('ada');
const entries = [{ identity: person, kind: 'operator', holder: 'ada' }] as const;
const order = {
  order: 'reel-1',
  product: 'sensor',
  family: 'software',
  hwType: '1.3.6.1.4.1.32473.1',
  quantity: 5,
  leastProof: 'line-anchored',
};

test('an order is raised as one has seen it, and a condition that nobody looks at is refused', async (context) => {
  const it = await testProvisioner(context, { entries });
  const seen = { order: 'reel-1', batches: [], tickets: [] };
  it.authority.documents.set('/v1/orders/reel-1', seen);
  const placed = { ...order, profile: 'idevid', partNumber: 'p', eui64First: '00', createdMs: 1 };
  it.authority.documents.set('/v1/orders/raise', { ...placed, serverIdentity: '' });
  const { headers } = await it.request('api', person, { path: '/api/v1/orders/reel-1' });
  const tag = String(headers.etag);
  const raise = async (path: string, condition: string): Promise<unknown> => {
    const body = path === '/orders' ? order : { order: 'reel-1', batch: 'a', by: 3 };
    const answer = await it.request('api', person, {
      method: 'POST',
      path: `/api/v1${path}`,
      type: 'application/json',
      headers: { 'if-match': condition },
      body: JSON.stringify(body),
    });
    const { code } = JSON.parse(answer.body.toString()) as { readonly code?: string };
    return answer.status === 200 ? 200 : [answer.status, code];
  };
  assert.equal(await raise('/orders/raise', tag), 200);
  assert.deepEqual(await raise('/orders/raise', '"AAAAAAAAAAAAAAAAAAAAAA"'), [412, 'changed']);
  it.authority.documents.set('/v1/orders/reel-1', { ...seen, quantity: 8 });
  assert.deepEqual(await raise('/orders/raise', tag), [412, 'changed']);
  it.authority.documents.delete('/v1/orders/reel-1');
  assert.deepEqual(await raise('/orders/raise', tag), [404, 'unknown-here']);
  const before = it.authority.asked.length;
  for (const path of ['/orders', '/devices/revoke', '/status/orders', '/batches/a/close']) {
    assert.deepEqual(await raise(path, '*'), [400, 'no-condition'], path);
  }
  assert.equal(it.authority.asked.length, before);
});
