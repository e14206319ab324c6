/** The door for EST alone: visitors, their number, old TLS, and certificates past their end. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { TlsDoor } from '../../src/servers/tls/door.ts';
import { LiveIndex } from '../../src/servers/tls/liveIndex.ts';
import { refuse } from '../../src/trust/ports/faults.ts';
import { encodeBody } from '../../src/wire/est/body.ts';
import { FakeProvisioningAuthority } from '../support/fakeAuthority.ts';
import { opensslMissing } from '../support/openssl.ts';
import { pki } from '../support/peers.ts';
import { ldevidFields, testNowMs, testRequest, validFromMs } from '../support/pki.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const one = deviceIdOf(1);
const dayMs = 86_400_000;

async function visitorDoor(context: TestContext, visitors: number) {
  const refusals: string[] = [];
  const sockets: TLSSocket[] = [];
  const door = new TlsDoor({
    name: 'est',
    identity: pki.serverIdentity(),
    anchorsPem: [],
    verify: () => Promise.resolve(refuse('unknown-certificate', 'nobody is known')),
    live: new LiveIndex(),
    tls12: true,
    accept: () => assert.fail('nobody is admitted by certificate'),
    acceptVisitor: (socket) => {
      sockets.push(socket);
      socket.write('welcome');
    },
    limits: { visitors },
    onRefusal: (code) => refusals.push(code),
  });
  const port = await door.listen(0, '127.0.0.1');
  context.after(() => door.close());
  const dial = (options: object = {}): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, ca: pki.root.pem, ...options });
      context.after(() => socket.destroy());
      socket.on('error', () => undefined);
      socket.once('data', (data: Buffer) => resolve(data.toString()));
      socket.once('close', () => resolve('closed'));
    });
  return { door, port, refusals, sockets, dial };
}

test('visitors are counted, and those who show a certificate are judged', async (context) => {
  const { dial, refusals, sockets } = await visitorDoor(context, 2);
  assert.deepEqual([await dial(), await dial({ maxVersion: 'TLSv1.2' })], ['welcome', 'welcome']);
  assert.equal(await dial(), 'closed');
  const left = new Promise((resolve) => sockets[0]?.once('close', resolve));
  sockets[0]?.destroy();
  await left;
  assert.equal(await dial(), 'welcome');
  const { privateKeyPem: key, chainPem: cert } = pki.ldevid(one);
  assert.equal(await dial({ key, cert }), 'closed');
  assert.deepEqual(refusals, ['too-many-visitors', 'unknown-certificate']);
});

test('no old suite, no RSA key exchange, no TLS 1.1; the other doors have 1.3 alone', async (context) => {
  const { dial } = await visitorDoor(context, 9);
  for (const ciphers of [
    'ECDHE-ECDSA-AES128-SHA',
    'AES128-GCM-SHA256',
    'DHE-RSA-AES128-GCM-SHA256',
  ]) {
    assert.equal(await dial({ maxVersion: 'TLSv1.2', ciphers }), 'closed', ciphers);
  }
  assert.equal(
    await dial({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    'closed',
  );
  const { ports } = await testProvisioner(context, { config: { estPort: 0 } });
  for (const port of Object.values(ports)) {
    const answer = await new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, ca: pki.root.pem, maxVersion: 'TLSv1.2' });
      socket.on('error', ({ message }) => resolve(message));
      socket.once('secureConnect', () => resolve('connected'));
    });
    assert.match(String(answer), /alert protocol version/);
  }
});

test(
  'RFC 7627: without the extended master secret nothing is resumed',
  { skip: opensslMissing },
  async (context) => {
    const { port, refusals } = await visitorDoor(context, 9);
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-ems-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const conf = join(folder, 'old.cnf');
    const lines = ['openssl_conf = d', '[d]', 'ssl_conf = s', '[s]', 'system_default = x', '[x]'];
    writeFileSync(conf, [...lines, 'Options = -ExtendedMasterSecret', ''].join('\n'));
    const session = join(folder, 'session.pem');
    const dial = (words: readonly string[], environment: object = {}): Promise<string> =>
      new Promise((resolve) => {
        const address = ['-connect', `127.0.0.1:${port}`, '-tls1_2'];
        const env = { ...process.env, ...environment };
        const child = execFile(
          'openssl',
          ['s_client', ...address, ...words],
          { env },
          (_error, out) => resolve(out),
        );
        // It hangs up when it has heard the greeting, or is hung up on.
        child.stdout?.on('data', (text: string) => {
          if (text.includes('welcome')) child.stdin?.end('Q\n');
        });
      });
    const old = { OPENSSL_CONF: conf };
    assert.match(await dial(['-sess_out', session]), /Extended master secret: yes/);
    assert.match(await dial(['-sess_in', session]), /Reused, TLSv1.2[^]*welcome/);
    assert.match(await dial(['-sess_out', session], old), /Extended master secret: no/);
    assert.doesNotMatch(await dial(['-sess_in', session], old), /welcome/);
    assert.deepEqual(refusals, ['no-extended-master-secret']);
  },
);

test('past its end a certificate is good for its renewal where the policy says so, and for nothing else', async (context) => {
  const authority = new FakeProvisioningAuthority(pki);
  const profile = 'ldevid';
  authority.profilePolicies = [
    { profile, approval: 'none', afterExpiry: { kind: 'within', days: 30 } },
  ];
  const ended = pki.ldevid(one, { notAfterMs: testNowMs - 10 * dayMs });
  const longAgo = pki.ldevid(one, { notAfterMs: validFromMs + dayMs });
  const entries = [ended, longAgo].map(
    (identity) => ({ identity, kind: 'ldevid', holder: one }) as const,
  );
  const it = await testProvisioner(context, { devices: [1], entries, authority });
  const renewal = {
    method: 'POST',
    path: '/.well-known/est/simplereenroll',
    type: 'application/pkcs10',
    body: encodeBody(testRequest(ended.key, { subject: ldevidFields(one).subject })),
  };
  assert.equal((await it.request('device', longAgo, renewal)).status, 0);
  const configuration = { path: '/v1/configuration' };
  assert.equal((await it.request('device', ended, configuration)).status, 403);
  assert.equal((await it.request('device', ended, renewal)).status, 200);
});

test('a peer that says nothing in the handshake is no visitor', async (context) => {
  const { port, sockets } = await visitorDoor(context, 1);
  const socket = connectTcp(port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.destroy();
  assert.equal(sockets.length, 0);
});
