/** The running door for the status of certificates, asked by openssl, gnutls and curl. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { parseCertificateList } from '../../src/wire/crl/certificateList.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import {
  decodeAuthorityInfoAccess,
  extensionOids,
  findExtension,
} from '../../src/wire/x509/extensions.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { opensslMissing } from '../support/openssl.ts';
import { placesOf, run, urisOf } from '../support/statusPeers.ts';
import {
  allowed,
  fetchPlain,
  houseBase,
  pem,
  postPlain,
  type StatusHouse,
  statusHouse,
  until,
} from '../support/statusHouse.ts';

const missing = ['certtool', 'ocsptool', 'curl'].find(
  (command) => spawnSync(command, ['--version']).status !== 0,
);
const skip =
  opensslMissing === false && missing !== undefined
    ? `needs ${missing} (Debian packages gnutls-bin, curl)`
    : opensslMissing;

interface Files {
  readonly house: StatusHouse;
  readonly leaf: Uint8Array;
  readonly path: (name: string) => string;
}

/** An application's certificate with its issuers, as files. */
async function files(context: TestContext): Promise<Files> {
  const house = await statusHouse(context);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-peers-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const path = (name: string): string => join(folder, name);
  const [leaf, issuer] = await house.enrol('dashboard');
  assert.ok(leaf && issuer);
  const { roots } = await house.issuing.hierarchy();
  writeFileSync(path('leaf.pem'), pem(leaf));
  writeFileSync(path('issuer.pem'), pem(issuer));
  writeFileSync(path('root.pem'), pem(roots[0]));
  writeFileSync(path('all.pem'), pem(roots[0]) + pem(issuer));
  return { house, leaf, path };
}

async function revoke({ house, leaf }: Files, reason = 'lost'): Promise<void> {
  const { createHash } = await import('node:crypto');
  const sha256 = createHash('sha256').update(leaf).digest('hex');
  allowed(await house.operator.revokeCertificate(sha256, reason));
}

test(
  'openssl ocsp over POST, with and without nonce, before and after',
  { skip },
  async (context) => {
    const it = await files(context);
    const { house, leaf, path } = it;
    const [, responder] = placesOf(leaf);
    assert.equal(responder, `${houseBase}/ocsp/server`);
    const url = responder.replace(houseBase, house.url);
    const ask = (...options: readonly string[]): Promise<string> =>
      run(
        'openssl',
        'ocsp -issuer',
        path('issuer.pem'),
        '-cert',
        path('leaf.pem'),
        '-url',
        url,
        '-CAfile',
        path('all.pem'),
        ...options,
      );
    for (const options of ['-nonce', '-no_nonce']) {
      const output = await ask(options);
      assert.match(output, /Response verify OK/);
      assert.match(output, /leaf\.pem: good/);
      assert.doesNotMatch(output, /WARNING/);
    }
    await revoke(it);
    for (const options of ['-nonce', '-no_nonce']) {
      let output = '';
      // Between the revocation and the authority's knowledge of it nobody gets an answer.
      await until(async () => !(output = await ask(options)).includes('trylater'));
      assert.match(output, /Response verify OK/);
      assert.match(output, /leaf\.pem: revoked/);
    }
  },
);

test('openssl ocsp over GET, by both hashes', { skip }, async (context) => {
  const { house, leaf, path } = await files(context);
  for (const hash of ['-sha1', '-sha256']) {
    await run(
      'openssl',
      `ocsp ${hash} -no_nonce -issuer`,
      path('issuer.pem'),
      '-cert',
      path('leaf.pem'),
      '-reqout',
      path('request.der'),
    );
    const request = readFileSync(path('request.der')).toString('base64');
    const escaped = `${house.url}/ocsp/server/${encodeURIComponent(request)}`;
    const [first, plain] = [
      await fetchPlain(escaped),
      await fetchPlain(`${house.url}/ocsp/server/${request}`),
    ];
    assert.equal(first.status, 200);
    assert.equal(first.headers['content-type'], 'application/ocsp-response');
    assert.deepEqual(plain.body, first.body);
    writeFileSync(path('response.der'), first.body);
    const output = await run(
      'openssl',
      `ocsp ${hash} -no_nonce -issuer`,
      path('issuer.pem'),
      '-cert',
      path('leaf.pem'),
      '-respin',
      path('response.der'),
      '-CAfile',
      path('all.pem'),
    );
    assert.match(output, /Response verify OK/);
    assert.match(output, /leaf\.pem: good/);
  }
  // By GET and by POST it is the same answer.
  const request = readFileSync(path('request.der'));
  const posted = await postPlain(`${house.url}/ocsp/server`, 'application/ocsp-request', request);
  const got = await fetchPlain(`${house.url}/ocsp/server/${request.toString('base64')}`);
  assert.deepEqual(posted.body, got.body);
  assert.ok(leaf.length > 0);
});

