/** The API as a link: an act whose answer was lost is sent again under the same key, and once. */
import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { ApiLink } from '../../../src/drivers/links/api/apiLink.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { pki } from '../../support/peers.ts';

const post = {
  method: 'POST',
  path: '/v1/orders',
  contentType: 'application/json',
  body: '{}',
} as const;

interface Heard {
  readonly url: string;
  readonly key: string;
}

/** A server that hangs up so many times. */
async function house(context: TestContext, hangUps: number) {
  const identity = pki.serverIdentity(['localhost']);
  const heard: Heard[] = [];
  const tls = { key: identity.privateKeyPem, cert: identity.chainPem };
  const server = createServer(tls, (request, response) => {
    heard.push({ url: request.url ?? '', key: String(request.headers['idempotency-key']) });
    request.resume().once('end', () => {
      if (heard.length <= hangUps) request.socket.destroy();
      else response.end('{"done":true}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const client = pki.application('dashboard');
  const link = (anchors = pki.server.pem): ApiLink => {
    const opened = new ApiLink({
      server: new URL(`https://localhost:${port}`),
      anchors: () => Promise.resolve(anchors),
      credential: () =>
        Promise.resolve({
          kind: 'certificate',
          key: client.privateKeyPem,
          certificate: client.chainPem,
        }),
    });
    context.after(() => opened.close());
    return opened;
  };
  return { heard, link };
}

test('a lost answer is asked for again, under the same key', async (context) => {
  const { heard, link } = await house(context, 1);
  const connected = link();
  const answer = await connected.send(post);
  assert.deepEqual([answer.status, Buffer.from(answer.body).toString()], [200, '{"done":true}']);
  assert.equal(heard.length, 2);
  assert.deepEqual(heard[0], heard[1]);
  assert.equal(heard[0]?.url, '/api/v1/orders');
  await connected.send(post);
  assert.notEqual(heard[2]?.key, heard[1]?.key);
});

test('who hangs up twice is told of', async (context) => {
  const { heard, link } = await house(context, 2);
  await assert.rejects(
    link().send(post),
    (error) => error instanceof EnvironmentError && error.retryable,
  );
  assert.equal(heard.length, 2);
});

test('a server of another authority is not spoken to', async (context) => {
  const { heard, link } = await house(context, 0);
  await assert.rejects(
    link(pki.factory.pem).send(post),
    (error) => error instanceof EnvironmentError && !error.retryable,
  );
  assert.deepEqual(heard, []);
});
