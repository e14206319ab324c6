/** The horizon: what it knows of the ends of things, what it plans, when it warns; and that issuing stops then. */
import { begunAlone } from '../../support/alone.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../../src/apps/authority/authority.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { horizonOf, longestLeaf } from '../../../src/apps/authority/horizon.ts';
import { initializeAuthority } from '../../../src/apps/authority/initialize.ts';
import { announce, remove, switchOver } from '../../../src/apps/authority/rollover.ts';
import { openAuthoritySnapshot } from '../../../src/apps/authority/stores.ts';
import { socketPathFor } from '../../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../../src/drivers/links/local/authorityClient.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { Horizon } from '../../../src/trust/ports/inspection.ts';
import { startMs } from '../../support/issuing/world.ts';
import { testKey, testRequest } from '../../support/pki.ts';

const dayMs = 86_400_000;
const untilMs = Date.UTC(2041, 11, 31);

interface House {
  readonly at: (nowMs: number) => Promise<Horizon>;
  readonly options: {
    readonly dataFolder: string;
    readonly passphrase: string;
    readonly clock: { nowMs: () => number };
  };
  readonly setMs: (nowMs: number) => void;
}

async function open(context: TestContext): Promise<House> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-horizon-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  let nowMs = startMs;
  const options = { dataFolder, passphrase: 'correct horse', clock: { nowMs: () => nowMs } };
  const paths = await initializeAuthority({ ...options, organization: 'Maker', costLog2: 4 });
  return {
    options,
    setMs: (value) => {
      nowMs = value;
    },
    at: async (atMs) =>
      horizonOf({
        paths,
        snapshot: await openAuthoritySnapshot(paths, undefined),
        nowMs: atMs,
        untilMs,
      }),
  };
}

function endOf({ rows }: Horizon, kind: string, name: string): number | undefined {
  const row = rows.find((one) => one.kind === kind && one.name === name);
  assert.ok(row !== undefined, `${kind} ${name}`);
  return row.endsMs;
}

test('everything with an end has its day, the first one first; keys and births have none', async (context) => {
  const { at } = await open(context);
  const horizon = await at(startMs);
  assert.equal(endOf(horizon, 'authority', 'root'), undefined);
  assert.equal(endOf(horizon, 'authority', 'factory'), undefined);
  assert.equal(endOf(horizon, 'authority', 'operational'), startMs + 3653 * dayMs);
  assert.equal(endOf(horizon, 'certificates', 'manifest'), startMs + 3652 * dayMs);
  assert.equal(endOf(horizon, 'certificates', 'documents'), startMs + 3652 * dayMs);
  assert.equal(endOf(horizon, 'list', 'root'), startMs + 425 * dayMs);
  for (const key of ['log', 'order', 'sealing'])
    assert.equal(endOf(horizon, 'key', key), undefined);
  const ends = horizon.rows.map(({ endsMs }) => endsMs ?? Infinity);
  assert.deepEqual(
    ends,
    ends.toSorted((left, right) => left - right),
  );
  assert.deepEqual(horizon.warnings, []);
});

test('to 2041: when the next generation is due, and the one after that', async (context) => {
  const { at } = await open(context);
  const { events } = await at(startMs);
  const dates = events.filter(({ name }) => name === 'operational').map(({ atMs }) => atMs);
  const { lifeMs } = longestLeaf('operational', builtInProfiles);
  assert.equal(lifeMs, 365 * dayMs);
  const firstMs = startMs + 3653 * dayMs - lifeMs;
  assert.deepEqual(dates, [firstMs, startMs + 3653 * dayMs]);
  const far = (await at(startMs)).events.every(({ atMs }) => atMs >= startMs && atMs <= untilMs);
  assert.ok(far);
  assert.ok(!events.some(({ name }) => name === 'root' || name === 'factory'));
});

test('a year before it warns; then the authority issues no more, until the next one does', async (context) => {
  const { at, options, setMs } = await open(context);
  const stopsMs = startMs + (3653 - 365) * dayMs;
  assert.deepEqual((await at(stopsMs - 366 * dayMs)).warnings.slice(0, 2), [
    'a list of root ended on ' + new Date(startMs + 425 * dayMs).toISOString().slice(0, 10),
  ]);
  const noticed = (await at(stopsMs - 365 * dayMs)).warnings;
  assert.match(noticed.join('\n'), /operational issues ldevid until .*: announce the next one/);
  const certify = async (): Promise<unknown> => {
    const running = await startAuthority(options);
    const authority = new AuthorityClient(socketPathFor(options.dataFolder, 'authority'));
    try {
      return await authority.enrolStation('line-1', testRequest(testKey()));
    } finally {
      authority.close();
      await running.close();
    }
  };
  // A certificate of 365 days would outlive its issuer by a second.
  setMs(stopsMs + 1_000);
  assert.match((await at(stopsMs + 1_000)).warnings.join('\n'), /server ends on .* it issues none/);
  const refused = await certify();
  assert.ok(isRefusal(refused) && /beyond its issuer/.test(refused.reason));
  await announce(options, await begunAlone('authority.announce', { role: 'server' }));
  await switchOver(options, await begunAlone('authority.switch', { role: 'server' }));
  assert.ok(!isRefusal(await certify()));
  await remove(options, await begunAlone('authority.remove', { role: 'server' }));
  const { rows, warnings } = await at(stopsMs + 1_000);
  assert.ok(!rows.some(({ name, kind }) => kind === 'authority' && name === 'server'));
  assert.ok(!warnings.some((warning) => warning.startsWith('server')));
});
