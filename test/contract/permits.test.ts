/** What a store does with the permission of an act: secrets, policies and cases, with it or not at all. */
import assert from 'node:assert/strict';
import type { Spending } from '../../src/trust/ports/approvalStore.ts';
import { bytesOf, issuingBackends, type IssuingStores, leaf } from '../support/issuingStores.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { contract } from '../support/storeBackends.ts';

const hourMs = 3_600_000;
const secret = {
  deviceId: '0123456789abcdef',
  product: 'meter',
  profile: 'ldevid',
  createdMs: 1,
  expiresMs: 9,
};
/** Of a request that nobody made. */
const spending: Spending = {
  id: bytesOf('request', 32),
  atMs: 50,
  requesters: ['admin'],
  approvers: ['admin'],
  entry: leaf('used'),
};

const requestOf = (number: number) =>
  ({
    deviceId: deviceIdOf(number),
    keyIdentifier: bytesOf(`key ${number}`, 20),
    profile: 'ldevid',
    cause: 'first',
    requestedMs: number,
  }) as const;

contract('permits', issuingBackends, (check) => {
  const add = ({ grants }: IssuingStores, number: number, atMs: number) =>
    grants.addSecret(secret, bytesOf(`secret ${number}`, 32), leaf('+'), { most: 2, atMs });

  check('secrets of one person are counted by the day', async (stores) => {
    assert.equal(typeof (await add(stores, 1, 0)), 'number');
    assert.equal(typeof (await add(stores, 2, hourMs)), 'number');
    assert.equal(await add(stores, 3, 2 * hourMs), 'too-many');
    assert.equal((await stores.grants.secrets(9)).length, 2);
    assert.equal(await stores.audit.countLeaves(), 2);
    assert.equal(typeof (await add(stores, 3, 25 * hourMs)), 'number');
  });

  check(
    'secrets come newest first, requests that wait oldest first, page by page',
    async (stores) => {
      const { grants } = stores;
      for (const number of [1, 2, 3]) await add(stores, number, number * 24 * hourMs);
      for (const number of [1, 2, 3]) await grants.askApproval(requestOf(number), 9);
      const newest = await grants.secrets(2);
      const oldest = await grants.approvals(2);
      const rest = [
        await grants.secrets(2, newest[1]?.id),
        await grants.approvals(2, oldest[1]?.id),
      ] as const;
      const all = [[...newest, ...rest[0]], [...oldest, ...rest[1]].toReversed()];
      for (const ids of all.map((page) => page.map(({ id }) => id))) {
        assert.deepEqual([ids.length, ids], [3, ids.toSorted((a, b) => b - a)]);
      }
    },
  );

  check('without its approval nothing is written', async (stores) => {
    const { grants, cases, audit } = stores;
    const hash = bytesOf('secret', 32);
    const added = await grants.addSecret(secret, hash, leaf('+'), { spending });
    const policy = {
      profile: 'ldevid',
      approval: 'none',
      afterExpiry: { kind: 'never' },
    } as const;
    const record = { name: 'tpm', openedMs: 1, document: '{}' };
    assert.deepEqual(
      [
        added,
        await grants.savePolicy(policy, leaf('p'), spending),
        await cases.saveCase(record, leaf('c'), spending),
      ],
      ['approval-unknown', 'approval-unknown', 'approval-unknown'],
    );
    assert.deepEqual([await grants.secrets(9), await grants.policies()], [[], []]);
    assert.deepEqual([await cases.cases(), await audit.countLeaves()], [[], 0]);
  });
});
