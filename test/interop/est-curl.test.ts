/** EST with peers that are not ours: curl and openssl enrol over the real TLS door, node links its proof to the connection. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { channelBindingOf } from '../../src/servers/http/channelBinding.ts';
import { estRoutes } from '../../src/servers/http/est.ts';
import { openHttpDoor, peerOf } from '../../src/servers/http/httpDoor.ts';
import { TlsDoor } from '../../src/servers/tls/door.ts';
import { LiveIndex } from '../../src/servers/tls/liveIndex.ts';
import { decodeBody, encodeBody, type Framing } from '../../src/wire/est/body.ts';
import { decodeCertsOnly } from '../../src/wire/est/certsOnly.ts';
import { channelBinding, linkingPassword } from '../../src/wire/est/popLinking.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { type BornDevice, testEnrolment, type TestEnrolment } from '../support/enrolment.ts';
import { forged, type TestIdentity, testRequest } from '../support/pki.ts';

const run = promisify(execFile);
const missing = await Promise.all(
  ['curl', 'openssl'].map((command) =>
    run(command, ['--version']).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? command : undefined),
    ),
  ),
);
const skip = missing.find((command) => command !== undefined);
const needs = { skip: skip === undefined ? false : `needs ${skip} (Debian package ${skip})` };

interface House extends TestEnrolment {
  readonly url: string;
  readonly port: number;
  readonly refusals: string[];
  file(name: string, content: string | Uint8Array): string;
  path(name: string): string;
  /** Status and body. */
  curl(identity: TestIdentity | undefined, ...options: readonly string[]): Promise<Answer>;
}

interface Answer {
  readonly status: string;
  readonly body: Buffer;
}

async function open(context: TestContext, framing: Framing = 'line'): Promise<House> {
  const base = testEnrolment();
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-est-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const refusals: string[] = [];
  const onRefusal = (code: string): void => void refusals.push(code);
  const http = await openHttpDoor({
    onRefusal,
    routes: (app) =>
      estRoutes(app, {
        enrolment: base.enrolment,
        services: new Map([['', { ...base.policy, framing }]]),
        peerOf,
        channelBindingOf,
        onRefusal,
        onEnrolled: () => undefined,
      }),
  });
  const { pki } = base;
  const door = new TlsDoor({
    name: 'device',
    identity: pki.serverIdentity(),
    anchorsPem: [pki.factory.pem, pki.operational.pem],
    alpn: ['http/1.1'],
    verify: (chain) => base.peers.verifyPeer(chain),
    live: new LiveIndex(),
    accept: (connection) => http.accept(connection),
    onRefusal,
  });
  const port = await door.listen(0, '127.0.0.1');
  context.after(async () => {
    await door.close();
    await http.close();
  });
  const path = (name: string): string => join(folder, name);
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(path(name), content);
    return path(name);
  };
  // A device pins the authority of servers, not the root above it.
  const anchor = file('server-authority.pem', pki.server.pem);
  const curl: House['curl'] = async (identity, ...options) => {
    const own =
      identity === undefined
        ? []
        : [
            '--cert',
            file('own.pem', identity.chainPem),
            '--key',
            file('own.key', identity.privateKeyPem),
          ];
    const words = ['--silent', '--max-time', '10', '--cacert', anchor, ...own];
    const out = ['--output', path('answer'), '--write-out', '%{http_code}'];
    writeFileSync(path('answer'), '');
    const status = await run('curl', [...words, ...out, ...options]).then(
      ({ stdout }) => stdout,
      (error: { code?: number }) => `curl ${error.code}`,
    );
    return { status, body: readFileSync(path('answer')) };
  };
  const url = `https://localhost:${port}/.well-known/est`;
  return { ...base, url, port, refusals, file, path, curl };
}

function post(body: string): readonly string[] {
  return ['--header', 'Content-Type: application/pkcs10', '--data-binary', `@${body}`];
}

