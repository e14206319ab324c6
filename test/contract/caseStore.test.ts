/** Cases of lost keys on every store: what is opened, done and closed is a row and a leaf at once. */
import assert from 'node:assert/strict';
import { Cases } from '../../src/apps/authority/cases.ts';
import { answerLostHolder } from '../../src/apps/authority/lostHolders.ts';
import { readAuditEntry } from '../../src/trust/audit/entry.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { nextStep } from '../../src/trust/ports/lossCase.ts';
import type { StatusScope } from '../../src/trust/ports/statusOrders.ts';
import { alone } from '../support/alone.ts';
import { issuingBackends } from '../support/issuingStores.ts';
import { contract } from '../support/storeBackends.ts';

contract('cases', issuingBackends, (check) => {
  check(
    'of a station: cut short it stays open, waits for a second person, and is done once',
    async ({ cases: store, audit }) => {
      const desk = await Cases.open(store);
      const options = { clock: { nowMs: () => 1_000 }, reason: 'stolen' };
      const loss = { kind: 'station', subject: 'line 7', withDevices: true } as const;
      const scopes: StatusScope[] = [];
      const cut = answerLostHolder(desk, options, loss, () => Promise.reject(new Error('cut')));
      await assert.rejects(cut, /cut/);
      const open = async (): Promise<string | undefined> => {
        const [one] = await desk.cases();
        assert.ok(one !== undefined);
        return nextStep(one);
      };
      assert.equal(await open(), 'revoked');
      await answerLostHolder(desk, options, loss, () => Promise.resolve(undefined));
      assert.equal(await open(), 'revoked');
      const order = (scope: StatusScope): Promise<string> => {
        scopes.push(scope);
        return Promise.resolve('3 devices');
      };
      const done = await answerLostHolder(desk, options, loss, order);
      assert.deepEqual(await answerLostHolder(desk, options, loss, order), done);
      assert.equal(await open(), undefined);
      assert.deepEqual(scopes[0], { by: 'station', name: 'line 7', withDevices: true });
      const family = { kind: 'family', subject: 'tpm', firmware: '1.0/4' } as const;
      await answerLostHolder(desk, { ...options, clock: { nowMs: () => 2_000 } }, family, order);
      assert.deepEqual(scopes.at(-1), { by: 'family', name: 'tpm', firmware: '1.0/4' });
      const cases = await (await Cases.open(store)).cases();
      assert.deepEqual(
        cases.map(({ name }) => name),
        ['station-line_7', 'family-tpm-1.0_4'],
      );
      // Opened, done; opened, done: each a leaf.
      const acts = (await audit.leaves(0, 10)).map((leaf) => {
        const entry = readAuditEntry(leaf);
        return entry.kind === 'decision' ? `${entry.act} ${entry.subject}` : entry.kind;
      });
      assert.deepEqual(acts, [
        'case-opened station-line_7',
        'case-step station-line_7',
        'case-opened family-tpm-1.0_4',
        'case-step family-tpm-1.0_4',
      ]);
    },
  );

  check(
    'of a family: none is born while it is open, and it opens again once closed',
    async ({ cases: store }) => {
      const desk = await Cases.open(store);
      const options = { clock: { nowMs: () => 1_000 }, reason: 'weak' };
      const loss = { kind: 'family', subject: 'tpm', firmware: '1' } as const;
      const order = async (): Promise<string> => 'none';
      const early = await answerLostHolder(desk, options, loss, async () => undefined);
      const refused = await desk.closeCase(await alone('case.close', { case: early.name }), 2_000);
      assert.ok(isRefusal(refused) && refused.refused === 'case-not-done');
      await answerLostHolder(desk, options, loss, order);
      assert.deepEqual(
        [desk.isElementLost('tpm', '1'), desk.isElementLost('tpm', '2')],
        [true, false],
      );
      const closed = await desk.closeCase(await alone('case.close', { case: early.name }), 2_000);
      assert.deepEqual(
        await desk.closeCase(await alone('case.close', { case: early.name }), 3_000),
        closed,
      );
      assert.equal(desk.isElementLost('tpm', '1'), false);
      await answerLostHolder(desk, { ...options, reason: 'weak again' }, loss, order);
      assert.equal((await Cases.open(store)).isElementLost('tpm', '1'), true);
      const unknown = await desk.finishStep('nobody', { name: 'revoked', doneMs: 1, detail: '' });
      assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-case');
    },
  );
});
