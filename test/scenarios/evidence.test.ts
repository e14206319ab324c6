/** A reel is made and closed; an auditor gets a folder and checks it by the script in docs/evidence.md. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { beginTwoPersons } from '../../src/apps/authority/twoPersons.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { ApprovalClient } from '../../src/drivers/links/local/approvalClient.ts';
import {
  type ActKind,
  type ActRequests,
  encodeParameters,
} from '../../src/trust/approvals/acts.ts';
import {
  encodeDecision,
  encodeRequest,
  signDocument,
} from '../../src/trust/approvals/documents.ts';
import type { Signer } from '../../src/trust/ports/keys.ts';
import type { OrderRequest } from '../../src/trust/ports/operatorAuthority.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { isEndorsed } from '../../src/wire/line/endorsement.ts';
import { requestOf, testElement, TestStation, unitRequest } from '../support/issuing/station.ts';
import { testSigner } from '../support/issuing/world.ts';
import { allowed } from '../support/statusHouse.ts';
import { opensslMissing } from '../support/openssl.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-evidence-'));
after(() => rmSync(folder, { recursive: true }));
const data = join(folder, 'data');
const root = join(import.meta.dirname, '../..');
const [, script = ''] =
  /```sh\n([^]*?)```/.exec(readFileSync(join(root, 'docs/evidence.md'), 'utf8')) ?? [];

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function birthmark(...words: readonly string[]): Promise<Result> {
  const main = join(root, 'src/apps/cli/main.ts');
  const node = ['--disable-warning=ExperimentalWarning', main, ...words, '--data', data];
  return new Promise((resolve) => {
    execFile(process.execPath, node, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** As the reader of the document would: in the folder, with a shell. */
function checked(evidence: string): Result {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script], {
    cwd: evidence,
    encoding: 'utf8',
  });
  return { code: status ?? -1, stdout, stderr };
}

type Allow = <Kind extends ActKind>(kind: Kind, request: ActRequests[Kind]) => Promise<Uint8Array>;

/** Ada asks and Bob approves. */
function twoPersons(desk: ApprovalClient, ada: Signer, bob: Signer): Allow {
  return async (act, request) => {
    const mode = await desk.mode();
    assert.ok(mode);
    const { installation } = mode;
    const nowMs = Date.now();
    const asked = encodeRequest({
      installation,
      act,
      parameters: encodeParameters(request),
      requester: 'ada',
      requestedMs: nowMs,
      expiresMs: nowMs + 60_000,
      nonce: new Uint8Array(16),
    });
    const { id } = allowed(await desk.submit(await signDocument(ada, asked)));
    const said = { installation, request: id, decision: 'approved', by: 'bob' } as const;
    const decision = encodeDecision({ ...said, atMs: nowMs });
    allowed(await desk.decide(await signDocument(bob, decision)));
    return id;
  };
}

/** Device ids of two finished units and one that was scrapped. */
async function makeReel(authority: AuthorityClient, allow: Allow): Promise<readonly string[]> {
  await authority.publishServerIdentity(Uint8Array.of(0xa1, 1, 2));
  const signer = testSigner();
  const wanted: OrderRequest = {
    order: 'reel-7',
    product: 'sensor',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: 'S-1',
    quantity: 5,
    leastProof: 'line-anchored',
  };
  const order = await authority.createOrder(wanted, await allow('order.create', wanted));
  assert.ok(!isRefusal(order));
  const nowMs = Date.now();
  const promise = {
    batch: 'reel-7',
    count: 5,
    stationKeySpki: signer.publicKeySpki,
    notBeforeMs: nowMs - 60_000,
    notAfterMs: nowMs + 60_000,
  };
  const ticket = await authority.issueTicket(promise, await allow('ticket.issue', promise));
  assert.ok(!isRefusal(ticket));
  const { orderKeySpki } = await authority.hierarchy();
  const station = new TestStation(
    { answer: (step, request) => authority.post(step, request) },
    { publicKeySpki: orderKeySpki },
    ticket.signed,
    signer,
  );
  const opening = await station.open();
  const elements = ['01', '02', '03'].map((uid) => testElement(uid));
  const units = await station.endorse(
    await Promise.all(elements.map((element) => unitRequest(element, opening))),
  );
  const [one, two, three] = elements;
  assert.ok(one && two && three);
  await station.report([
    [one, 'verified'],
    [two, 'verified'],
  ]);
  await station.report([
    [one, 'locked'],
    [two, 'locked'],
    [three, 'scrapped'],
  ]);
  const counts = { issued: 3, released: 2, scrapped: 1, returned: 0 };
  assert.notEqual(typeof (await station.close(counts)), 'string');
  const close = await allow('batch.close', { batch: 'reel-7' });
  assert.ok(!isRefusal(await authority.closeBatch('reel-7', close)));
  return units.map((unit) => (isEndorsed(unit) ? unit.deviceId : assert.fail(unit.reason)));
}