/** The request that openssl makes with the key of the element, in base64 as openssl writes it. */
async function opensslRequest(house: House, { idevid }: BornDevice): Promise<string> {
  const key = house.file('element.key', idevid.privateKeyPem);
  const request = house.path('request.der');
  await run('openssl', [
    'req',
    '-new',
    '-key',
    key,
    '-subj',
    '/CN=whatever',
    '-outform',
    'DER',
    '-out',
    request,
  ]);
  await run('openssl', ['base64', '-in', request, '-out', house.path('request.b64')]);
  return house.path('request.b64');
}

test('curl and openssl: CA certificates, enrolment, renewal', needs, async (context) => {
  const house = await open(context);
  const device = await house.born(1);
  const anchors = await house.curl(device.idevid, `${house.url}/cacerts`);
  assert.equal(anchors.status, '200');
  house.file('cacerts.b64', anchors.body);
  await run('openssl', [
    'base64',
    '-d',
    '-A',
    '-in',
    house.path('cacerts.b64'),
    '-out',
    house.path('cacerts.p7'),
  ]);
  const printed = await run('openssl', [
    'pkcs7',
    '-inform',
    'DER',
    '-in',
    house.path('cacerts.p7'),
    '-print_certs',
  ]);
  assert.equal(printed.stdout.match(/BEGIN CERTIFICATE/g)?.length, 2);
  house.file('anchors.pem', printed.stdout);

  const request = await opensslRequest(house, device);
  const answer = await house.curl(device.idevid, ...post(request), `${house.url}/simpleenroll`);
  assert.equal(answer.status, '200', answer.body.toString());
  house.file('ldevid.b64', answer.body);
  await run('openssl', [
    'base64',
    '-d',
    '-A',
    '-in',
    house.path('ldevid.b64'),
    '-out',
    house.path('ldevid.p7'),
  ]);
  const issued = await run('openssl', [
    'pkcs7',
    '-inform',
    'DER',
    '-in',
    house.path('ldevid.p7'),
    '-print_certs',
    '-out',
    house.path('ldevid.pem'),
  ]);
  assert.equal(issued.stderr, '');
  const verified = await run('openssl', [
    'verify',
    '-x509_strict',
    '-purpose',
    'sslclient',
    '-CAfile',
    house.path('anchors.pem'),
    house.path('ldevid.pem'),
  ]);
  assert.match(verified.stdout, /: OK/);

  const pem = readFileSync(house.path('ldevid.pem'), 'utf8');
  const ldevid = { ...device.idevid, chainPem: pem + house.pki.operational.pem };
  const { subject } = new X509Certificate(pem);
  assert.equal(subject, `O=Test Owner\nserialNumber=${device.deviceId}`);
  const renewal = house.path('renewal.der');
  const names = `/O=Test Owner/serialNumber=${device.deviceId}`;
  await run('openssl', [
    'req',
    '-new',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    house.path('next.key'),
    '-subj',
    names,
    '-outform',
    'DER',
    '-out',
    renewal,
  ]);
  const body = house.file('renewal.b64', readFileSync(renewal).toString('base64'));
  const renewed = await house.curl(ldevid, ...post(body), `${house.url}/simplereenroll`);
  assert.equal(renewed.status, '200', renewed.body.toString());
  assert.equal(decodeCertsOnly(decodeBody(renewed.body)).length, 1);
  const foreign = await house.curl(ldevid, ...post(request), `${house.url}/simplereenroll`);
  assert.equal(foreign.status, '400');
  assert.match(foreign.body.toString(), /subject/);
});

test(
  'curl: what it sends in PEM, in lines and as DER is taken; wrapped answers are read by openssl',
  needs,
  async (context) => {
    const house = await open(context, 'wrap64');
    const device = await house.born(1);
    const request = testRequest(device.idevid.key);
    for (const [name, content] of [
      ['request.pem', encodePem('CERTIFICATE REQUEST', request)],
      [
        'request.txt',
        Buffer.from(encodeBody(request, 'wrap64')).toString().replaceAll('\n', '\r\n'),
      ],
      ['request.der', request],
    ] as const) {
      const body = house.file(name, content);
      const answer = await house.curl(device.idevid, ...post(body), `${house.url}/simpleenroll`);
      assert.equal(answer.status, '200', name);
      house.file('answer.b64', answer.body);
      const decoded = await run('openssl', ['base64', '-d', '-in', house.path('answer.b64')], {
        encoding: 'buffer',
      });
      assert.equal(decodeCertsOnly(new Uint8Array(decoded.stdout)).length, 1);
    }
  },
);

