/** The authority's process over its socket: what it issues, as openssl and node see it. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { type RunningAuthority, startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { isEndorsed, readEndorseAnswer } from '../../src/wire/line/endorsement.ts';
import { readOpenAnswer } from '../../src/wire/line/opening.ts';
import { noExpirationMs } from '../../src/wire/der/time.ts';
import { encodeCertificate, encodeTbsCertificate } from '../../src/wire/x509/certificateWriter.ts';
import { encodeSignatureAlgorithm } from '../../src/wire/x509/algorithms.ts';
import * as ext from '../../src/wire/x509/extensions.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';
import {
  requestOf,
  testElement,
  type TestElement,
  TestStation,
  unitRequest,
} from '../support/issuing/station.ts';
import { testSigner } from '../support/issuing/world.ts';

const passphrase = 'correct horse battery';
const organization = 'Test & Söhne';

interface Installation {
  readonly dataFolder: string;
  readonly running: RunningAuthority;
  readonly client: AuthorityClient;
}

async function installation(context: TestContext): Promise<Installation> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-authority-'));
  const clock = { nowMs: Date.now };
  const options = { dataFolder, passphrase, organization, clock, costLog2: 4 };
  await initializeAuthority(options);
  // What is there stays: a second call makes nothing anew.
  const root = readFileSync(join(dataFolder, 'authority', 'root.pem'));
  await initializeAuthority(options);
  assert.deepEqual(readFileSync(join(dataFolder, 'authority', 'root.pem')), root);
  const running = await startAuthority({ dataFolder, passphrase });
  const client = new AuthorityClient(running.socketPath);
  context.after(async () => {
    client.close();
    await running.close();
    rmSync(dataFolder, { recursive: true });
  });
  return { dataFolder, running, client };
}

function pems(certificates: readonly Uint8Array[]): string {
  return certificates.map((certificate) => encodePem('CERTIFICATE', certificate)).join('');
}

/** openssl's verdict on a chain, leaf first. */
async function verdict(
  client: AuthorityClient,
  chain: readonly Uint8Array[],
  ...options: readonly string[]
): Promise<string> {
  const { roots } = await client.hierarchy();
  const [leaf, ...issuers] = chain;
  assert.ok(leaf);
  return withFiles(
    { 'root.pem': pems(roots), 'issuers.pem': pems(issuers), 'leaf.pem': pems([leaf]) },
    (path) =>
      openssl(
        'verify -x509_strict -purpose any',
        ...options,
        `-CAfile ${path('root.pem')} -untrusted ${path('issuers.pem')} ${path('leaf.pem')}`,
      ).output,
  );
}

async function endorsedElements(
  { client }: Installation,
  count: number,
): Promise<
  ReadonlyArray<{ element: TestElement; chain: readonly Uint8Array[]; deviceId: string }>
> {
  const order = await client.createOrder({
    order: 'order-1',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: 'S-1',
    quantity: count,
    leastProof: 'line-anchored',
  });
  assert.ok(!isRefusal(order));
  const signer = testSigner();
  const nowMs = Date.now();
  const ticket = await client.issueTicket({
    batch: 'order-1',
    count,
    stationKeySpki: signer.publicKeySpki,
    notBeforeMs: nowMs - 1000,
    notAfterMs: nowMs + 600_000,
  });
  assert.ok(!isRefusal(ticket));
  const { orderKeySpki, factory } = await client.hierarchy();
  const line = { answer: client.post.bind(client) };
  const orderKey = { ...signer, publicKeySpki: orderKeySpki };
  const station = new TestStation(line, orderKey, ticket.signed, signer);
  const opening = readOpenAnswer(await station.ask('open', station.openRequest()));
  const elements = Array.from({ length: count }, (_, index) => testElement(`element ${index}`));
  const units = await Promise.all(elements.map((one) => unitRequest(one, opening)));
  const answer = readEndorseAnswer(await station.ask('endorse', station.endorseRequest(units)));
  assert.deepEqual(answer.chain, factory);
  await station.report(elements.map((element) => [element, 'locked'] as const));
  await station.close({ issued: count, released: count, scrapped: 0, returned: 0 });
  return answer.units.map((unit, index) => {
    const element = elements[index];
    assert.ok(element && isEndorsed(unit));
    return { element, chain: [unit.certificate, ...answer.chain], deviceId: unit.deviceId };
  });
}

