/** The key of a root is in wrong hands: another one takes its place above the same authorities. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import {
  type AuthorityRecord,
  defaultBook,
  readBook,
  writeBook,
} from '../../src/apps/authority/book.ts';
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { answerLostAuthority, beginLostAuthority } from '../../src/apps/authority/lostKeys.ts';
import { announce, switchOver } from '../../src/apps/authority/rollover.ts';
import { useForLoss } from '../../src/apps/authority/rootUse.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { findExtension } from '../../src/wire/x509/extensions.ts';
import { committedSha256, hashOfRootKeyOid } from '../../src/wire/x509/hashOfRootKey.ts';
import { printName } from '../../src/wire/x509/names.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { begunAlone } from '../support/alone.ts';
import { assembled, birth } from '../support/issuing/assembled.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';
import { testKey, testRequest } from '../support/pki.ts';

const clock = { nowMs: Date.now };
const beside: AuthorityRecord = {
  name: 'root-beside',
  role: 'root',
  algorithm: 'ecdsa-with-SHA384',
  state: 'active',
};

test(
  'the next one, which the lost one has named, certifies the same keys; what they gave stays good',
  { skip: opensslMissing },
  async (context) => {
    const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-lost-root-'));
    context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
    const options = { dataFolder, passphrase: 'for tests only', clock };
    const [first, ...others] = defaultBook;
    assert.ok(first);
    const authorities = [first, beside, ...others];
    const begin = { ...options, organization: 'Maker', commitNextRoot: true, costLog2: 4 };
    await initializeAuthority({ ...begin, authorities });
    const paths = authorityPaths(dataFolder);
    const read = (name: string): Promise<Uint8Array> => readCertificateFile(paths, name);
    const verifies = async (leaf: Uint8Array, above: string, root: string): Promise<string> => {
      const files = {
        leaf: encodePem('CERTIFICATE', leaf),
        above: encodePem('CERTIFICATE', await read(above)),
        root: encodePem('CERTIFICATE', await read(root)),
      };
      return withFiles(files, (path) => {
        const words = ['verify', '-CAfile', path('root'), '-untrusted', path('above')];
        return openssl(...words, path('leaf')).output;
      });
    };
    const [born] = await assembled(options, (parts) => birth(parts, 'thing', 'b-1'));
    assert.match(await verifies(born, 'factory', 'root'), /leaf: OK/);

    const loss = { ...options, reason: 'the safe was opened' };
    const one = await withCasesAtRest(loss, (desk) => beginLostAuthority(desk, loss, 'root'));
    await assert.rejects(startAuthority(options), /the key of root is lost/);
    const use = await useForLoss(loss, one);
    assert.deepEqual(
      use.certificates.map(({ profile, name }) => `${profile}: ${name}`),
      [
        'root: Maker Root 2',
        'issuing-factory: Maker Factory',
        'issuing: Maker Operational',
        'issuing-server: Maker Servers',
      ],
    );
    // Another key than the one that was approved is certified by nobody.
    const [next, ...rest] = use.certificates;
    assert.ok(next);
    const other = { ...use, certificates: [next, ...rest.slice(1)] };
    await assert.rejects(
      answerLostAuthority(loss, 'root', await begunAlone('root.use', other)),
      /another key, name or profile of factory was approved/,
    );
    const { waitsFor } = await answerLostAuthority(loss, 'root', await begunAlone('root.use', use));
    assert.equal(waitsFor, undefined);

    const book = await readBook(paths);
    assert.deepEqual(
      book.filter(({ role }) => role === 'root').map(({ name, state }) => `${name} ${state}`),
      ['root removed', 'root-2 active', 'root-beside active'],
    );
    const committed = findExtension(
      parseCertificate(await read('root')).extensions,
      hashOfRootKeyOid,
    );
    assert.deepEqual(
      committedSha256(committed?.value ?? new Uint8Array(0)),
      nodeCrypto.hash('SHA-256', parseCertificate(await read('root-2')).publicKey.spki),
    );
    assert.match(await verifies(born, 'factory', 'root-2'), /leaf: OK/);
    assert.match(await verifies(born, 'factory.under-root-beside', 'root-beside'), /leaf: OK/);
    assert.doesNotMatch(await verifies(born, 'factory', 'root'), /leaf: OK/);
    const links = readdirSync(paths.folder).filter((file) => file.includes('.under-'));
    assert.ok(
      links.every((file) => file.endsWith('.under-root-beside.pem')),
      links.join(),
    );

    // It serves, and what comes next is certified by the next root.
    const running = await startAuthority(options);
    const client = new AuthorityClient(socketPathFor(dataFolder, 'authority'));
    const { roots } = await client.hierarchy();
    assert.deepEqual(
      roots.map((der) => printName(parseCertificate(der).subject)),
      ['CN=Maker Root 2,O=Maker', 'CN=Maker Root beside,O=Maker'],
    );
    const issued = await client.issueServer(testRequest(testKey()), ['localhost']);
    assert.ok(!isRefusal(issued));
    client.close();
    await running.close();
    const operational = { role: 'operational' };
    await announce(options, await begunAlone('authority.announce', operational));
    await switchOver(options, await begunAlone('authority.switch', operational));
    assert.match(await verifies(await read('operational-2'), 'root-2', 'root-2'), /leaf: OK/);

    const issuers = new Map<string, Uint8Array>();
    for (const { name } of book) issuers.set(name, await read(name));
    issuers.set('operational-2', await read('operational-2'));
    const report = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
    assert.deepEqual(report.faults, []);
  },
);

test('of a root on another machine people make the next one; nothing is begun here', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-lost-root-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase: 'for tests only', clock };
  const away = defaultBook.map((record) =>
    record.role === 'root' ? { ...record, key: 'offline' } : record,
  );
  await initializeAuthority({ ...options, organization: 'Maker', costLog2: 4 });
  await writeBook(authorityPaths(dataFolder), away);
  await assert.rejects(
    replaceLost({ ...options, reason: 'lost' }, 'root'),
    /the root is on another machine/,
  );
  await (await startAuthority(options)).close();
});
