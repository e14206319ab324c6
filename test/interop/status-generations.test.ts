/** Status after a change of keys: certificates of both generations, judged by openssl, gnutls and strongSwan. */
import { begunAlone } from '../support/alone.ts';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { announce, remove, switchOver } from '../../src/apps/authority/rollover.ts';
import { parseCertificateList, revokedEntries } from '../../src/wire/crl/certificateList.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { faultsIn } from '../support/checked.ts';
import { opensslMissing } from '../support/openssl.ts';
import { placesOf, run } from '../support/statusPeers.ts';
import {
  allowed,
  fetchPlain,
  houseBase,
  housePassphrase,
  pem,
  type StatusHouse,
  statusHouse,
  until,
} from '../support/statusHouse.ts';

const missing = [
  ['certtool', '--version', 'gnutls-bin'],
  ['ocsptool', '--version', 'gnutls-bin'],
  ['pki', '--help', 'strongswan-pki'],
].find(([command = '', option = '']) => spawnSync(command, [option]).error !== undefined);
const skip =
  opensslMissing === false && missing !== undefined
    ? `needs ${missing[0]} (Debian package ${missing[2]})`
    : opensslMissing;

/** A certificate and what it takes to judge it, as files. */
class Subject {
  readonly house: StatusHouse;
  readonly leaf: Uint8Array;
  readonly path: (name: string) => string;
  readonly list: string;
  readonly responder: string;
  readonly issuer: string;

  constructor(context: TestContext, house: StatusHouse, chain: readonly Uint8Array[]) {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-peers-'));
    context.after(() => rmSync(folder, { recursive: true }));
    const [leaf, issuer] = chain;
    assert.ok(leaf && issuer);
    this.house = house;
    this.leaf = leaf;
    this.path = (name) => join(folder, name);
    const places = placesOf(leaf);
    assert.ok(places.every((place) => place.startsWith(houseBase)));
    [this.list, this.responder, this.issuer] = places;
    writeFileSync(this.path('leaf.pem'), pem(leaf));
    writeFileSync(this.path('issuer.pem'), pem(issuer));
  }

  here(url: string): string {
    return url.replace(houseBase, this.house.url);
  }

  async fetchLists(): Promise<number> {
    const { body, status } = await fetchPlain(this.here(this.list));
    if (status !== 200) return -1;
    const root = await fetchPlain(`${this.house.url}/crl/root/0.crl`);
    const { roots } = await this.house.issuing.hierarchy();
    writeFileSync(this.path('root.pem'), pem(roots[0]));
    for (const [name, der] of [
      ['shard', body],
      ['root', root.body],
    ] as const) {
      writeFileSync(this.path(`${name}.der`), der);
      await run(
        'openssl',
        'crl -inform DER -in',
        this.path(`${name}.der`),
        '-out',
        this.path(`${name}.crl`),
      );
    }
    return [...revokedEntries(parseCertificateList(body))].length;
  }

  /** What each of them says, in its words. */
  async verdicts(): Promise<Readonly<Record<'verify' | 'ocsp' | 'gnutls' | 'swan', string>>> {
    const { path } = this;
    return {
      verify: await run(
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
      ),
      ocsp: await run(
        'openssl',
        'ocsp -issuer',
        path('issuer.pem'),
        '-cert',
        path('leaf.pem'),
        '-url',
        this.here(this.responder),
        '-CAfile',
        path('root.pem'),
        '-verify_other',
        path('issuer.pem'),
      ),
      gnutls: await run(
        'ocsptool',
        `--ask=${this.here(this.responder)}`,
        '--load-cert',
        path('leaf.pem'),
        '--load-issuer',
        path('issuer.pem'),
        '--load-trust',
        path('issuer.pem'),
      ),
      swan: await run(
        'pki',
        '--verify --in',
        path('leaf.pem'),
        '--cacert',
        path('issuer.pem'),
        '--cacert',
        path('root.pem'),
        '--crl',
        path('shard.der'),
        '--crl',
        path('root.der'),
      ),
    };
  }

  async revoke(): Promise<void> {
    const sha256 = createHash('sha256').update(this.leaf).digest('hex');
    allowed(await this.house.operator.revokeCertificate(sha256, 'lost'));
  }
}

async function rollOver(dataFolder: string): Promise<void> {
  const office = { dataFolder, passphrase: housePassphrase, clock };
  await announce(office, await begunAlone('authority.announce', { role: 'server' }));
  await switchOver(office, await begunAlone('authority.switch', { role: 'server' }));
}