/** One device of the reel, under an order about all of it. */
async function recall(authority: AuthorityClient, allow: Allow, deviceId: string): Promise<void> {
  const said = { code: 'keyCompromise', reason: 'recalled' } as const;
  const order = { act: 'revoke', scope: { by: 'batch', name: 'reel-7' }, ...said } as const;
  const approval = await allow('status.mass', order);
  const about = { subject: deviceId, holder: deviceId, sequence: 0, atMs: Date.now() };
  const notice = { act: 'revoke-device', ...about, ...said } as const;
  assert.equal(await authority.recordOrdered([notice], { order, approval }), undefined);
}

interface Evidence {
  readonly approvals: {
    readonly acts: ReadonlyArray<Readonly<Record<'act' | 'requester' | 'approver', string>>>;
  };
  readonly devices: ReadonlyArray<{
    readonly deviceId: string;
    readonly birth: { readonly state: string; readonly proofLevel: string; readonly uid: string };
    readonly certificates: ReadonlyArray<{
      readonly file: string;
      readonly revoked: string | null;
      readonly leaves: readonly number[];
    }>;
  }>;
  readonly orders: ReadonlyArray<{ readonly tickets: readonly object[] }>;
  readonly log: { readonly leaves: ReadonlyArray<{ readonly entry: { readonly kind: string } }> };
}

const read = (evidence: string): Evidence =>
  JSON.parse(readFileSync(join(evidence, 'evidence.json'), 'utf8')) as Evidence;

