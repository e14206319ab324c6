/** The station's HTTPS client against a real TLS server: what passes, what is refused, what may be retried. */
import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { StationClient } from '../../../src/drivers/links/https/stationClient.ts';
import { testPki } from '../../support/pki.ts';

const pki = testPki();
const station = pki.station('station-1');
const identity = { certificates: station.chain, privateKeyPem: station.privateKeyPem };
const anchors = [pki.server.certificate.der];
const servers: Server[] = [];
const clients: StationClient[] = [];
after(() => {
  for (const client of clients) client.close();
  for (const server of servers) server.close();
});

type Answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void;

async function connect(
  answer: Answer,
  serverIdentity = pki.serverIdentity(),
): Promise<StationClient> {
  const server = createServer(
    {
      key: serverIdentity.privateKeyPem,
      cert: serverIdentity.chainPem,
      ca: [pki.server.pem],
      requestCert: true,
      // Who the station is, is not what is tested here.
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
    },
    (request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => answer(request, response, Buffer.concat(parts)));
    },
  );
  servers.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const client = new StationClient({ host: '127.0.0.1', port }, identity, anchors);
  clients.push(client);
  return client;
}

test('bytes go to the path of their step and come back', async () => {
  const client = await connect((request, response, body) => {
    assert.equal(request.method, 'POST');
    assert.equal(request.headers['content-type'], 'application/cbor');
    response.setHeader('content-type', 'application/cbor');
    response.end(Buffer.concat([Buffer.from(String(request.url)), body]));
  });
  const answer = await client.post('endorse', Uint8Array.of(1, 2, 3));
  assert.deepEqual(answer, Uint8Array.from([...Buffer.from('/line/v1/endorse'), 1, 2, 3]));
  assert.ok(!Buffer.isBuffer(answer));
});

for (const [status, retryable] of [
  [401, false],
  [403, false],
  [404, false],
  [429, true],
  [502, true],
  [503, true],
] as const) {
  test(`status ${status} is ${retryable ? 'waited out' : 'final'}`, async () => {
    const client = await connect((_, response) => {
      response.statusCode = status;
      response.end();
    });
    await assert.rejects(client.post('open', Uint8Array.of(1)), {
      name: 'EnvironmentError',
      retryable,
    });
  });
}

test('an answer of another type or without an end is refused', async () => {
  const html = await connect((_, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<p>proxy</p>');
  });
  await assert.rejects(html.post('open', Uint8Array.of(1)), { retryable: false });
  const endless = await connect((_, response) => {
    response.setHeader('content-type', 'application/cbor');
    response.end(Buffer.alloc((1 << 20) + 1));
  });
  await assert.rejects(endless.post('open', Uint8Array.of(1)), { retryable: false });
  const cut = await connect((_, response) => {
    response.setHeader('content-type', 'application/cbor');
    response.setHeader('content-length', 100);
    response.write('x');
    setImmediate(() => response.destroy());
  });
  await assert.rejects(cut.post('open', Uint8Array.of(1)), { retryable: true });
});

test('nobody there is waited out', async () => {
  const client = new StationClient({ host: '127.0.0.1', port: 1 }, identity, anchors);
  clients.push(client);
  await assert.rejects(client.post('open', Uint8Array.of(1)), {
    name: 'EnvironmentError',
    retryable: true,
  });
});

test('a device, a station or a stranger does not pass as the server', async () => {
  const answer: Answer = (_, response) => response.end();
  for (const wrong of [
    pki.ldevid('0123456789abcdef'),
    pki.station('127.0.0.1'),
    pki.serverIdentity(['elsewhere.example']),
    testPki().serverIdentity(),
  ]) {
    const client = await connect(answer, wrong);
    await assert.rejects(client.post('open', Uint8Array.of(1)), { retryable: false });
  }
});
