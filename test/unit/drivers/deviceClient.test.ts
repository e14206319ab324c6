import assert from 'node:assert/strict';
import { createServer, type RequestOptions } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { test } from 'node:test';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import type { DeviceServer } from '../../../src/device/ports/server.ts';
import { openDeviceServer } from '../../../src/drivers/links/https/deviceClient.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { extensionOids, extKeyUsage, keyPurposes } from '../../../src/wire/x509/extensions.ts';
import {
  type Changes,
  forged,
  serverFields,
  type TestAuthority,
  type TestIdentity,
  testPki,
} from '../../support/pki.ts';

const pki = testPki();
const deviceId = 'abcdefgh01234567';
const idevid = pki.idevid(deviceId);
const ldevid = pki.ldevid(deviceId);

function serverOf(
  authority: TestAuthority,
  changes?: Changes,
  names = ['127.0.0.1'],
): TestIdentity {
  return authority.issue(serverFields(names), changes);
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function withServer(
  options: {
    readonly identity?: TestIdentity;
    readonly tls?: RequestOptions;
  },
  handler: Handler,
  use: (server: DeviceServer) => Promise<void>,
): Promise<void> {
  const identity = options.identity ?? serverOf(pki.server);
  const server = createServer(
    {
      cert: identity.chainPem,
      key: identity.privateKeyPem,
      requestCert: true,
      rejectUnauthorized: false,
      ...options.tls,
    },
    handler,
  );
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = openDeviceServer(
    { host: '127.0.0.1', port },
    {
      identity: async (credential) => {
        const { chain, privateKeyPem } = credential === 'idevid' ? idevid : ldevid;
        return { certificates: chain, privateKeyPem };
      },
      anchors: async () => [pki.server.certificate.der],
    },
  );
  try {
    await use(client);
  } finally {
    client.close();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Which certificate was shown, by the organization in it. */
function peerNameOf(request: IncomingMessage): string {
  return String((request.socket as TLSSocket).getPeerCertificate().subject.O);
}

test('each call shows the identity that it was asked for, and bodies come decoded', async () => {
  const seen: string[] = [];
  const handler: Handler = (request, response) => {
    const parts: Uint8Array[] = [];
    request.on('data', (part: Uint8Array) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString('latin1');
      seen.push(`${peerNameOf(request)} ${request.method} ${request.url} ${body}`);
      // RFC 8951 §3.1: base64 with line breaks, or without.
      response.end(request.url === '/.well-known/est/cacerts' ? 'AQID\r\nBA==\r\n' : 'AQI=');
    });
  };
  await withServer({}, handler, async (server) => {
    assert.deepEqual(await server.caCertificates('idevid'), {
      kind: 'answer',
      body: fromHex('01020304'),
    });
    const issued = await server.simpleEnroll('idevid', fromHex('3000'));
    assert.deepEqual(issued, { kind: 'answer', body: fromHex('0102') });
    const configuration = await server.configuration();
    assert.equal(configuration.kind, 'answer');
    await server.telemetry(fromHex('4142'));
  });
  assert.deepEqual(seen, [
    'Test Maker GET /.well-known/est/cacerts ',
    'Test Maker POST /.well-known/est/simpleenroll MAA=',
    'Test Owner GET /v1/configuration ',
    'Test Owner POST /v1/telemetry AB',
  ]);
});

test('what the server says no to, and when to ask again', async () => {
  const answers: Array<readonly [number, Record<string, string>]> = [
    [202, { 'retry-after': '7' }],
    [503, {}],
    [429, { 'retry-after': '99999999' }],
    [403, {}],
    [302, { location: 'https://elsewhere.example/' }],
  ];
  const handler: Handler = (_request, response) => {
    const [status, headers] = answers.shift() ?? [500, {}];
    response.writeHead(status, headers).end('x');
  };
  await withServer({}, handler, async (server) => {
    const enroll = (): ReturnType<DeviceServer['simpleEnroll']> =>
      server.simpleEnroll('idevid', fromHex('3000'));
    assert.deepEqual(await enroll(), { kind: 'later', retryAfterMs: 7_000 });
    assert.deepEqual(await enroll(), { kind: 'later', retryAfterMs: 5_000 });
    assert.deepEqual(await enroll(), { kind: 'later', retryAfterMs: 86_400_000 });
    assert.deepEqual(await enroll(), { kind: 'refused', status: 403 });
    // A redirection is not followed: the pinned name is the one that was asked for.
    assert.deepEqual(await enroll(), { kind: 'refused', status: 302 });
  });
});

test('a body that is too large or no base64 is a fault, not an answer', async () => {
  const bodies = [Buffer.alloc(300_000, 65), 'no base64!'];
  const handler: Handler = (_request, response) => void response.end(bodies.shift());
  await withServer({}, handler, async (server) => {
    await assert.rejects(server.caCertificates('idevid'), /body above/);
    await assert.rejects(server.caCertificates('idevid'), /no base64/);
  });
});

const withoutPurpose = serverFields(['127.0.0.1']).extensions.filter(
  ({ oid }) => oid !== extensionOids.extKeyUsage,
);
const clientPurpose = [...withoutPurpose, extKeyUsage(keyPurposes.clientAuth)];

const refused: ReadonlyArray<readonly [string, Parameters<typeof withServer>[0]]> = [
  ['of another authority', { identity: serverOf(pki.factory) }],
  [
    'of a sister authority below the same root',
    { identity: serverOf(pki.root.issueAuthority('Sister')) },
  ],
  ['certified by the root itself', { identity: serverOf(pki.root) }],
  ['whose certificate is forged', { identity: forged(serverOf(pki.server)) }],
  ['with another name', { identity: serverOf(pki.server, {}, ['localhost']) }],
  [
    'that was certified for clients',
    { identity: serverOf(pki.server, { extensions: clientPurpose }) },
  ],
  ['without a purpose', { identity: serverOf(pki.server, { extensions: withoutPurpose }) }],
  [
    'whose certificate has expired',
    { identity: serverOf(pki.server, { notAfterMs: Date.now() - 1000 }) },
  ],
  ['with TLS 1.2 alone', { tls: { maxVersion: 'TLSv1.2' } }],
];

for (const [what, options] of refused) {
  test(`a server ${what} is refused before anything is sent`, async () => {
    let reached = false;
    const handler: Handler = (_request, response) => {
      reached = true;
      response.end('AQI=');
    };
    await withServer(options, handler, async (server) => {
      await assert.rejects(
        server.caCertificates('idevid'),
        (error) => error instanceof DeviceFault && error.retryable,
      );
    });
    assert.equal(reached, false);
  });
}
