/** What a store does with the permission of an act: secrets, policies and cases, with it or not at all. */
import assert from 'node:assert/strict';
import type { Spending } from '../../src/trust/ports/approvalStore.ts';
import { bytesOf, issuingBackends, type IssuingStores, leaf } from '../support/issuingStores.ts';
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
