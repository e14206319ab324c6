/** Lost keys, drilled: each step cut short and taken again, what falls, who comes back, and how fast. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import { countFollowers } from '../../src/apps/authority/compromise.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import {
  answerLostResponder,
  type Answered,
  type LossOptions,
} from '../../src/apps/authority/lostKeys.ts';
import { announce } from '../../src/apps/authority/rollover.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { StatusClient } from '../../src/drivers/links/local/statusClient.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { isRefusal, type Refusal } from '../../src/trust/ports/faults.ts';
import { caseDocument, type LossCase, parseCase } from '../../src/trust/ports/lossCase.ts';
import type { LdevidOutcome } from '../../src/trust/ports/enrolment.ts';
import { encodeCertId, encodeOcspRequest } from '../../src/wire/ocsp/request.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { begunAlone } from '../support/alone.ts';
import { replaceLost, replaceLostLog } from '../support/lostAuthority.ts';
import { openssl, opensslMissing } from '../support/openssl.ts';
import { pki } from '../support/peers.ts';
import { testKey, testRequest } from '../support/pki.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const organization = 'Maker';

interface House extends LossOptions {
  readonly folder: string;
  readonly database: string;
  readonly file: (name: string) => string;
  readonly certificate: (name: string) => X509Certificate;
  readonly setMs: (nowMs: number) => void;
  readonly serve: <Value>(use: (clients: Clients) => Promise<Value>) => Promise<Value>;
}

interface Clients {
  readonly authority: AuthorityClient;
  readonly desk: DeskClient;
}

async function open(context: TestContext): Promise<House> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-lost-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const passphrase = 'correct horse';
  let shiftMs = 0;
  const clock = { nowMs: () => Date.now() + shiftMs };
  const options = { dataFolder, passphrase, clock, reason: 'a backup was stolen' };
  const status = { baseUrl: 'http://status.example', shards: 1 };
  const paths = await initializeAuthority({ ...options, organization, status, costLog2: 4 });
  const file = (name: string): string => join(paths.folder, name);
  return {
    ...options,
    folder: paths.folder,
    database: paths.database,
    file,
    certificate: (name) => new X509Certificate(readFileSync(file(`${name}.pem`))),
    setMs: (aheadMs) => {
      shiftMs = aheadMs;
    },
    serve: async (use) => {
      const running = await startAuthority({ dataFolder, passphrase, clock, publishEveryMs: 20 });
      const socket = socketPathFor(dataFolder, 'authority');
      const clients = { authority: new AuthorityClient(socket), desk: new DeskClient(socket) };
      try {
        return await use(clients);
      } finally {
        clients.authority.close();
        clients.desk.close();
        await running.close();
      }
    },
  };
}

/** Each step is begun and cut short once, then taken. */
async function cutAtEveryStep(
  house: House,
  answer: (options: LossOptions) => Promise<Answered>,
  between: (step: string) => Promise<void> = () => Promise.resolve(),
): Promise<Answered> {
  const cut = new Set<string>();
  for (;;) {
    try {
      return await answer({
        ...house,
        onStep: (name) => {
          if (cut.has(name)) return;
          cut.add(name);
          throw new Error(`cut before ${name}`);
        },
      });
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('cut before')) throw error;
      await between(error.message.slice('cut before '.length));
    }
  }
}

/** The process dies behind the act of a step, before the case says that it was done. */
async function forgetStep({ database: path }: House, name: string, step: string): Promise<void> {
  const [one] = await selectCases(path, name);
  assert.ok(one !== undefined);
  const steps = one.steps.map((each) => (each.name === step ? { name: step } : each));
  assert.notDeepEqual(steps, one.steps, step);
  withDatabase(path, (database) =>
    database
      .prepare('UPDATE loss_cases SET document = ? WHERE name = ?')
      .run(caseDocument({ ...one, steps }), name),
  );
}

function withDatabase(path: string, use: (database: DatabaseSync) => unknown): void {
  const database = new DatabaseSync(path);
  try {
    use(database);
  } finally {
    database.close();
  }
}

async function selectCases(path: string, name = '%'): Promise<readonly LossCase[]> {
  const snapshot = openSqliteSnapshot(path);
  const found: LossCase[] = [];
  const select = 'SELECT document FROM loss_cases WHERE name LIKE $1';
  for await (const row of snapshot.rows(select, name)) {
    found.push(parseCase(String(row['document'])));
  }
  await snapshot.close();
  return found;
}

function closeCase(house: House, name: string): Promise<LossCase | Refusal<string>> {
  return withCasesAtRest(house, (desk) => desk.closeCase(name, house.clock.nowMs()));
}

