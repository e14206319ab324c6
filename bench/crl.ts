/**
 * Lists of revoked certificates: a million entries signed anew, and one revocation among 10^3 to 10^6.
 * Beside them, what cannot be avoided: the same bytes hashed, signed and written to the disk, and one
 * durable write.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { startStatusKeeping } from '../src/apps/authority/statusKeeping.ts';
import { usualShards } from '../src/apps/authority/statusPlan.ts';
import { followChore } from '../src/apps/provisioner/status.ts';
import { openStatusDoor } from '../src/servers/http/status.ts';
import { listPath } from '../src/trust/issuance/distribution.ts';
import { Answers } from '../src/trust/status/answers.ts';
import { StatusFollower } from '../src/trust/status/follower.ts';
import { RevocationLists, usualSchedule } from '../src/trust/status/lists.ts';
import { changeOf } from '../src/trust/status/notices.ts';
import { PublishedLists } from '../src/trust/status/publishedLists.ts';
import { findRevoked, parseCertificateList } from '../src/wire/crl/certificateList.ts';
import { shardOf } from '../src/wire/crl/shard.ts';
import { atMost, type BenchResult, row } from './result.ts';
import {
  authorityName,
  fillCertificates,
  openStatusWorld,
  type StatusWorld,
} from './support/statusWorld.ts';

const sizes = [1_000, 10_000, 100_000, 1_000_000];
/** Of one size after the other, in turns: a machine with other work is as slow for one as for another. */
const revocations = 200;
const shardRounds = 8;
const allRounds = 5;
/** Revocations that are followed to the door, in real time. */
const followed = 8;
/** How often a client of that bench asks for the list. */
const askEveryMs = 20;

