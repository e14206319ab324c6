/** Certificates read from a web server that may be anything but helpful. */
import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test, type TestContext } from 'node:test';
import { HttpCredentialFetcher } from '../../../src/drivers/links/https/credentialFetcher.ts';

async function listen(context: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/device`;
}

const limits = { timeoutMs: 2_000, maximumBytes: 1_000 };

test('what is there comes back with its type, without parameters', async (context) => {
  const uri = await listen(context, (request, response) => {
    assert.equal(request.method, 'GET');
    response.writeHead(200, { 'content-type': 'Application/COSE-X509; usage=chain' });
    response.end(Buffer.from([1, 2, 3]));
  });
  assert.deepEqual(await new HttpCredentialFetcher(limits).fetch(uri), {
    mediaType: 'application/cose-x509',
    body: Uint8Array.of(1, 2, 3),
  });
});

test('nothing is followed', async (context) => {
  const asked: Array<string | undefined> = [];
  const uri = await listen(context, (request, response) => {
    asked.push(request.url);
    response.writeHead(302, { location: '/elsewhere' }).end();
  });
  const outcome = await new HttpCredentialFetcher(limits).fetch(uri);
  assert.equal('refused' in outcome && outcome.refused, 'redirected');
  assert.deepEqual(asked, ['/device']);
});

test('an answer without end is not read to its end', async (context) => {
  const uri = await listen(context, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/pkix-cert' });
    response.write(Buffer.alloc(limits.maximumBytes));
    response.write(Buffer.alloc(1));
  });
  const outcome = await new HttpCredentialFetcher(limits).fetch(uri);
  assert.equal('refused' in outcome && outcome.refused, 'too-large');
});

test('a server that is slow in the middle is given up', async (context) => {
  const uri = await listen(context, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/pkix-cert' });
    response.write(Buffer.alloc(1));
  });
  const outcome = await new HttpCredentialFetcher({ ...limits, timeoutMs: 50 }).fetch(uri);
  assert.equal('refused' in outcome && outcome.refused, 'too-slow');
});

test('no such thing, and nobody there', async (context) => {
  const uri = await listen(context, (_, response) => void response.writeHead(404).end());
  const fetcher = new HttpCredentialFetcher(limits);
  const missing = await fetcher.fetch(uri);
  assert.equal('refused' in missing && missing.refused, 'not-found');
  const nobody = await fetcher.fetch('http://127.0.0.1:1/x');
  assert.equal('refused' in nobody && nobody.refused, 'unreachable');
});
