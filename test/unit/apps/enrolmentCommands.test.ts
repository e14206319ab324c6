/** `birthmark enrolment` and `token`: what is no number, and what a dry run refuses as the act does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { documentIn, run } from '../../support/commandLine.ts';
import { statusHouse } from '../../support/statusHouse.ts';

test('what is no number is wrong usage, not a defect', async () => {
  const cases: ReadonlyArray<readonly string[]> = [
    ['enrolment', 'policy', 'ldevid', '--after-expiry', '-3'],
    ['enrolment', 'policy', 'ldevid', '--after-expiry', 'sometimes'],
    ['enrolment', 'approve', 'abc'],
    ['enrolment', 'deny', '0'],
    ['enrolment', 'secret', 'void', '1e3'],
    ['token', 'revoke', 'abc'],
    ['token', 'create', 'dashboard', '--days', '0'],
  ];
  await Promise.all(
    cases.map(async (words) => {
      const ran = await run(...words);
      assert.equal(ran.status, 2, `${words.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, /a whole number from 1/);
      assert.doesNotMatch(ran.stderr, /defect|\.ts:/);
    }),
  );
});

test('a dry run says no where the act does', async (context) => {
  const house = await statusHouse(context);
  const common = ['--data', house.dataFolder, '--json'];
  const dry = (...words: readonly string[]) => run(...words, '--dry-run', ...common);
  const refusals: ReadonlyArray<readonly [message: RegExp, words: readonly string[]]> = [
    [/No such request is waiting/, ['enrolment', 'approve', '999']],
    [/No such request is waiting/, ['enrolment', 'deny', '999']],
    [/No such secret is open/, ['enrolment', 'secret', 'void', '999']],
    [/No such token is open/, ['token', 'revoke', '999']],
  ];
  await Promise.all(
    refusals.map(async ([message, words]) => {
      const [counted, act] = await Promise.all([dry(...words), run(...words, ...common)]);
      for (const ran of [counted, act]) {
        assert.deepEqual([ran.status, ran.stdout], [1, ''], words.join(' '));
        assert.match(ran.stderr, message);
      }
      assert.equal(counted.stderr, act.stderr);
    }),
  );
  const token = documentIn(await run('token', 'create', 'dashboard', ...common));
  const secret = ['enrolment', 'secret'];
  const made = documentIn(await run(...secret, 'create', '--product', 'meter', ...common));
  assert.ok(typeof made['secret'] === 'string');
  const { secrets } = documentIn(await run(...secret, 'list', ...common));
  const [{ id }] = secrets as [{ readonly id: number }];
  for (const words of [
    ['token', 'revoke', String(token['id'])],
    [...secret, 'void', String(id)],
  ]) {
    assert.equal((await dry(...words)).status, 0);
    assert.equal((await run(...words, ...common)).status, 0);
    assert.equal((await dry(...words)).status, 1);
  }
});