const devices = [1, 2, 3].map(deviceIdOf);
const births = new Map(devices.map((deviceId) => [deviceId, pki.idevid(deviceId)]));

function enrolBorn({ authority }: Clients, deviceId: string): Promise<LdevidOutcome> {
  const identity = births.get(deviceId) ?? pki.idevid(deviceId);
  return authority.issueLdevid({
    deviceId,
    authenticatedBy: identity.certificate.der,
    issuers: identity.chain.slice(1),
    product: 'meter',
    request: testRequest(testKey()),
    profile: 'ldevid',
  });
}

test(
  'operational: replaced, revoked and listed through every crash; devices come back at the pace that was set',
  { skip: opensslMissing },
  async (context) => {
    const house = await open(context);
    const fallen: Uint8Array[] = [];
    await house.serve(async (clients) => {
      const anchor = { product: 'meter', certificate: pki.factory.certificate.der, count: 10 };
      assert.ok(!isRefusal(await clients.desk.pin(anchor)));
      for (const deviceId of devices) {
        const issued = await enrolBorn(clients, deviceId);
        assert.ok('certificate' in issued, JSON.stringify(issued));
        fallen.push(issued.certificate);
      }
      const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 60_000 };
      const created = await clients.desk.createSecret(order);
      assert.ok(!isRefusal(created));
      const request = {
        secret: created.secret,
        request: testRequest(testKey()),
        profile: 'ldevid',
      };
      assert.ok('certificate' in (await clients.authority.issueBySecret(request)));
    });
    const answered = await cutAtEveryStep(
      { ...house, perSecond: 0.5 },
      async (options) => replaceLost(options, 'operational'),
      async (step) => {
        // Until its place is taken nothing here signs with the lost key.
        if (step === 'successor' || step === 'replaced') {
          await assert.rejects(startAuthority(house), /the key of operational is lost/);
        }
      },
    );
    assert.equal(answered.waitsFor, undefined);
    assert.deepEqual(await fallenAndBack(house, answered), { fallen: 4, followed: 0, missing: 4 });
    // What was done and not written down is done again, and nothing changes by it.
    for (const step of ['successor', 'replaced', 'revoked', 'listed']) {
      await forgetStep(house, 'operational', step);
      await replaceLost(house, 'operational');
    }
    const states = (await readBook(authorityPaths(house.dataFolder))).map(
      ({ name, state }) => `${name} ${state}`,
    );
    assert.ok(states.includes('operational removed') && states.includes('operational-2 active'));
    assert.ok(!existsSync(house.file('operational.under-operational-2.pem')), 'no way back to it');
    await assertRevokedForOpenssl(house, fallen[0]);

    await house.serve(async (clients) => {
      const { operational } = await clients.authority.hierarchy();
      assert.deepEqual(operational, [new Uint8Array(house.certificate('operational-2').raw)]);
      await comeBack(house, clients);
    });
    const after = await fallenAndBack(house, answered);
    // The one that came with a secret was born with nothing.
    assert.deepEqual(after, { fallen: 4, followed: 3, missing: 1 });
    const closed = await closeCase(house, 'operational');
    assert.deepEqual(await closeCase(house, 'operational'), closed);
    await house.serve(async (clients) => {
      for (const deviceId of devices) {
        assert.ok('certificate' in (await enrolBorn(clients, deviceId)));
      }
    });
    await assertSound(house);
    // A new root vouches for what is believed, not for what was given up.
    await announce(house, await begunAlone('authority.announce', { role: 'root' }));
    assert.ok(existsSync(house.file('operational-2.under-root-2.pem')));
    assert.ok(!existsSync(house.file('operational.under-root-2.pem')));
  },
);

/** At one device in two seconds: each is told its own time, and let in then. */
async function comeBack(house: House, clients: Clients): Promise<void> {
  const waits: number[] = [];
  for (const deviceId of devices) {
    const outcome = await enrolBorn(clients, deviceId);
    waits.push('retryAfterS' in outcome ? outcome.retryAfterS : 0);
  }
  assert.equal(waits[0], 0);
  assert.ok(
    waits.every((wait, at) => at === 0 || wait >= (waits[at - 1] ?? 0)),
    waits.join(),
  );
  assert.ok((waits.at(-1) ?? 0) > 0);
  for (const [at, deviceId] of devices.entries()) {
    const wait = waits[at] ?? 0;
    if (wait === 0) continue;
    house.setMs(wait * 1000);
    const outcome = await enrolBorn(clients, deviceId);
    assert.ok('certificate' in outcome, JSON.stringify(outcome));
  }
}

