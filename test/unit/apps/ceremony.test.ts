/** The ceremony: what a plan may say, what the transcript says, and that it can be held again. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityPaths } from '../../../src/apps/authority/authorityFolder.ts';
import { defaultBook } from '../../../src/apps/authority/book.ts';
import { describePlan, holdCeremony, parseCeremony } from '../../../src/apps/authority/ceremony.ts';
import { initializeAuthority } from '../../../src/apps/authority/initialize.ts';
import { openAuthorityStores } from '../../../src/apps/authority/stores.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { encodePem } from '../../../src/wire/x509/pem.ts';
import { startMs, testSigner } from '../../support/issuing/world.ts';
import { requestOf } from '../../support/twoPersons.ts';

const clock = { nowMs: () => startMs };
const plan = {
  organization: 'Example Sensors',
  eui64: '0200000000000000',
  present: ['Ada, holds the passphrase', 'Bob, watches'],
  authorities: defaultBook.map((record) =>
    record.role === 'root' ? { ...record, algorithm: 'ecdsa-with-SHA384' } : record,
  ),
  twoPersons: { massLimit: 20, admins: { ada: requestIn(), bob: requestIn() } },
};

/** PEM of a request for a new key. */
function requestIn(): string {
  return encodePem('CERTIFICATE REQUEST', requestOf(testSigner()));
}

test('the transcript names every certificate as it is in the folder, and everybody present', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-ceremony-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase: 'correct horse', clock, costLog2: 4 };
  const read = parseCeremony(JSON.stringify(plan));
  assert.match(describePlan(read).join('\n'), /root: ecdsa-with-SHA384, key in an encrypted file/);
  const lines = await holdCeremony(read, options);
  const text = lines.join('\n');
  for (const name of ['root', 'factory', 'operational', 'server', 'manifest']) {
    const pem = readFileSync(join(dataFolder, 'authority', `${name}.pem`));
    const sha256 = new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase();
    assert.ok(text.includes(`${name}.pem`) && text.includes(sha256), name);
  }
  for (const person of plan.present) assert.ok(text.includes(person));
  assert.match(text, /Two persons for dangerous acts, the first admins:\n  ada .*\n  bob /);
  assert.ok(!text.includes('correct horse'));
  assert.deepEqual(await holdCeremony(read, options), lines);
  const others = [{ authorities: undefined }, { organization: 'Other' }, { eui64: '02'.repeat(8) }];
  for (const change of others) {
    const other = parseCeremony(JSON.stringify({ ...plan, ...change }));
    await assert.rejects(holdCeremony(other, options), EnvironmentError);
  }
  const eve = parseCeremony(JSON.stringify({ ...plan, present: ['Eve, in place of Ada'] }));
  const again = (await holdCeremony(eve, options)).join('\n');
  assert.match(again, /Present:\n {2}Eve, in place of Ada/);
  assert.ok(!again.includes('Bob, watches'));
});

test('where two persons are needed, no second ceremony signs with a root', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-ceremony-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase: 'correct horse', clock, costLog2: 4 };
  const { organization } = plan;
  const twoYearsMs = 2 * 365 * 86_400_000;
  const leaves = async (): Promise<number> => {
    const stores = await openAuthorityStores(authorityPaths(dataFolder), undefined);
    try {
      return await stores.audit.countLeaves();
    } finally {
      await stores.close();
    }
  };
  await holdCeremony(parseCeremony(JSON.stringify(plan)), options);
  const before = await leaves();
  // Its list is long due, and an authority stands in the book that nobody has allowed.
  const later = { ...options, clock: { nowMs: () => startMs + twoYearsMs } };
  const path = join(dataFolder, 'authority', 'authorities.json');
  const serves = { products: ['x'], batches: [] };
  const more = { ...defaultBook[1], name: 'factory-x', serves };
  writeFileSync(path, readFileSync(path, 'utf8').replace(/\]\s*$/, `,${JSON.stringify(more)}]`));
  await initializeAuthority({ ...later, organization });
  assert.equal(await leaves(), before);
  assert.ok(!existsSync(join(dataFolder, 'authority', 'factory-x.pem')));
});

/** Four signatures a second are for roots alone. */
function withSlhDsa<Record extends object>(record: Record): Record & { algorithm: string } {
  return { ...record, algorithm: 'SLH-DSA-SHA2-128s' };
}

test('a plan with a slip is refused before anything is made', () => {
  const [root, ...others] = plan.authorities;
  const slips: readonly object[] = [
    { ...plan, organization: '' },
    { ...plan, organization: 'two\nlines' },
    { ...plan, organisation: 'Example Sensors' },
    { ...plan, eui64: '02' },
    { ...plan, present: 'Ada' },
    { ...plan, present: [1] },
    { ...plan, twoPersons: { admins: { ada: 'no request' } } },
    { ...plan, twoPersons: { admins: [], limit: 3 } },
    { ...plan, twoPersons: { massLimit: 'many', admins: {} } },
    { ...plan, authorities: others },
    { ...plan, authorities: [root, root, ...others] },
    { ...plan, authorities: [{ ...root, state: 'retired' }, ...others] },
    { ...plan, authorities: [{ ...root, algorithm: 'RSA' }, ...others] },
    { ...plan, authorities: [{ ...root, key: 'pkcs11:token=ca' }, ...others] },
    { ...plan, authorities: [root, ...others.map(withSlhDsa)] },
    { ...plan, authorities: [root, ...others.map((one) => ({ ...one, key: 'offline' }))] },
  ];
  for (const slip of slips) {
    assert.throws(() => parseCeremony(JSON.stringify(slip)), MalformedError, JSON.stringify(slip));
  }
  assert.throws(() => parseCeremony('{'), MalformedError);
});
