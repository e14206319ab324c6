/** The HTTP server behind a TLS door: slow, oversized and broken requests end, and are counted. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { type HttpLimits, openHttpDoor, peerOf } from '../../../src/servers/http/httpDoor.ts';
import { TlsDoor } from '../../../src/servers/tls/door.ts';
import { LiveIndex } from '../../../src/servers/tls/liveIndex.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { enter, pki, verifierOf } from '../../support/peers.ts';

const app = pki.application('dashboard');

async function setUp(context: TestContext, limits: Partial<HttpLimits> = {}) {
  const store = new MemoryRegistryStore();
  await enter(store, app, 'application', 'dashboard');
  const refusals: string[] = [];
  const onRefusal = (code: string): void => void refusals.push(code);
  const http = await openHttpDoor({
    onRefusal,
    limits,
    routes: (routes) => {
      routes.get('/who', (request, reply) => reply.send({ who: peerOf(request).holder }));
      routes.post('/take', (_request, reply) => reply.send({}));
      routes.get('/broken', () => Promise.reject(new Error('a secret of ours')));
    },
  });
  const door = new TlsDoor({
    name: 'api',
    identity: pki.serverIdentity(),
    anchorsPem: [pki.server.pem],
    alpn: ['http/1.1'],
    verify: verifierOf(store, [{ authority: pki.server, kinds: ['application'] }]),
    live: new LiveIndex(),
    accept: (connection) => http.accept(connection),
    onRefusal,
  });
  const port = await door.listen(0, '127.0.0.1');
  context.after(async () => {
    await door.close();
    await http.close();
  });
  const dial = (): TLSSocket => {
    const socket = connect({
      port,
      host: '127.0.0.1',
      ca: pki.root.pem,
      key: app.privateKeyPem,
      cert: app.chainPem,
      ALPNProtocols: ['http/1.1'],
    });
    context.after(() => socket.destroy());
    socket.on('error', () => {});
    return socket;
  };
  return { dial, refusals };
}

/** Everything that the server says until it hangs up. */
async function answerTo(socket: TLSSocket, request: string): Promise<string> {
  let text = '';
  socket.on('data', (part: Buffer) => (text += part.toString()));
  socket.write(request);
  await once(socket, 'close');
  return text;
}

const close = 'Host: x\r\nConnection: close\r\n\r\n';

test('a request knows its peer', async (context) => {
  const { dial } = await setUp(context);
  const answer = await answerTo(dial(), `GET /who HTTP/1.1\r\n${close}`);
  assert.match(answer, /^HTTP\/1\.1 200/);
  assert.match(answer, /"who":"dashboard"/);
});

test('a defect of ours is told as such, and nothing of it', async (context) => {
  const { dial, refusals } = await setUp(context);
  const answer = await answerTo(dial(), `GET /broken HTTP/1.1\r\n${close}`);
  assert.match(answer, /^HTTP\/1\.1 500/);
  assert.doesNotMatch(answer, /secret|at /);
  assert.deepEqual(refusals, ['internal']);
});

test('a path that is no URL is refused in the form of its place, before any hook, and counted', async (context) => {
  const { dial, refusals } = await setUp(context);
  const broken = await answerTo(dial(), `GET /api/v1/devices/%zz HTTP/1.1\r\n${close}`);
  assert.match(broken, /^HTTP\/1\.1 400 [^]*content-type: application\/problem\+json/i);
  assert.match(broken, /"code":"bad-request"/);
  const est = await answerTo(dial(), `GET /.well-known/est/%zz HTTP/1.1\r\n${close}`);
  assert.match(est, /^HTTP\/1\.1 400 [^]*content-type: text\/plain/i);
  assert.doesNotMatch(broken + est, /FST_ERR/);
  assert.deepEqual(refusals, ['bad-request', 'bad-request']);
});

const json = 'Host: x\r\nContent-Type: application/json\r\n';
const slow = { headersTimeoutMs: 30, requestTimeoutMs: 60, timeoutCheckMs: 10 };

test('a connection that asks for nothing, or half, is closed in time', async (context) => {
  const { dial, refusals } = await setUp(context, slow);
  await answerTo(dial(), '');
  await answerTo(dial(), 'GET /who HTTP/1.1\r\nHost:');
  await answerTo(dial(), `POST /take HTTP/1.1\r\n${json}Content-Length: 9\r\n\r\n{"a"`);
  assert.deepEqual(refusals, ['http-malformed', 'http-malformed', 'http-malformed']);
});

test('headers beyond the limit and what is no HTTP are closed', async (context) => {
  const { dial, refusals } = await setUp(context, { headerBytes: 1024 });
  await answerTo(dial(), `GET /who HTTP/1.1\r\nX: ${'x'.repeat(2000)}\r\n${close}`);
  await answerTo(dial(), 'EHLO mail.example.com\r\n\r\n');
  await answerTo(
    dial(),
    `GET /who HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n${close}`,
  );
  assert.deepEqual(refusals, ['http-malformed', 'http-malformed', 'http-malformed']);
});