test(
  'openssl verify -crl_check_all with list and shard: good, then revoked',
  { skip },
  async (context) => {
    const it = await files(context);
    const { house, leaf, path } = it;
    const [list] = placesOf(leaf);
    const serial = parseCertificate(leaf).serialNumber;
    assert.equal(list, `${houseBase}/crl/server/${(serial.at(-1) ?? 0) & 3}.crl`);
    const fetchLists = async (): Promise<number> => {
      const shard = await fetchPlain(list.replace(houseBase, house.url));
      const root = await fetchPlain(`${house.url}/crl/root/0.crl`);
      assert.deepEqual([shard.status, root.status], [200, 200]);
      writeFileSync(path('shard.der'), shard.body);
      writeFileSync(path('root.der'), root.body);
      for (const name of ['shard', 'root']) {
        await run(
          'openssl',
          'crl -inform DER -in',
          path(`${name}.der`),
          '-out',
          path(`${name}.crl`),
        );
      }
      return parseCertificateList(shard.body).entries.length;
    };
    const verdict = (): Promise<string> =>
      run(
        'openssl',
        'verify -x509_strict -crl_check_all -CAfile',
        path('root.pem'),
        '-untrusted',
        path('issuer.pem'),
        '-CRLfile',
        path('shard.crl'),
        '-CRLfile',
        path('root.crl'),
        path('leaf.pem'),
      );
    // The authority signs its first lists while it starts.
    await until(async () => (await fetchPlain(list.replace(houseBase, house.url))).status === 200);
    assert.equal(await fetchLists(), 0);
    assert.match(await verdict(), /leaf\.pem: OK/);
    await revoke(it);
    await until(async () => (await fetchLists()) > 0);
    assert.match(await verdict(), /certificate revoked/);
    const printed = await run(
      'openssl',
      'crl -in',
      path('shard.crl'),
      '-noout -text -CAfile',
      path('issuer.pem'),
    );
    assert.match(printed, /verify OK/);
    assert.match(printed, /X509v3 CRL Number:\s+\d+/);
    assert.match(printed, new RegExp(`Full Name:\\s+URI:${list}`));
    assert.match(printed, /Only User Certificates/);
    assert.match(printed, new RegExp(`Serial Number: ${toHex(serial).replace(/^00/, '')}`, 'i'));
  },
);

test('gnutls: certtool reads the list, ocsptool asks the responder', { skip }, async (context) => {
  const it = await files(context);
  const { house, leaf, path } = it;
  const [list] = placesOf(leaf);
  const url = list.replace(houseBase, house.url);
  await until(async () => (await fetchPlain(url)).status === 200);
  const ask = (): Promise<string> =>
    run(
      'ocsptool',
      `--ask=${house.url}/ocsp/server`,
      '--nonce --load-cert',
      path('leaf.pem'),
      '--load-issuer',
      path('issuer.pem'),
      '--load-trust',
      path('issuer.pem'),
    );
  const good = await ask();
  assert.match(good, /Certificate Status: good/);
  assert.match(good, /Verifying OCSP Response: Success/);
  await revoke(it);
  let revoked = '';
  await until(async () => (revoked = await ask()).includes('Certificate Status'));
  assert.match(revoked, /Certificate Status: revoked/);
  assert.match(revoked, /Verifying OCSP Response: Success/);
  let body = new Uint8Array(0);
  await until(async () => {
    body = new Uint8Array((await fetchPlain(url)).body);
    return parseCertificateList(body).entries.length > 0;
  });
  writeFileSync(path('shard.der'), body);
  const info = await run('certtool', '--crl-info --inder --infile', path('shard.der'));
  assert.match(info, /Revoked certificates \(1\)/);
  assert.match(info, new RegExp(toHex(parseCertificate(leaf).serialNumber).replace(/^00/, '')));
  await run(
    'certtool',
    '--crl-info --inder --infile',
    path('shard.der'),
    '--outfile',
    path('s.crl'),
  );
  const verified = await run(
    'certtool',
    '--verify-crl --load-ca-certificate',
    path('issuer.pem'),
    '--infile',
    path('s.crl'),
  );
  assert.match(verified, /Verified\.|Verification output: Verified/);
});

test('the issuer’s certificate is where the certificate says', { skip }, async (context) => {
  const { house, leaf } = await files(context);
  const [, , issuer] = placesOf(leaf);
  const { server, roots } = await house.issuing.hierarchy();
  const found = await fetchPlain(issuer.replace(houseBase, house.url));
  assert.deepEqual(found.body, server[0]);
  assert.equal(found.headers['content-type'], 'application/pkix-cert');
  // And one step up, from there.
  const above = parseCertificate(found.body);
  const access = findExtension(above.extensions, extensionOids.authorityInfoAccess);
  assert.ok(access);
  const [root = ''] = urisOf(
    decodeAuthorityInfoAccess(access.value).map(({ location }) => location),
  );
  const anchor = await fetchPlain(root.replace(houseBase, house.url));
  assert.deepEqual(anchor.body, roots[0]);
});

test('openssl s_client and curl see the staple of our TLS doors', { skip }, async (context) => {
  const { house, path } = await files(context);
  const door = `127.0.0.1:${house.provisioner.ports.api}`;
  const look = (): Promise<string> =>
    run(
      'openssl',
      `s_client -connect ${door} -status -CAfile`,
      path('root.pem'),
      '-verify_return_error -brief',
    );
  let output = '';
  // Nobody waits for an answer in a handshake: the first client gets none.
  await until(async () => {
    output = await run('openssl', `s_client -connect ${door} -status -CAfile`, path('root.pem'));
    return output.includes('OCSP Response Status: successful');
  });
  assert.match(output, /Cert Status: good/);
  assert.ok((await look()).length > 0);
  const curl = await run(
    'curl',
    `-sv --cert-status https://localhost:${house.provisioner.ports.api}/api/v1/devices --cacert`,
    path('root.pem'),
  );
  assert.match(curl, /SSL certificate status: good/);
});
