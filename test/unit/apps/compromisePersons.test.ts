/** `birthmark ca compromise` where two persons are needed: what one of them begins, and what nobody does. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { beginTwoPersons } from '../../../src/apps/authority/twoPersons.ts';
import { operatorFolder, run } from '../../support/commands.ts';
import { Installation, passphrase } from '../../support/installation.ts';

process.env['BIRTHMARK_PASSPHRASE'] = passphrase;
const clock = { nowMs: Date.now };

test('whoever opens a case has a name, and hears that it is open', async (context) => {
  const place = mkdtempSync(join(tmpdir(), 'birthmark-compromise-'));
  context.after(() => rmSync(place, { recursive: true, force: true }));
  const { folder } = await Installation.create(context);
  const admins = await Promise.all(
    ['ada', 'bob'].map(async (name) => ({
      name,
      request: await operatorFolder(join(place, name), name),
    })),
  );
  await beginTwoPersons({ dataFolder: folder, passphrase, clock }, { admins, massLimit: 5 });
  const compromise = (...words: readonly string[]) =>
    run('ca', 'compromise', ...words, '--data', folder);
  const reason = ['--reason', 'the laptop is gone'];

  for (const whose of ['log', 'operational']) {
    const nobody = await compromise(whose, ...reason);
    assert.equal(nobody.code, 4);
    assert.match(nobody.said, /takes two persons here: ask for it with --as FOLDER/);
  }
  assert.deepEqual((await compromise('status')).document, { cases: [] }, 'nothing was done');

  const asked = await compromise('log', ...reason, '--as', join(place, 'ada'));
  assert.equal(asked.code, 4);
  assert.deepEqual([asked.document['waiting'], asked.document['act']], [true, 'key.replace']);
  assert.match(asked.said, /The case log\S* is open: its key signs nothing/);
  const { cases } = (await compromise('status')).document;
  assert.ok(Array.isArray(cases) && cases.length === 1);

  const approval = String(asked.document['approval']);
  const bob = ['--as', join(place, 'bob'), '--data', folder];
  assert.equal((await run('approval', 'approve', approval, ...bob)).code, 0);
  const done = await compromise('log', ...reason, '--approval', approval);
  assert.equal(done.code, 0, done.said);
});