test('curl: nobody gets in who is not verified, and nothing is issued', needs, async (context) => {
  const house = await open(context);
  const device = await house.born(1);
  const request = await opensslRequest(house, device);
  const { pki } = house;
  const strangers: ReadonlyArray<readonly [string, TestIdentity | undefined, string]> = [
    ['nobody', undefined, 'no-certificate'],
    ['a forged one', forged(device.idevid), 'bad-signature'],
    [
      'a forged and expired one',
      forged(pki.idevid(device.deviceId, { notAfterMs: Date.UTC(2021, 0) })),
      'bad-signature',
    ],
    ['an expired one', pki.idevid(device.deviceId, { notAfterMs: Date.UTC(2021, 0) }), 'expired'],
    ['a station', pki.station('line'), 'unknown-issuer'],
    ['a server', pki.serverIdentity(), 'unknown-issuer'],
    ['one that the registry does not know', pki.idevid(device.deviceId), 'unknown-certificate'],
  ];
  for (const [name, identity, code] of strangers) {
    const answer = await house.curl(identity, ...post(request), `${house.url}/simpleenroll`);
    assert.match(answer.status, /^curl \d+$/, name);
    assert.equal(house.refusals.at(-1), code, name);
  }
  await house.store.revokeDevices([device.deviceId], 'stolen', 0);
  const answer = await house.curl(device.idevid, ...post(request), `${house.url}/simpleenroll`);
  assert.match(answer.status, /^curl \d+$/);
  assert.equal(house.refusals.at(-1), 'revoked');
  assert.deepEqual(house.authority.requests, []);
});

test(
  'a server with the certificate of a device is no server to a client of ours',
  needs,
  async (context) => {
    const house = await open(context);
    const { pki } = house;
    const impostor = new TlsDoor({
      name: 'impostor',
      identity: pki.ldevid('0123456789abcdef'),
      anchorsPem: [pki.factory.pem],
      verify: (chain) => house.peers.verifyPeer(chain),
      live: new LiveIndex(),
      accept: (connection) => connection.end(),
      onRefusal: () => undefined,
    });
    const port = await impostor.listen(0, '127.0.0.1');
    context.after(() => impostor.close());
    const device = await house.born(1);
    const answer = await house.curl(
      device.idevid,
      `https://localhost:${port}/.well-known/est/cacerts`,
    );
    assert.equal(answer.status, 'curl 60', 'the peer certificate cannot be authenticated');
  },
);

test('node: a request that names its TLS 1.3 connection is taken there and nowhere else', async (context) => {
  const house = await open(context);
  const { idevid } = await house.born(1);
  const send = async (socket: TLSSocket, password: string): Promise<number> => {
    const body = Buffer.from(encodeBody(testRequest(idevid.key, { challengePassword: password })));
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/pkcs10', host: 'localhost' };
      const request = httpsRequest(
        {
          method: 'POST',
          path: '/.well-known/est/simpleenroll',
          headers,
          createConnection: () => socket,
        },
        (response) => {
          response.resume().once('end', () => resolve(response.statusCode ?? 0));
        },
      );
      request.once('error', reject);
      request.end(body);
    });
  };
  const dial = (): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connect({
        port: house.port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: house.pki.root.pem,
        key: idevid.privateKeyPem,
        cert: idevid.chainPem,
      });
      context.after(() => socket.destroy());
      socket.once('secureConnect', () => resolve(socket)).once('error', reject);
    });
  const bindingOf = (socket: TLSSocket): string => {
    const { label, lengthBytes } = channelBinding;
    return linkingPassword(socket.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0)));
  };
  const [one, other] = [await dial(), await dial()];
  assert.equal(await send(one, bindingOf(one)), 200);
  assert.equal(await send(other, bindingOf(one)), 400);
  assert.equal(house.refusals.at(-1), 'pop-linking');
});
