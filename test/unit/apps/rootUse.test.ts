/** What the root's key is opened for: exactly what was approved, looked at where it is open. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityPaths, certificatePath } from '../../../src/apps/authority/authorityFolder.ts';
import { withCasesAtRest } from '../../../src/apps/authority/caseOffice.ts';
import { initializeAuthority } from '../../../src/apps/authority/initialize.ts';
import { answerLostAuthority, beginLostAuthority } from '../../../src/apps/authority/lostKeys.ts';
import { signRootLists } from '../../../src/apps/authority/rootList.ts';
import { useForLists, useForLoss } from '../../../src/apps/authority/rootUse.ts';
import type { RootUse } from '../../../src/trust/approvals/acts.ts';
import { begunAlone } from '../../support/alone.ts';
import { testKey } from '../../support/pki.ts';

test('the root signs what was approved, and neither another key nor another list', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-root-use-'));
  context.after(() => rmSync(dataFolder, { recursive: true }));
  const clock = { nowMs: Date.now };
  const house = { dataFolder, passphrase: 'correct horse battery', clock, reason: 'stolen' };
  await initializeAuthority({ ...house, organization: 'Maker', costLog2: 4 });
  const paths = authorityPaths(dataFolder);
  const one = await withCasesAtRest(house, (desk) => beginLostAuthority(desk, house, 'factory'));
  const use = await useForLoss(house, one);
  assert.deepEqual(await useForLoss(house, one), use, 'the key is made once');
  const [certificate] = use.certificates;
  assert.deepEqual([certificate?.profile, certificate?.name], ['issuing-factory', 'Maker Factory']);
  const answer = async (changes: Partial<RootUse>) =>
    answerLostAuthority(house, 'factory', await begunAlone('root.use', { ...use, ...changes }));
  for (const changed of [{ key: testKey().spki }, { name: 'Maker Servers' }, { profile: 'root' }]) {
    const certificates = certificate === undefined ? [] : [{ ...certificate, ...changed }];
    await assert.rejects(answer({ certificates }), /another key, name or profile/);
  }
  assert.ok(!existsSync(certificatePath(paths, 'factory-2')));
  const lists = use.lists.map((list) => ({ ...list, sha256: new Uint8Array(32) }));
  await assert.rejects(answer({ lists }), /would say something else/);
  await assert.rejects(answer({ revokes: [] }), /would say something else/);
  const before = await useForLists(house);
  assert.deepEqual((await answer({})).waitsFor, undefined);
  const sign = async (what: RootUse) => signRootLists(house, await begunAlone('root.use', what));
  await assert.rejects(sign(before), /would say something else/);
  assert.equal((await sign(await useForLists(house)))[0]?.count, 1);
});
