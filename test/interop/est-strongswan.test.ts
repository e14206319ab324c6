/**
 * EST with a client of others, everything real: authority, provisioner and door, strongSwan's pki over TLS
 * 1.2, curl with a Bearer token, node with both kinds of channel binding.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { encodeBody } from '../../src/wire/est/body.ts';
import { channelBinding, linkingPassword } from '../../src/wire/est/popLinking.ts';
import { testKey, testRequest } from '../support/pki.ts';

const run = promisify(execFile);

async function missing(command: string, word: string): Promise<boolean> {
  return run(command, [word]).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );
}

const withPki = {
  skip: (await missing('pki', '--version')) ? 'needs pki (Debian package strongswan-pki)' : false,
};
const withCurl = {
  skip: (await missing('curl', '--version')) ? 'needs curl (Debian package curl)' : false,
};

interface House {
  readonly desk: DeskClient;
  readonly url: string;
  readonly port: number;
  /** PEM file of the root. */
  readonly root: string;
  readonly file: (name: string, content?: string | Uint8Array) => string;
  readonly secret: () => Promise<{ readonly secret: string; readonly deviceId: string }>;
}

async function open(context: TestContext): Promise<House> {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-swan-'));
  context.after(() => rmSync(data, { recursive: true, force: true }));
  const passphrase = 'correct horse';
  const organization = 'Swan Works';
  const clock = { nowMs: Date.now };
  await initializeAuthority({ dataFolder: data, passphrase, organization, clock, costLog2: 4 });
  const running = await startAuthority({ dataFolder: data, passphrase });
  context.after(() => running.close());
  const authority = new AuthorityClient(socketPathFor(data, 'authority'));
  context.after(() => authority.close());
  const provisioner = await startProvisioner({
    folder: join(data, 'provisioner'),
    socketPath: socketPathFor(data, 'provisioner'),
    passphrase,
    keyCostLog2: 4,
    authority,
    owner: 'owner',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
    estPort: 0,
  });
  context.after(() => provisioner.close());
  const desk = new DeskClient(socketPathFor(data, 'authority'));
  context.after(() => desk.close());
  const port = provisioner.estPort ?? 0;
  const file: House['file'] = (name, content) => {
    if (content !== undefined) writeFileSync(join(data, name), content);
    return join(data, name);
  };
  return {
    desk,
    port,
    url: `https://localhost:${port}`,
    root: join(data, 'authority', 'root.pem'),
    file,
    secret: async () => {
      const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 60_000 };
      const created = await desk.createSecret(order);
      if (isRefusal(created)) throw new TypeError(created.reason);
      return created;
    },
  };
}

test(
  'strongSwan: CA certificates, first enrolment by secret, renewal by certificate',
  withPki,
  async (context) => {
    const { url, root, file, secret } = await open(context);
    const ca = ['--url', url, '--cacert', root];
    await run('pki', ['--estca', ...ca, '--caout', file('ca-'), '--outform', 'pem', '--force']);
    const { secret: password, deviceId } = await secret();
    const key = testKey();
    const old = file('key.pem', key.pem);
    const csr = file('request.der', testRequest(key));
    const est = ['--est', ...ca, '--in', csr, '--outform', 'pem', '--maxpolltime', '5'];
    const pem = await run('pki', [...est, '--userpass', `meter:${password}`]);
    const certificate = new X509Certificate(pem.stdout);
    assert.equal(certificate.subject, `O=Swan Works\nserialNumber=${deviceId}`);
    const ldevid = file('ldevid.pem', pem.stdout);
    // RFC 7030 §4.2.2: the same subject, here with a new key.
    const next = testKey();
    const nextPath = file('next.pem', next.pem);
    const subject = ['--dn', `O=Swan Works, serialNumber=${deviceId}`];
    const renewal = await run(
      'pki',
      ['--req', '--type', 'priv', '--in', nextPath, ...subject, '--outform', 'der'],
      { encoding: 'buffer' },
    );
    const renewed = await run('pki', [
      '--est',
      ...ca,
      '--in',
      file('renewal.der', renewal.stdout),
      '--outform',
      'pem',
      '--cert',
      ldevid,
      '--key',
      old,
    ]);
    const second = new X509Certificate(renewed.stdout);
    assert.equal(second.subject, certificate.subject);
    assert.notEqual(second.fingerprint256, certificate.fingerprint256);
  },
);