/** `run(['100000'])`: no size above that. */
export async function run(options: readonly string[]): Promise<BenchResult> {
  const most = Number(options[0] ?? Infinity);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  try {
    const benches: Bench[] = [];
    for (const size of sizes) if (size <= most) benches.push(await fill(folder, size));
    await revokeInTurns(benches);
    await signShards(benches);
    const [largest] = benches.slice(-1);
    if (largest === undefined) throw new Error(`no size up to ${most}`);
    const bound = await boundOf(folder, largest);
    const all = await signAll(largest);
    const toDoor = await followToDoor(largest);
    for (const { world } of benches) world.database.close();
    return resultOf(benches, largest, { all, bound, toDoor });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Bench {
  readonly size: number;
  readonly world: StatusWorld;
  readonly lists: RevocationLists;
  readonly clock: { ms: number };
  /** Good ones, to be revoked. */
  readonly good: Uint8Array[];
  readonly writes: number[];
  readonly revocations: number[];
  readonly shards: number[];
}

async function fill(folder: string, size: number): Promise<Bench> {
  const time = { ms: Date.now() };
  const clock = { nowMs: (): number => time.ms };
  const world = await openStatusWorld(folder, { name: `${size}`, shards: usualShards, clock });
  await fillCertificates(world, { count: size, revoked: true });
  const good = await fillCertificates(world, { count: 2 * revocations + followed, revoked: false });
  const { store, issuer } = world;
  const lists = new RevocationLists({
    store,
    clock,
    crypto: nodeCrypto,
    issuers: [issuer],
    schedule: usualSchedule,
  });
  await lists.advance();
  const none = { writes: [], revocations: [], shards: [] };
  return { size, world, lists, clock: time, good: [...good], ...none };
}

async function revokeInTurns(benches: readonly Bench[]): Promise<void> {
  for (let round = 0; round < revocations; round++) {
    for (const bench of startingWith(benches, round)) {
      const { world, writes } = bench;
      const one = nextGood(bench);
      bench.revocations.push(await msOf(() => revoke(bench, one)));
      writes.push(await msOf(() => world.database.transact(smallestWrite)));
    }
  }
  for (const { lists } of benches) await lists.advance();
}

/** One row of the same database, changed. */
function smallestWrite(
  connection: Parameters<Parameters<StatusWorld['database']['transact']>[0]>[0],
): void {
  connection.prepare('UPDATE lists SET number = number + 1 WHERE id = 1').run();
}

async function revoke({ world, clock }: Bench, serialNumber: Uint8Array): Promise<void> {
  const notice = { code: 'keyCompromise', reason: 'bench', atMs: clock.ms } as const;
  await world.issuances.revoke([changeOf(serialNumber, notice)]);
}

/** From the request to revoke until the list with it is stored. */
async function signShards(benches: readonly Bench[]): Promise<void> {
  for (let round = 0; round < shardRounds; round++) {
    for (const bench of startingWith(benches, round)) {
      const one = nextGood(bench);
      bench.clock.ms += 1_000;
      bench.shards.push(
        await msOf(async () => {
          await revoke(bench, one);
          await bench.lists.advance();
        }),
      );
    }
  }
}

/** Another first in every round: who follows the largest pays for what it left in the machine's caches. */
function startingWith(benches: readonly Bench[], round: number): readonly Bench[] {
  const first = round % benches.length;
  return [...benches.slice(first), ...benches.slice(0, first)];
}

function nextGood({ good }: Bench): Uint8Array {
  const one = good.pop();
  if (one === undefined) throw new Error('too few certificates');
  return one;
}

interface All {
  readonly ms: readonly number[];
  readonly cpuMs: readonly number[];
}

/** Every list, as on the day when all are due at once: the first of all, or the one after an outage. */
async function signAll({ lists, clock, world }: Bench): Promise<All> {
  const all = { ms: [] as number[], cpuMs: [] as number[] };
  for (let round = 0; round < allRounds; round++) {
    clock.ms += usualSchedule.everyMs + 1_000;
    const cpu = process.cpuUsage();
    const signed: number[] = [];
    all.ms.push(await msOf(async () => void signed.push(await lists.advance())));
    const { user, system } = process.cpuUsage(cpu);
    all.cpuMs.push((user + system) / 1000);
    if (signed[0] !== world.shards) throw new Error('not every list was due');
  }
  return all;
}

/** The timers of authority and server as they run, and a client that asks over HTTP until it sees it. */
async function followToDoor(bench: Bench): Promise<readonly number[]> {
  const { world, clock } = bench;
  const { store, issuance, issuer, shards } = world;
  const time = { nowMs: (): number => clock.ms };
  const keeping = startStatusKeeping({
    store,
    audit: { append: () => Promise.resolve() },
    issuance,
    issuers: [issuer],
    certificates: new Map(),
    clock: time,
    onTrouble: (error) => {
      throw error;
    },
  });
  const authority = keeping.desk;
  const answers = new Answers({ authority, clock: time });
  const lists = new PublishedLists(authority);
  const { everyMs, work } = followChore({
    follower: new StatusFollower({ authority, answers, lists }),
  });
  const following = setInterval(() => void work(), everyMs);
  const door = await openStatusDoor({
    host: '127.0.0.1',
    port: 0,
    answers,
    lists,
    certificate: () => Promise.resolve(undefined),
    clock: time,
    onRefusal: () => undefined,
  });
  const times: number[] = [];
  for (let round = 0; round < followed; round++) {
    const one = nextGood(bench);
    clock.ms += 1_000;
    const url = `http://127.0.0.1:${door.port}${listPath(authorityName, shardOf(one, shards))}`;
    const startedMs = performance.now();
    await revoke(bench, one);
    while (!(await isListed(url, one)))
      await new Promise((resolve) => setTimeout(resolve, askEveryMs));
    times.push(performance.now() - startedMs);
  }
  clearInterval(following);
  await door.close();
  await keeping.close();
  return times;
}

async function isListed(url: string, serialNumber: Uint8Array): Promise<boolean> {
  const list = parseCertificateList(new Uint8Array(await (await fetch(url)).arrayBuffer()));
  return findRevoked(list, serialNumber) !== undefined;
}

interface Bound {
  readonly bytes: number;
  readonly hashAndSignMs: number;
  readonly writeMs: number;
}

/** The same lists, as bytes that are there already. */
async function boundOf(folder: string, { world }: Bench): Promise<Bound> {
  const { store, shards, issuer } = world;
  const ders: Uint8Array[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const list = await store.list({ authority: authorityName, shard });
    if (list !== undefined) ders.push(list.der);
  }
  const hashAndSignMs = await msOf(async () => {
    for (const der of ders) await issuer.signer.sign(der);
  });
  const file = await open(join(folder, 'bare'), 'w');
  const writeMs = await msOf(async () => {
    for (const der of ders) await file.write(der);
    await file.datasync();
  });
  await file.close();
  return { bytes: ders.reduce((sum, { length }) => sum + length, 0), hashAndSignMs, writeMs };
}

function resultOf(
  benches: readonly Bench[],
  largest: Bench,
  {
    all,
    bound,
    toDoor,
  }: { readonly all: All; readonly bound: Bound; readonly toDoor: readonly number[] },
): BenchResult {
  const perSize = benches.flatMap(({ size, writes, revocations: times, shards }) => {
    const among = `among ${size.toLocaleString('en-US')} revoked`;
    return [
      row(`one durable write ${among}, p50`, median(writes), 'ms'),
      row(`one revocation ${among}, p50`, median(times), 'ms'),
      row(`one revocation and its list ${among}, p50`, median(shards), 'ms'),
    ];
  });
  const allMs = median(all.ms);
  const boundMs = bound.hashAndSignMs + bound.writeMs;
  return {
    rows: [
      ...perSize,
      row('entries on all lists', largest.size, 'entries'),
      row('lists', largest.world.shards, 'lists'),
      row('bytes of all lists', bound.bytes / 1e6, 'MB'),
      row('the same bytes hashed and signed', bound.hashAndSignMs, 'ms'),
      row('the same bytes written and flushed', bound.writeMs, 'ms'),
      row('all lists, p50', allMs, 'ms'),
      row('all lists, processor time, p50', median(all.cpuMs), 'ms'),
      row('all lists, least', Math.min(...all.ms), 'ms'),
      row('all lists, of the two bare acts', allMs / boundMs, '×'),
      row('from a revocation to its list at the door, p50', median(toDoor), 'ms'),
    ],
    promises: [
      atMost(`${largest.size.toLocaleString('en-US')} entries signed anew, in ms`, 1_000, allMs),
      atMost(
        `one revocation among the most revoked, of one among the fewest`,
        1.5,
        median(largest.revocations) / median(benches[0]?.revocations ?? []),
      ),
      atMost(
        `from a revocation to its list at the door, longest of ${followed}, in ms`,
        5_000,
        Math.max(...toDoor),
      ),
    ],
  };
}

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
