/**
 * The authority with many certificates in its database: start-up and memory at a million, and issuing at five
 * million against issuing at one, in turns, with the cache of 64 MiB that every process has.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { authorityPaths } from '../src/apps/authority/authorityFolder.ts';
import { initializeAuthority } from '../src/apps/authority/initialize.ts';
import { newMemorySigner } from '../src/drivers/keys/software/memorySigner.ts';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../src/drivers/store/sqlite/issuingTables.ts';
import { type IssueRequest, Issuance } from '../src/trust/issuance/issuance.ts';
import { type Issuer, rootToBe } from '../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../src/trust/issuance/profiles.ts';
import { isRefusal } from '../src/trust/ports/faults.ts';
import { toBase32 } from '../src/wire/bytes/base32.ts';
import { noExpirationMs } from '../src/wire/der/time.ts';
import { encodeName } from '../src/wire/x509/names.ts';
import { p256Spki } from '../src/wire/x509/spki.ts';
import { atMost, type BenchResult, row } from './result.ts';
import { fillStore, filledTicketId } from './support/largeStore.ts';

export const name = 'store';

const passphrase = 'of a bench';
const startProgram = fileURLToPath(new URL('support/startProcess.ts', import.meta.url));
const starts = 3;
const unitsPerCall = 100;
const callsInFlight = 24;
const rounds = 13;
const unitsPerRound = 2_400;

/** `run(['100000', '500000'])`: so many certificates in the smaller database, and in the larger one. */
export async function run(options: readonly string[]): Promise<BenchResult> {
  const [smaller = 1_000_000, larger = 5_000_000] = options.map(Number);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  try {
    const database = await filledInstallation(folder, smaller);
    const small = join(folder, 'small.sqlite');
    copyFileSync(database, small);
    const start = measureStarts(folder);
    const large = join(folder, 'large.sqlite');
    const fillStart = performance.now();
    newStore(large, larger);
    const fillSeconds = (performance.now() - fillStart) / 1000;
    const sizes = [small, large].map((path) => statSync(path).size / 1e9);
    const { perSecond, ratio } = await compareIssuing(small, large);
    return {
      rows: [
        row('certificates in the smaller database', smaller, ''),
        row('its size', sizes[0] ?? 0, 'GB'),
        row('start-up, process and keys included', start.readyMs, 'ms'),
        row('resident memory when ready', start.mebibytes, 'MiB'),
        row('certificates in the larger database', larger, ''),
        row('its size', sizes[1] ?? 0, 'GB'),
        row('written in', fillSeconds, 's'),
        row('issued a second, smaller', perSecond[0], '1/s'),
        row('issued a second, larger', perSecond[1], '1/s'),
        row('larger of smaller', 1 / ratio, ''),
      ],
      promises: [
        atMost('start-up, ms', 2_000, start.readyMs),
        atMost('resident memory, MiB', 300, start.mebibytes),
        atMost('slower with five times the rows, %', 30, (ratio - 1) * 100),
      ],
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A real installation, its log hashed up to the end; gives the path of its database. */
async function filledInstallation(dataFolder: string, certificates: number): Promise<string> {
  const clock = { nowMs: Date.now };
  const organization = 'Bench';
  await initializeAuthority({ dataFolder, passphrase, organization, clock, costLog2: 4 });
  const { database } = authorityPaths(dataFolder);
  fillStore({ path: database, certificates, room: rounds * unitsPerRound });
  // The first start hashes the leaves and writes their tiles, as years of work would have.
  startOnce(dataFolder);
  return database;
}

function newStore(path: string, certificates: number): void {
  new SqliteDatabase({ path, migrations: issuingMigrations }).close();
  fillStore({ path, certificates, room: rounds * unitsPerRound });
}

interface Start {
  readonly readyMs: number;
  readonly mebibytes: number;
}

/** Of several the best time, which other work on the machine disturbed least, and the largest memory. */
function measureStarts(dataFolder: string): Start {
  const all = Array.from({ length: starts }, () => startOnce(dataFolder));
  return {
    readyMs: Math.min(...all.map(({ readyMs }) => readyMs)),
    mebibytes: Math.max(...all.map(({ mebibytes }) => mebibytes)),
  };
}

function startOnce(dataFolder: string): Start {
  const words = ['--disable-warning=ExperimentalWarning', startProgram, dataFolder, passphrase];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const { readyMs, rss } = JSON.parse(stdout) as { readyMs: number; rss: number };
  return { readyMs, mebibytes: rss / 2 ** 20 };
}

/** In turns, so that a machine with other work is as slow for one as for the other. */
async function compareIssuing(
  small: string,
  large: string,
): Promise<{ readonly perSecond: readonly [number, number]; readonly ratio: number }> {
  const stores = [new FilledStore(small), new FilledStore(large)] as const;
  for (const store of stores) await store.issue(unitsPerRound);
  const seconds: Array<readonly [smaller: number, larger: number]> = [];
  for (let round = 1; round < rounds; round++) {
    seconds.push([await stores[0].issue(unitsPerRound), await stores[1].issue(unitsPerRound)]);
  }
  for (const store of stores) store.close();
  return {
    perSecond: [
      unitsPerRound / median(seconds.map(([smaller]) => smaller)),
      unitsPerRound / median(seconds.map(([, larger]) => larger)),
    ],
    ratio: median(seconds.map(([smaller, larger]) => larger / smaller)),
  };
}

/** One round in which something else had the disk says nothing of the others. */
function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Issues birth certificates under the ticket of the filled database, from T1 to T2. */
class FilledStore {
  readonly #database: SqliteDatabase;
  readonly #issuance: Issuance;

  constructor(path: string) {
    this.#database = new SqliteDatabase({ path, migrations: issuingMigrations });
    this.#issuance = new Issuance({
      store: new SqliteIssuanceStore(this.#database),
      crypto: nodeCrypto,
      clock: { nowMs: Date.now },
      profiles: builtInProfiles,
      issuers: [factory()],
    });
  }

  /** Seconds that it took. */
  async issue(count: number): Promise<number> {
    const calls = Array.from({ length: count / unitsPerCall }, () =>
      Array.from({ length: unitsPerCall }, unitRequest),
    );
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < calls.length) {
        const call = calls[next++] ?? [];
        const outcomes = await this.#issuance.issue(call);
        const refusal = outcomes.find((outcome) => isRefusal(outcome));
        if (refusal !== undefined) throw new Error(JSON.stringify(refusal));
      }
    };
    const startMs = performance.now();
    await Promise.all(Array.from({ length: callsInFlight }, work));
    return (performance.now() - startMs) / 1000;
  }

  close(): void {
    this.#database.close();
  }
}

function factory(): Issuer {
  const subject = encodeName(['organizationName', 'Bench'], ['commonName', 'Bench Factory']);
  const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
  return { ...rootToBe(nodeCrypto, subject, newMemorySigner(), period), role: 'factory' };
}

/** Of an element that nobody has met. */
function unitRequest(): IssueRequest {
  const point = nodeCrypto.publicPoint(nodeCrypto.generateKeyPair('P-256'));
  const uid = new Uint8Array(randomBytes(9));
  const name = toBase32(new Uint8Array(randomBytes(10)));
  return {
    profile: 'idevid',
    content: {
      spki: p256Spki(point),
      name,
      hardware: { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: uid },
    },
    unit: {
      ticketId: filledTicketId,
      family: 'software',
      uid,
      model: 'SW-1',
      firmware: '1.0',
      proofLevel: 'line-anchored',
      agreeKey: undefined,
    },
  };
}