test('strongSwan waits while a person thinks', withPki, async (context) => {
  const { url, root, file, secret, desk } = await open(context);
  const afterExpiry = { kind: 'never' } as const;
  await desk.savePolicy({ profile: 'ldevid', approval: 'first', afterExpiry });
  const { secret: password, deviceId } = await secret();
  const csr = file('request.der', testRequest(testKey()));
  const est = ['--est', '--url', url, '--cacert', root, '--in', csr, '--outform', 'pem'];
  await assert.rejects(run('pki', [...est, '--userpass', 'meter:wrong']));
  const words = [...est, '--userpass', `meter:${password}`];
  // The client is told to come back in a minute; here its power fails meanwhile. Started anew, on a
  // connection of its own, it finds the same request.
  const off = new AbortController();
  const waiting = assert.rejects(run('pki', words, { signal: off.signal }), { name: 'AbortError' });
  let waits = await desk.approvals(9);
  while (waits.length === 0) waits = await desk.approvals(9);
  off.abort();
  await waiting;
  const [request, ...more] = waits;
  assert.ok(request?.deviceId === deviceId && more.length === 0);
  assert.equal(await desk.decide(request.id, 'approved', 'ada'), undefined);
  assert.match((await run('pki', words)).stdout, /BEGIN/);
});

test(
  'curl: a Bearer secret binds to its key, and TLS 1.2 and 1.3 both do',
  withCurl,
  async (context) => {
    const { url, root, file, secret } = await open(context);
    const { secret: token } = await secret();
    const body = file('request.b64', encodeBody(testRequest(testKey())));
    const post = async (...words: readonly string[]): Promise<string> => {
      const common = [
        '--silent',
        '--cacert',
        root,
        '--output',
        file('out'),
        '--dump-header',
        file('head'),
      ];
      const type = ['--header', 'Content-Type: application/pkcs10', '--write-out', '%{http_code}'];
      const { stdout } = await run('curl', [...common, ...type, ...words]);
      return stdout;
    };
    const enroll = `${url}/.well-known/est/simpleenroll`;
    const data = ['--data-binary', `@${body}`];
    assert.equal(await post(...data, enroll), '401');
    assert.match(readFileSync(file('head'), 'utf8'), /www-authenticate: Basic realm=/i);
    const bearer = ['--header', `Authorization: Bearer ${token}`];
    assert.equal(await post('--tls-max', '1.2', ...bearer, ...data, enroll), '200');
    const first = readFileSync(file('out'), 'utf8');
    assert.equal(await post('--tlsv1.3', ...bearer, ...data, enroll), '200');
    assert.equal(readFileSync(file('out'), 'utf8'), first);
    const other = ['--data-binary', `@${file('other.b64', encodeBody(testRequest(testKey())))}`];
    assert.equal(await post(...bearer, ...other, enroll), '401');
    assert.equal(
      await post('--user', `:${token}`, ...data, `${url}/.well-known/est/simplereenroll`),
      '401',
    );
    assert.equal(await post(`${url}/.well-known/est/cacerts`), '200');
    assert.equal(await post(...data, `${url}/.well-known/est/serverkeygen`), '501');
    assert.equal(await post(...data, `${url}/.well-known/est/fullcmc`), '501');
    assert.equal(
      await post(
        '--tls-max',
        '1.1',
        '--ciphers',
        'DEFAULT@SECLEVEL=0',
        `${url}/v1/configuration`,
      ).catch(() => 'no'),
      'no',
    );
    assert.equal(await post(`${url}/v1/configuration`), '404');
  },
);

test('PoP linking: tls-unique on a full handshake of 1.2, tls-exporter on 1.3, nothing else', async (context) => {
  const { port, root, secret } = await open(context);
  const ca = readFileSync(root);
  const dial = (more: ConnectionOptions): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connect({ host: 'localhost', port, ca, ...more }, () => resolve(socket));
      socket.on('error', reject);
      context.after(() => socket.destroy());
    });
  const enroll = async (
    socket: TLSSocket,
    password: Uint8Array,
    token: string,
  ): Promise<number> => {
    const request = testRequest(testKey(), { challengePassword: linkingPassword(password) });
    return new Promise((resolve, reject) => {
      const outgoing = httpsRequest({
        createConnection: () => socket,
        method: 'POST',
        path: '/.well-known/est/linked/simpleenroll',
        headers: { 'content-type': 'application/pkcs10', authorization: `Bearer ${token}` },
      });
      outgoing.on('response', (response) => resolve(response.resume().statusCode ?? 0));
      outgoing.on('error', reject);
      outgoing.end(encodeBody(request));
    });
  };
  const unique = await dial({ maxVersion: 'TLSv1.2' });
  const session = unique.getSession();
  assert.equal(
    await enroll(unique, unique.getFinished() ?? Buffer.alloc(0), (await secret()).secret),
    200,
  );
  const exporter = await dial({ minVersion: 'TLSv1.3' });
  const { label, lengthBytes } = channelBinding;
  const exported = exporter.exportKeyingMaterial(lengthBytes, label, Buffer.alloc(0));
  assert.equal(await enroll(exporter, exported, (await secret()).secret), 200);
  const { secret: unspent } = await secret();
  const wrong = await dial({ minVersion: 'TLSv1.3' });
  assert.equal(await enroll(wrong, exported, unspent), 400);
  const resumed = await dial({
    maxVersion: 'TLSv1.2',
    ...(session === undefined ? {} : { session }),
  });
  assert.ok(resumed.isSessionReused());
  assert.equal(await enroll(resumed, resumed.getFinished() ?? Buffer.alloc(0), unspent), 400);
});