/** What openssl says of the certificate and the staple of a door of ours. */
async function staple({ house, path }: Subject): Promise<string> {
  let output = '';
  // Nobody waits for an answer in a handshake: the first client gets none.
  await until(async () => {
    const door = `127.0.0.1:${house.provisioner.ports.api}`;
    const root = path('root.pem');
    output = await run('openssl', `s_client -connect ${door} -status -CAfile`, root);
    return output.includes('OCSP Response Status: successful');
  });
  return output;
}

async function rolledOver(context: TestContext): Promise<{ house: StatusHouse; all: Subject[] }> {
  const house = await statusHouse(context);
  const enrol = async (name: string): Promise<Subject> =>
    new Subject(context, house, await house.enrol(name));
  const all = [await enrol('before')];
  await house.closeAuthority();
  await rollOver(house.dataFolder);
  await house.startAuthority();
  all.push(await enrol('after'));
  return { house, all };
}

const clock = { nowMs: Date.now };

test('both generations have lists and answers of their own keys', { skip }, async (context) => {
  const { house, all } = await rolledOver(context);
  assert.deepEqual(
    all.map(({ responder, issuer }) => [responder, issuer]),
    [
      [`${houseBase}/ocsp/server`, `${houseBase}/ca/server.cer`],
      [`${houseBase}/ocsp/server-2`, `${houseBase}/ca/server-2.cer`],
    ],
  );
  for (const one of all) {
    await until(async () => (await one.fetchLists()) === 0);
    const { issuer } = parseCertificate(one.leaf);
    const above = parseCertificate((await fetchPlain(one.here(one.issuer))).body);
    assert.deepEqual(above.subject.der, issuer.der);
    const good = await one.verdicts();
    assert.match(good.verify, /leaf\.pem: OK/);
    assert.match(good.ocsp, /leaf\.pem: good[\s\S]*Response verify OK/);
    assert.match(good.gnutls, /Certificate Status: good[\s\S]*Verifying OCSP Response: Success/);
    assert.match(good.swan, /certificate trusted, lifetimes valid, certificate not revoked/);
    await one.revoke();
    await until(async () => (await one.fetchLists()) === 1);
    const revoked = await one.verdicts();
    assert.match(revoked.verify, /certificate revoked/);
    assert.match(revoked.ocsp, /leaf\.pem: revoked[\s\S]*Response verify OK/);
    assert.match(revoked.gnutls, /Certificate Status: revoked[\s\S]*Verifying OCSP Response: Succ/);
    assert.match(revoked.swan, /revoked/);
    const printed = await run('pki', '--print --type crl --in', one.path('shard.der'));
    assert.match(printed, new RegExp(`issuer:\\s+"O=Test, CN=Test Servers"`));
    assert.match(printed, /1 revoked certificate:/);
    const verified = await run(
      'certtool',
      '--verify-crl --load-ca-certificate',
      one.path('issuer.pem'),
      '--infile',
      one.path('shard.crl'),
    );
    assert.match(verified, /Verified\./);
  }
  // Nobody's list vouches for the other's certificates: the keys differ though the name is one.
  const [before, after] = all;
  assert.ok(before && after);
  // The doors still show what the retired key has issued.
  assert.match(await staple(before), /Cert Status: good[\s\S]*Verify return code: 0 \(ok\)/);
  const crossed = await run(
    'openssl',
    'crl -in',
    before.path('shard.crl'),
    '-noout -CAfile',
    after.path('issuer.pem'),
  );
  assert.match(crossed, /verify failure/);

  await house.closeAuthority();
  await remove(
    { dataFolder: house.dataFolder },
    await begunAlone('authority.remove', { role: 'server' }),
  );
  await house.startAuthority();
  // Its certificate stays where others look for it; what it said last stays until it ends.
  assert.equal((await fetchPlain(before.here(before.issuer))).status, 200);
  assert.equal((await fetchPlain(before.here(before.list))).status, 200);
  assert.deepEqual(await faultsIn(house.dataFolder), []);
});

test('doors with a certificate of the next key staple its answers', { skip }, async (context) => {
  const house = await statusHouse(context, {}, rollOver);
  const one = new Subject(context, house, await house.enrol('dashboard'));
  assert.equal(one.responder, `${houseBase}/ocsp/server-2`);
  await until(async () => (await one.fetchLists()) === 0);
  assert.match(await staple(one), /Cert Status: good[\s\S]*Verify return code: 0 \(ok\)/);
});
