/** Acts of a resting authority: an approval is spent by an act that was done, and by no other. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { carryOutAtRest, openApprovalOffice } from '../../../src/apps/authority/approvalOffice.ts';
import {
  authorityPaths,
  readCertificateFile,
} from '../../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../../src/apps/authority/book.ts';
import { withCasesAtRest } from '../../../src/apps/authority/caseOffice.ts';
import { initializeAuthority } from '../../../src/apps/authority/initialize.ts';
import { answerLostAuthority, beginLostAuthority } from '../../../src/apps/authority/lostKeys.ts';
import { useForLists, useForLoss } from '../../../src/apps/authority/rootUse.ts';
import { beginTwoPersons } from '../../../src/apps/authority/twoPersons.ts';
import { fsck } from '../../../src/apps/fsck/fsck.ts';
import { openSqliteSnapshot } from '../../../src/drivers/store/sqlite/snapshot.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { encodeParameters, type RootUse } from '../../../src/trust/approvals/acts.ts';
import {
  encodeDecision,
  encodeRequest,
  signDocument,
} from '../../../src/trust/approvals/documents.ts';
import { isRefusal, refuse } from '../../../src/trust/ports/faults.ts';
import { requestOf } from '../../support/issuing/station.ts';
import { testSigner } from '../../support/issuing/world.ts';

const passphrase = 'correct horse battery';

async function house(context: TestContext) {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-office-'));
  context.after(() => rmSync(dataFolder, { recursive: true }));
  const clock = { nowMs: Date.now };
  const options = { dataFolder, passphrase, clock };
  await initializeAuthority({ ...options, organization: 'Test', costLog2: 4 });
  const signers = { ada: testSigner(), bob: testSigner() };
  const admins = [];
  for (const name of ['ada', 'bob'] as const) {
    admins.push({ name, request: await requestOf(signers[name]) });
  }
  const { mode } = await beginTwoPersons(options, { admins, massLimit: 100 });
  /** Asked for by Ada, approved by Bob. */
  const approved = async (use: RootUse): Promise<Uint8Array> => {
    const office = await openApprovalOffice(options);
    const { desk } = office;
    const { installation } = mode;
    const requestedMs = clock.nowMs();
    const request = encodeRequest({
      installation,
      act: 'root.use',
      parameters: encodeParameters(use),
      requester: 'ada',
      requestedMs,
      expiresMs: requestedMs + 3_600_000,
      nonce: nodeCrypto.random(16),
    });
    const asked = await desk.submit(await signDocument(signers.ada, request));
    assert.ok(!isRefusal(asked));
    const said = { installation, request: asked.id, decision: 'approved', by: 'bob' } as const;
    const document = encodeDecision({ ...said, atMs: clock.nowMs() });
    assert.ok(!isRefusal(await desk.decide(await signDocument(signers.bob, document))));
    await office.close();
    return asked.id;
  };
  return { options, approved };
}

test('what waits or was refused is taken up under the same approval, what is done is not', async (context) => {
  const { options, approved } = await house(context);
  const request = await useForLists(options);
  const asked = { kind: 'root.use', request, approval: await approved(request) } as const;
  const resumed: boolean[] = [];
  const carryOut = <Result>(result: Result, isDone?: (result: Result) => boolean) =>
    carryOutAtRest(
      options,
      asked,
      async (begun) => {
        resumed.push(begun.resumed);
        return result;
      },
      isDone,
    );
  await carryOut({ waitsFor: 'the root' }, ({ waitsFor }) => waitsFor === undefined);
  await carryOut(refuse('not-now', 'later'));
  assert.equal(await carryOut('done'), 'done');
  const again = await carryOut('done');
  assert.equal(isRefusal(again) && again.refused, 'approval-spent');
  assert.deepEqual(resumed, [false, true, true]);
});

test('an approval of one list of the root is none of another, nor of a certificate', async (context) => {
  const { options, approved } = await house(context);
  const use = await useForLists(options);
  const approval = await approved(use);
  const [list] = use.lists;
  assert.ok(list !== undefined);
  const others: readonly RootUse[] = [
    { ...use, lists: [{ ...list, sha256: new Uint8Array(32) }] },
    { ...use, revokes: [new Uint8Array(32)] },
    { ...use, certificates: [{ profile: 'issuing', name: 'x', key: new Uint8Array(1) }] },
  ];
  for (const request of others) {
    const outcome = await carryOutAtRest(options, { kind: 'root.use', request, approval }, () =>
      assert.fail('it was carried out'),
    );
    assert.equal(isRefusal(outcome) && outcome.refused, 'other-bytes');
  }
});

for (const line of ['operational', 'server']) {
  test(`the lost ${line} authority is replaced by two persons, and the checker agrees`, async (context) => {
    const { options, approved } = await house(context);
    const loss = { ...options, reason: 'stolen' };
    const one = await withCasesAtRest(loss, (desk) => beginLostAuthority(desk, loss, line));
    const request = await useForLoss(loss, one);
    const asked = { kind: 'root.use', request, approval: await approved(request) } as const;
    const answered = await carryOutAtRest(
      loss,
      asked,
      (begun) => answerLostAuthority(loss, line, begun),
      ({ waitsFor }) => waitsFor === undefined,
    );
    assert.ok(!isRefusal(answered));
    assert.equal(answered.waitsFor, undefined);
    const paths = authorityPaths(options.dataFolder);
    const issuers = new Map<string, Uint8Array>();
    for (const { name } of await readBook(paths)) {
      issuers.set(name, await readCertificateFile(paths, name));
    }
    const { faults } = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
    assert.deepEqual(faults, []);
  });
}