test(
  'evidence of a batch and of a device holds, and what is changed is found',
  { skip: opensslMissing },
  async (context) => {
    const passphrase = 'a passphrase for tests';
    const clock = { nowMs: Date.now };
    await initializeAuthority({
      dataFolder: data,
      passphrase,
      organization: 'Maker',
      clock,
      costLog2: 4,
    });
    const [ada, bob] = [testSigner(), testSigner()];
    const admins = [
      { name: 'ada', request: await requestOf(ada) },
      { name: 'bob', request: await requestOf(bob) },
    ];
    await beginTwoPersons({ dataFolder: data, passphrase, clock }, { admins, massLimit: 100 });
    const running = await startAuthority({ dataFolder: data, passphrase });
    context.after(() => running.close());
    const authority = new AuthorityClient(socketPathFor(data, 'authority'));
    context.after(() => authority.close());
    const desk = new ApprovalClient(socketPathFor(data, 'authority'));
    context.after(() => desk.close());
    const allow = twoPersons(desk, ada, bob);
    const deviceIds = await makeReel(authority, allow);
    await recall(authority, allow, deviceIds[0] ?? '');

    const reel = join(folder, 'reel');
    const single = join(folder, 'single');
    const [ofBatch, ofDevice, ofNobody, ofNoBatch] = await Promise.all([
      birthmark('evidence', '--batch', 'reel-7', '--out', reel, '--json'),
      birthmark('evidence', '--device', deviceIds[2] ?? '', '--out', single),
      birthmark('evidence', '--device', 'nobody', '--out', join(folder, 'none')),
      birthmark('evidence', '--batch', 'reel-8', '--out', join(folder, 'none')),
    ]);
    assert.deepEqual([ofBatch.code, ofDevice.code], [0, 0], ofBatch.stderr + ofDevice.stderr);
    assert.deepEqual([ofNobody.code, ofNoBatch.code], [1, 1]);

    const document = read(reel);
    assert.deepEqual(
      document.devices.map(({ deviceId }) => deviceId).toSorted(),
      deviceIds.toSorted(),
    );
    const kinds = document.log.leaves.map(({ entry }) => entry.kind);
    for (const kind of ['ordered', 'ticket-issued', 'ticket-closed', 'batch-closed']) {
      assert.equal(kinds.filter((one) => one === kind).length, 1, kind);
    }
    // Scrapped on the line, and recalled.
    assert.equal(kinds.filter((one) => one === 'revoked').length, 2);
    assert.deepEqual(
      document.approvals.acts.map(({ act, requester, approver }) => [act, requester, approver]),
      ['order.create', 'ticket.issue', 'batch.close', 'status.mass'].map((act) => [
        act,
        'ada',
        'bob',
      ]),
    );
    const scrapped = read(single);
    assert.deepEqual(
      scrapped.devices.map(({ birth }) => [birth.state, birth.proofLevel, birth.uid]),
      [['scrapped', 'line-anchored', '3033']],
    );
    const [certificate] = scrapped.devices[0]?.certificates ?? [];
    assert.ok(certificate?.revoked);
    assert.equal(certificate.leaves.length, 2);
    assert.deepEqual(readdirSync(join(reel, 'documents')).toSorted(), [
      'reel-7.manifest.json',
      'reel-7.yield.json',
    ]);

    for (const [evidence, signed] of [
      [reel, 4],
      [single, 3],
    ] as const) {
      const { code, stdout, stderr } = checked(evidence);
      assert.deepEqual([code, stdout.endsWith('All of it holds.\n')], [0, true], stdout + stderr);
      assert.equal(stdout.match(/request.cose: signed by ada$/gm)?.length, signed);
      assert.equal(stdout.match(/decision.cose: signed by bob$/gm)?.length, signed);
    }
    const leaf = document.devices[0]?.certificates[0]?.leaves[0] ?? 0;
    for (const [file, message] of [
      [`log/leaves/${leaf}`, /is not in the log/],
      ['log/checkpoint.text', /Verification Failure|failed/i],
      ['tickets', /is not in the log/],
      ['documents', /is not in the log/],
      ['approvals', /is not in the log|error|unable/i],
      ['certificates', /verification failed|unable to load|is not in the log|error/i],
    ] as const) {
      const copy = join(folder, 'changed');
      rmSync(copy, { recursive: true, force: true });
      cpSync(reel, copy, { recursive: true });
      const [name = ''] = file.includes('/')
        ? [file]
        : readdirSync(join(copy, file), { recursive: true, encoding: 'utf8' })
            .filter((one) => /\.[a-z]+$/.test(one))
            .map((one) => join(file, one));
      const path = join(copy, name);
      const bytes = readFileSync(path);
      const at = bytes.length - 40;
      bytes[at] = bytes[at] === 0x41 ? 0x42 : 0x41;
      writeFileSync(path, bytes);
      assert.match(checked(copy).stderr + checked(copy).stdout, /computed checksum/);
      // Whoever changes a file changes its checksum too.
      const sums = spawnSync(
        'sh',
        ['-c', 'sha256sum $(cut -c 67- SHA256SUMS) > sums; mv sums SHA256SUMS'],
        { cwd: copy },
      );
      assert.equal(sums.status, 0);
      const result = checked(copy);
      assert.notEqual(result.code, 0, name);
      assert.match(result.stdout + result.stderr, message, name);
    }
    assert.equal((await birthmark('evidence', '--batch', 'reel-7', '--out', reel)).code, 3);
  },
);
