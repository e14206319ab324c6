/** An authority whose operational key lives in a token, and a hierarchy of many algorithms, as openssl sees it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import type { AuthorityRecord } from '../../src/apps/authority/book.ts';
import { defaultBook } from '../../src/apps/authority/book.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { parseKeyUri } from '../../src/drivers/keys/pkcs11/keyUri.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { MalformedError } from '../../src/wire/bytes/malformed.ts';
import { testKey, testRequest } from '../support/pki.ts';

const modulePath = '/usr/lib/softhsm/libsofthsm2.so';
const pin = '98765432';
const skip = missingPeer();
const clock = { nowMs: Date.now };
const passphrase = 'correct horse';
const organization = 'Token Works';

function missingPeer(): string | false {
  try {
    createRequire(import.meta.url).resolve('pkcs11js');
  } catch {
    return 'needs the npm package pkcs11js';
  }
  return existsSync(modulePath) ? false : 'needs SoftHSM2 (Debian package softhsm2)';
}

interface House {
  readonly data: string;
  readonly tokens: string;
  readonly uri: string;
}

function token(context: TestContext): House {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-token-'));
  context.after(() => rmSync(data, { recursive: true, force: true }));
  const tokens = join(data, 'tokens');
  mkdirSync(tokens);
  writeFileSync(join(data, 'softhsm2.conf'), `directories.tokendir = ${tokens}\n`);
  process.env['SOFTHSM2_CONF'] = join(data, 'softhsm2.conf');
  const words = ['--init-token', '--free', '--label', 'ca', '--so-pin', pin, '--pin', pin];
  assert.equal(spawnSync('softhsm2-util', words).status, 0);
  writeFileSync(join(data, 'pin'), `${pin}\n`, { mode: 0o600 });
  const place = 'pkcs11:token=ca;object=operational';
  const uri = `${place}?module-path=${modulePath}&pin-source=file:${join(data, 'pin')}`;
  return { data, tokens, uri };
}

function bookWith(
  changes: Readonly<Record<string, Partial<AuthorityRecord>>>,
): readonly AuthorityRecord[] {
  return defaultBook.map((record) => ({ ...record, ...changes[record.name] }));
}

async function secretOf(desk: DeskClient): Promise<string> {
  const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 600_000 };
  const created = await desk.createSecret(order);
  if (isRefusal(created)) throw new TypeError(created.reason);
  return created.secret;
}

test(
  'a key in a token: issues, is refused clearly while the token is away, and mends itself',
  { skip },
  async (context) => {
    const { data, tokens, uri } = token(context);
    const authorities = bookWith({ operational: { key: uri } });
    await initializeAuthority({
      dataFolder: data,
      passphrase,
      organization,
      clock,
      authorities,
      costLog2: 4,
    });
    assert.ok(!existsSync(join(data, 'authority', 'keys', 'operational.key')));
    const running = await startAuthority({ dataFolder: data, passphrase, signAgainMs: 20 });
    const authority = new AuthorityClient(socketPathFor(data, 'authority'));
    const desk = new DeskClient(socketPathFor(data, 'authority'));
    context.after(async () => {
      authority.close();
      desk.close();
    });
    const ask = async (secret: string, key = testKey()) =>
      authority.issueBySecret({ secret, request: testRequest(key), profile: 'ldevid' });
    const first = await ask(await secretOf(desk));
    assert.ok('certificate' in first);
    const issuer = new X509Certificate(readFileSync(join(data, 'authority', 'operational.pem')));
    assert.ok(new X509Certificate(first.certificate).verify(issuer.publicKey));
    await running.close();

    // The token is pulled: the authority starts and serves what needs no such key.
    renameSync(tokens, `${tokens}-away`);
    mkdirSync(tokens);
    const again = await startAuthority({ dataFolder: data, passphrase, signAgainMs: 20 });
    context.after(() => again.close());
    const secret = await secretOf(desk);
    const key = testKey();
    await assert.rejects(
      ask(secret, key),
      (error) => error instanceof EnvironmentError && error.retryable,
    );
    const server = await authority.issueServer(testRequest(testKey()), ['localhost']);
    assert.ok(!isRefusal(server));
    const promised = await ask(secret, key);
    assert.ok('retryAfterS' in promised);

    // Plugged in again: what T1 promised is signed without anybody asking.
    rmSync(tokens, { recursive: true });
    renameSync(`${tokens}-away`, tokens);
    let mended = await ask(secret, key);
    while (!('certificate' in mended)) mended = await ask(secret, key);
    assert.ok(new X509Certificate(mended.certificate).verify(issuer.publicKey));
  },
);

test(
  'a token that is pulled from a running authority and plugged in again: the same process issues',
  { skip },
  async (context) => {
    const { data, tokens, uri } = token(context);
    const authorities = bookWith({ operational: { key: uri } });
    const options = { dataFolder: data, passphrase, organization, clock, costLog2: 4 };
    await initializeAuthority({ ...options, authorities });
    const running = await startAuthority({ dataFolder: data, passphrase, signAgainMs: 20 });
    const authority = new AuthorityClient(socketPathFor(data, 'authority'));
    const desk = new DeskClient(socketPathFor(data, 'authority'));
    context.after(async () => {
      authority.close();
      desk.close();
      await running.close();
    });
    const issuer = new X509Certificate(readFileSync(join(data, 'authority', 'operational.pem')));
    const secrets = await Promise.all(Array.from({ length: 6 }, () => secretOf(desk)));
    const keys = secrets.map(() => testKey());
    const ask = async (index: number) =>
      authority.issueBySecret({
        secret: secrets[index] ?? '',
        request: testRequest(keys[index] ?? testKey()),
        profile: 'ldevid',
      });
    const issued = async (index: number): Promise<void> => {
      let answer = await ask(index);
      while (!('certificate' in answer)) answer = await ask(index);
      assert.ok(new X509Certificate(answer.certificate).verify(issuer.publicKey));
    };
    await issued(0);

    renameSync(tokens, `${tokens}-away`);
    mkdirSync(tokens);
    const unavailable = {
      name: 'EnvironmentError',
      retryable: true,
      message: /PKCS#11 token ca is out of reach/,
    };
    // Under way at once: each is refused; asked again, each is promised.
    await Promise.all([1, 2, 3].map((index) => assert.rejects(ask(index), unavailable)));
    for (const index of [1, 2, 3]) assert.ok('retryAfterS' in (await ask(index)));
    assert.ok(!isRefusal(await authority.issueServer(testRequest(testKey()), ['localhost'])));

    rmSync(tokens, { recursive: true });
    renameSync(`${tokens}-away`, tokens);
    await issued(4);
    await Promise.all([1, 2, 3, 5].map(issued));
  },
);

test('P-384, Ed25519, ML-DSA and SLH-DSA authorities, and a second root: lints, openssl and fsck agree', async (context) => {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-algorithms-'));
  context.after(() => rmSync(data, { recursive: true, force: true }));
  const more: AuthorityRecord = {
    name: 'root-pq',
    role: 'root',
    algorithm: 'SLH-DSA-SHA2-128s',
    state: 'active',
  };
  const [root, ...others] = bookWith({
    factory: { algorithm: 'ecdsa-with-SHA384' },
    operational: { algorithm: 'ML-DSA-44' },
    server: { algorithm: 'Ed25519' },
  });
  assert.ok(root !== undefined);
  const authorities = [{ ...root, algorithm: 'ML-DSA-87' as const }, more, ...others];
  const options = { dataFolder: data, passphrase, organization, clock, costLog2: 4 };
  const { folder, database } = await initializeAuthority({ ...options, authorities });
  // Given again it finds everything; with another book it is refused.
  await initializeAuthority({ ...options, authorities });
  await assert.rejects(
    initializeAuthority({ ...options, authorities: defaultBook }),
    EnvironmentError,
  );
  const read = (name: string): X509Certificate =>
    new X509Certificate(readFileSync(join(folder, `${name}.pem`)));
  for (const name of ['factory', 'operational', 'server']) {
    assert.ok(read(name).verify(read('root').publicKey), name);
    assert.ok(read(name).checkIssued(read('root')));
    assert.ok(read(`${name}.under-root-pq`).verify(read('root-pq').publicKey), name);
  }
  const running = await startAuthority({ dataFolder: data, passphrase });
  const authority = new AuthorityClient(socketPathFor(data, 'authority'));
  const desk = new DeskClient(socketPathFor(data, 'authority'));
  const request = testRequest(testKey());
  const issued = await authority.issueBySecret({
    secret: await secretOf(desk),
    request,
    profile: 'ldevid',
  });
  assert.ok('certificate' in issued);
  assert.ok(new X509Certificate(issued.certificate).verify(read('operational').publicKey));
  const hierarchy = await authority.hierarchy();
  assert.deepEqual([hierarchy.roots.length, hierarchy.links.length], [2, 3]);
  authority.close();
  desk.close();
  await running.close();
  const issuers = new Map(
    authorities.map(({ name }) => [name, new Uint8Array(read(name).raw)] as const),
  );
  assert.deepEqual((await fsck({ snapshot: openSqliteSnapshot(database), issuers })).faults, []);
});

test('URIs of keys: what is missing, and no PIN in clear', () => {
  const good = 'pkcs11:token=my%20ca;object=op?module-path=/lib/m.so&pin-source=file:/run/pin';
  const uri = parseKeyUri(good);
  assert.deepEqual([uri.tokenLabel, uri.keyLabel, uri.pinSource], ['my ca', 'op', '/run/pin']);
  for (const text of [
    'token=ca',
    'pkcs11:object=op?module-path=/lib/m.so',
    'pkcs11:token=ca;object=op',
    'pkcs11:token=ca;token=b;object=op?module-path=/lib/m.so',
    'pkcs11:token=ca;object=op?module-path=/lib/m.so&pin-value=1234',
    'pkcs11:token=%zz;object=op?module-path=/lib/m.so',
  ]) {
    assert.throws(() => parseKeyUri(text), MalformedError, text);
  }
});