async function fallenAndBack(
  house: House,
  { case: one }: Answered,
): Promise<{ fallen: number; followed: number; missing: number }> {
  const { subject, successor = '', openedMs } = one;
  const span = { lost: subject, successor, sinceMs: openedMs };
  const { missing, ...counts } = await countFollowers(openSqliteSnapshot(house.database), span);
  return { ...counts, missing: missing.length };
}

/** With the lists that are published, openssl believes neither the authority nor what it gave. */
async function assertRevokedForOpenssl(house: House, leaf: Uint8Array | undefined): Promise<void> {
  const stores = await openAuthorityStores(authorityPaths(house.dataFolder), undefined);
  const lists = await Promise.all(
    ['root', 'operational'].map((authority) => stores.status.list({ authority, shard: 0 })),
  );
  await stores.close();
  assert.deepEqual(
    lists.map((list) => list?.count),
    [1, 4],
  );
  writeFileSync(
    house.file('lists.pem'),
    lists.map((list) => encodePem('X509 CRL', list?.der ?? new Uint8Array())).join(''),
  );
  writeFileSync(house.file('leaf.pem'), encodePem('CERTIFICATE', leaf ?? new Uint8Array()));
  const anchors = ['-CAfile', house.file('root.pem'), '-untrusted', house.file('operational.pem')];
  const files = [...anchors, '-CRLfile', house.file('lists.pem'), house.file('leaf.pem')];
  const plain = openssl('verify', ...anchors, house.file('leaf.pem'));
  assert.equal(plain.status, 0, plain.output);
  assert.match(openssl('verify -crl_check', ...files).output, /certificate revoked/);
  assert.match(openssl('verify -crl_check_all', ...files).output, /certificate revoked/);
}

async function assertSound(house: House): Promise<void> {
  assert.deepEqual(await faultsOf(house, house.database), []);
}

async function faultsOf(house: House, database: string): Promise<readonly string[]> {
  const book = await readBook(authorityPaths(house.dataFolder));
  const issuers = new Map(
    book.map(({ name }) => [name, new Uint8Array(house.certificate(name).raw)] as const),
  );
  return (await fsck({ snapshot: openSqliteSnapshot(database), issuers })).faults;
}

test(
  'server: the next one takes over at once, and a device that knows the lost one alone finds it',
  { skip: opensslMissing },
  async (context) => {
    const house = await open(context);
    const before = await house.serve(async ({ authority }) => {
      const issued = await authority.issueServer(testRequest(testKey()), ['localhost']);
      assert.ok(!isRefusal(issued));
      return authority.status();
    });
    const answered = await cutAtEveryStep(house, async (options) => replaceLost(options, 'server'));
    assert.equal(answered.case.successor, 'server-2');
    assert.equal(answered.case.perSecond, undefined);
    const manifests = house.certificate('manifest');
    assert.ok(manifests.verify(house.certificate('server-2').publicKey));
    await house.serve(async ({ authority }) => {
      const issued = await authority.issueServer(testRequest(testKey()), ['localhost']);
      assert.ok(!isRefusal(issued));
      const [leaf = new Uint8Array(), ...chain] = issued.chain;
      writeFileSync(house.file('leaf.pem'), encodePem('CERTIFICATE', leaf));
      writeFileSync(
        house.file('chain.pem'),
        chain.map((der) => encodePem('CERTIFICATE', der)).join(''),
      );
      const words = ['-trusted', house.file('server.pem'), '-untrusted', house.file('chain.pem')];
      const verified = openssl('verify -partial_chain', ...words, house.file('leaf.pem'));
      assert.equal(verified.status, 0, verified.output);
      const { revoked } = await authority.status();
      assert.ok(revoked > before.revoked);
    });
    await assertSound(house);
  },
);

test('factory: births stay what they are, and the lost authority is on the list of the root', async (context) => {
  const house = await open(context);
  const answered = await cutAtEveryStep(house, async (options) => replaceLost(options, 'factory'));
  assert.deepEqual(
    answered.case.steps.map(({ name, doneMs }) => `${name} ${doneMs === undefined}`),
    ['successor false', 'replaced false', 'revoked false', 'listed false'],
  );
  const stores = await openAuthorityStores(authorityPaths(house.dataFolder), undefined);
  const list = await stores.status.list({ authority: 'root', shard: 0 });
  await stores.close();
  assert.equal(list?.count, 1);
  await house.serve(async ({ authority }) => {
    assert.equal((await authority.hierarchy()).factory.length, 1);
  });
  await assertSound(house);
});