test(
  'every kind of certificate verifies with openssl',
  { skip: opensslMissing },
  async (context) => {
    const here = await installation(context);
    const { client } = here;
    const identity = Uint8Array.of(0xa1, 1, 2);
    await client.publishServerIdentity(identity);
    const server = await client.issueServer(await requestOf(testSigner()), [
      'a.example',
      '127.0.0.1',
    ]);
    assert.ok(!isRefusal(server));
    assert.match(await verdict(client, server.chain, '-verify_hostname a.example'), /leaf.pem: OK/);
    assert.match(await verdict(client, server.chain, '-verify_ip 127.0.0.1'), /leaf.pem: OK/);
    assert.match(await verdict(client, server.chain, '-verify_hostname b.example'), /mismatch/);
    for (const kind of ['application', 'operator'] as const) {
      const issued = await client.issueClient(kind, `the-${kind}`, await requestOf(testSigner()));
      assert.ok(!isRefusal(issued));
      assert.match(await verdict(client, issued.chain), /leaf.pem: OK/);
      const [leaf] = issued.chain;
      assert.ok(leaf);
      assert.deepEqual(new X509Certificate(leaf).keyUsage, ['1.3.6.1.5.5.7.3.2']);
    }
    const station = await client.enrolStation('station-1', await requestOf(testSigner()));
    assert.ok(!isRefusal(station));
    assert.match(await verdict(client, station.chain), /leaf.pem: OK/);
    const [first] = await endorsedElements(here, 3);
    assert.ok(first);
    assert.match(await verdict(client, first.chain), /leaf.pem: OK/);
    const [leaf] = first.chain;
    assert.ok(leaf);
    const { subject, validTo } = new X509Certificate(leaf);
    assert.equal(subject, `O=${organization}\nserialNumber=${first.deviceId}`);
    assert.match(validTo, /9999/);
    assert.match(await verdict(client, first.chain, '-verify_hostname a.example'), /mismatch/);
    // At the close the authority publishes the manifest for the provisioner.
    const closed = await client.closeBatch('order-1');
    assert.ok(!isRefusal(closed));
    const [manifest] = await client.manifestsAfter(0);
    assert.equal(manifest?.sequence, 1);
    const entries = JSON.parse(Buffer.from(manifest?.bytes ?? []).toString('utf8')) as unknown[];
    assert.equal(entries.length, 3);
    assert.deepEqual(await client.manifestsAfter(1), []);
  },
);

test(
  'no certificate under the factory can name a host',
  { skip: opensslMissing },
  async (context) => {
    const { client, dataFolder } = await installation(context);
    const { factory } = await client.hierarchy();
    const [factoryCertificate] = factory;
    assert.ok(factoryCertificate);
    // The factory's own key, abused: what the lints would never let pass.
    const keys = await KeyFolder.open({ folder: authorityPaths(dataFolder).keys, passphrase });
    const signer = await keys.signer('factory');
    const signatureAlgorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
    for (const name of [
      { kind: 'dNSName', text: 'a.example' },
      { kind: 'iPAddress', address: Uint8Array.of(127, 0, 0, 1) },
      { kind: 'uniformResourceIdentifier', text: 'https://a.example/' },
    ] as const) {
      const tbs = encodeTbsCertificate({
        serialNumber: Uint8Array.of(1, 2, 3),
        signatureAlgorithm,
        issuer: parseCertificate(factoryCertificate).subject.der,
        notBeforeMs: Date.now() - 1000,
        notAfterMs: noExpirationMs,
        subject: encodeName(['organizationName', organization], ['commonName', 'a.example']),
        spki: testSigner().publicKeySpki,
        extensions: [
          ext.encodeExtension(ext.keyUsage('digitalSignature')),
          ext.encodeExtension(ext.subjectAltName([name])),
        ],
      });
      const leaf = encodeCertificate(tbs, signatureAlgorithm, await signer.sign(tbs));
      const said = await verdict(client, [leaf, factoryCertificate]);
      assert.match(
        said,
        /excluded subtree violation|permitted subtree violation|unsupported name constraint/,
        name.kind,
      );
    }
  },
);

test('the socket is for one user, the folder for one process, the passphrase for who knows it', async (context) => {
  const { dataFolder, running, client } = await installation(context);
  assert.equal(statSync(running.socketPath).mode & 0o777, 0o600);
  await assert.rejects(
    startAuthority({ dataFolder, passphrase }),
    (error) => error instanceof EnvironmentError && /in use by process/.test(error.message),
  );
  const status = await client.status();
  assert.equal(status.organization, organization);
  assert.equal(status.issued, 5);
  await running.close();
  await assert.rejects(client.status(), /cannot be reached/);
  await assert.rejects(
    startAuthority({ dataFolder, passphrase: 'another passphrase' }),
    /the passphrase is wrong/,
  );
  await assert.rejects(
    startAuthority({ dataFolder: join(dataFolder, 'none'), passphrase }),
    /holds no authority: see birthmark ca init/,
  );
  // A wrong start leaves the folder free for the right one.
  const again = await startAuthority({ dataFolder, passphrase });
  await again.close();
});

test('the record of a process that worked adds up', async (context) => {
  const here = await installation(context);
  await here.client.publishServerIdentity(Uint8Array.of(0xa1));
  await endorsedElements(here, 7);
  const paths = authorityPaths(here.dataFolder);
  const issuers = new Map(
    ['root', 'factory', 'operational', 'server'].map((role) => {
      const pem = readFileSync(join(paths.folder, `${role}.pem`));
      return [role, new Uint8Array(new X509Certificate(pem).raw)];
    }),
  );
  // Beside the running process.
  const report = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
  assert.deepEqual(report.faults, []);
  assert.equal(report.units, 7);
});
