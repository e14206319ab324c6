/** Profiles as they are stored: which of them counts now. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { currentProfiles } from '../../../src/apps/authority/profileDocument.ts';
import { profileText } from '../../../src/trust/issuance/profileBook.ts';
import { builtIn } from '../../../src/trust/issuance/profiles.ts';

test('the newest version counts, and one whose text a restore has lost is passed over', () => {
  const stored = [1, 3, 2].map((version) => ({
    text: profileText({ ...builtIn('ldevid'), name: 'meter', version }),
  }));
  const current = currentProfiles([...stored, { text: '' }]);
  assert.equal(current.get('meter')?.version, 3);
  assert.equal(current.get('ldevid'), builtIn('ldevid'));
});
