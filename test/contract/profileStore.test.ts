/** Versions of profiles in both stores. */
import assert from 'node:assert/strict';
import { bytesOf, issuingBackends, leaf } from '../support/issuingStores.ts';
import { contract } from '../support/storeBackends.ts';

contract('profile store', issuingBackends, (check) => {
  check('a version of a profile is written once, with its leaf', async ({ profiles, audit }) => {
    const record = {
      name: 'meter',
      version: 1,
      sha256: bytesOf('meter 1', 32),
      text: '{"name":"meter"}',
      addedMs: 7_000_000,
    };
    const before = await audit.countLeaves();
    assert.equal(await profiles.addProfile(record, leaf('profile')), 'added');
    assert.equal(await profiles.addProfile({ ...record, text: '{}' }, leaf('again')), 'taken');
    assert.equal(await audit.countLeaves(), before + 1);
    const next = { ...record, version: 2, sha256: bytesOf('meter 2', 32), text: '{"version":2}' };
    assert.equal(await profiles.addProfile(next, leaf('next')), 'added');
    const other = { ...record, name: 'a-meter' };
    assert.equal(await profiles.addProfile(other, leaf('other')), 'added');
    assert.deepEqual(await profiles.profiles(), [other, record, next]);
  });
});