test('a responder: what there is of its certificates is revoked, and the next start makes new ones', async (context) => {
  const house = await open(context);
  const count = async (): Promise<number> =>
    house.serve(async ({ authority }) => (await authority.status()).issued);
  await ask(house);
  const before = await count();
  const answered = await cutAtEveryStep(house, answerLostResponder);
  assert.match(answered.case.steps[0]?.detail ?? '', /^1 certificates of responders/);
  await ask(house);
  assert.equal(await count(), before + 1);
});

/** For the status of the authority of servers' own certificate, which makes it a responder. */
async function ask(house: House): Promise<void> {
  await house.serve(async () => {
    const client = new StatusClient(socketPathFor(house.dataFolder, 'authority'));
    const { subject, publicKey } = parseCertificate(
      new Uint8Array(house.certificate('server').raw),
    );
    const certId = encodeCertId({
      hashAlgorithm: 'SHA-256',
      issuerNameHash: nodeCrypto.hash('SHA-256', subject.der),
      issuerKeyHash: nodeCrypto.hash('SHA-256', publicKey.key),
      serialNumber: parseCertificate(new Uint8Array(house.certificate('manifest').raw))
        .serialNumber,
    });
    const answer = await client.ocsp('server', encodeOcspRequest(certId));
    client.close();
    assert.ok(typeof answer !== 'string', 'no answer was signed');
  });
}

test('the log: a new key, a new name, the same leaves, and one that says where the old one ended', async (context) => {
  const house = await open(context);
  const size = await house.serve(async ({ authority }) => (await authority.status()).auditSize);
  const checkpoint = (folder: string): string[] =>
    readFileSync(join(folder, 'checkpoint'), 'utf8').split('\n');
  const [oldName] = checkpoint(house.file('log'));
  const answered = await cutAtEveryStep(house, replaceLostLog, async (step) => {
    if (step === 'replaced') await assert.rejects(startAuthority(house), /is lost/);
  });
  assert.equal(answered.case.subject, oldName);
  await forgetStep(house, answered.case.name, 'replaced');
  await replaceLostLog(house);
  const newSize = await house.serve(async ({ authority }) => (await authority.status()).auditSize);
  assert.ok(newSize > size);
  const [newName, newCount] = checkpoint(house.file('log'));
  assert.notEqual(newName, oldName);
  assert.ok(Number(newCount) > size);
  const kept = readdirSync(house.folder).find((name) => /^log-\d+$/.test(name));
  assert.ok(kept !== undefined);
  assert.equal(checkpoint(house.file(kept))[0], oldName);
  await assertSound(house);
  assert.deepEqual(
    (await selectCases(house.database)).map(({ kind }) => kind),
    ['log'],
  );
});

test('what cannot be answered is said, and nothing is begun', async (context) => {
  const house = await open(context);
  await announce(house, await begunAlone('authority.announce', { role: 'operational' }));
  await assert.rejects(replaceLost(house, 'operational'), /operational-2 is announced/);
  const unknown = await closeCase(house, 'operational');
  assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-case');
  assert.deepEqual(await selectCases(house.database), []);
  await assert.rejects(
    replaceLost(
      {
        ...house,
        onStep: () => {
          throw new Error('cut');
        },
      },
      'factory',
    ),
    /cut/,
  );
  const early = await closeCase(house, 'factory');
  assert.ok(isRefusal(early) && /successor is to be done/.test(early.reason));
});

test('a case that vanishes, or that is ended past the log, is a fault', async (context) => {
  const house = await open(context);
  await answerLostResponder(house);
  await replaceLost(house, 'factory');
  await closeCase(house, 'factory');
  await assertSound(house);
  const tampered: ReadonlyArray<readonly [string, RegExp]> = [
    [`DELETE FROM loss_cases WHERE name = 'factory'`, /case factory: logged and not recorded/],
    [`UPDATE loss_cases SET document = replace(document, 'stolen', 'found')`, /recorded otherwise/],
    [`UPDATE loss_cases SET name = 'server' WHERE name = 'factory'`, /case server: not in the log/],
  ];
  for (const [sql, fault] of tampered) {
    const copy = join(house.dataFolder, 'copy.sqlite');
    copyFileSync(house.database, copy);
    withDatabase(copy, (database) => database.exec(sql));
    const faults = await faultsOf(house, copy);
    assert.ok(
      faults.some((text) => fault.test(text)),
      `${sql}: ${faults.join()}`,
    );
  }
});
