/**
 * Endorsement at the issuing port: proof checked, quota taken, linted, stored, signed, logged. Beside it,
 * in the same run, what cannot be avoided: one verification, one signature and the bare rows for each
 * certificate.
 */
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyFolder } from '../src/drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { VerifierPool } from '../src/drivers/keys/software/verifierPool.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../src/drivers/store/sqlite/orderStore.ts';
import { Issuance } from '../src/trust/issuance/issuance.ts';
import { type Issuer, rootToBe } from '../src/trust/issuance/issuer.ts';
import { lint } from '../src/trust/issuance/lint.ts';
import { Siblings } from '../src/trust/issuance/lints/siblings.ts';
import { compileProfile } from '../src/trust/issuance/prepare.ts';
import { builtInProfiles } from '../src/trust/issuance/profiles.ts';
import { Endorsement } from '../src/trust/personalization/endorse.ts';
import { Orders } from '../src/trust/personalization/orders.ts';
import { isRefusal } from '../src/trust/ports/faults.ts';
import type { OrderRecord, TicketRecord } from '../src/trust/ports/orderStore.ts';
import type { EndorseRequest, UnitRequest } from '../src/wire/line/endorsement.ts';
import { noExpirationMs } from '../src/wire/der/time.ts';
import { sequence } from '../src/wire/der/writer.ts';
import {
  parseCertificationRequest,
  prepareCertificationRequest,
} from '../src/wire/x509/certificationRequest.ts';
import { encodeName } from '../src/wire/x509/names.ts';
import { atLeast, type BenchResult, row } from './result.ts';

export const name = 'issuance';

const unitsPerRequest = 100;
/** Requests that stations have under way at once; together they share commits. */
const requestsInFlight = 24;
const cores = 2;

/** `run(['40000'])`: that many certificates. */
export async function run(options: readonly string[]): Promise<BenchResult> {
  const count = Number(options[0] ?? 20_000);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  try {
    const units = makeUnits(count);
    const factory = await makeFactory(folder);
    const bare = bareCosts(factory, units, join(folder, 'bare.sqlite'));
    const bench = await openBench(folder, factory, count);
    const seconds = await endorseAll(bench, units);
    const cpu = bench.cpuMicros();
    await bench.close();
    const perSecond = count / seconds;
    const bound = (cores * 1e6) / (bare.verify + bare.sign + bare.insert);
    return {
      rows: [
        row('verification with import of the key', bare.verify, 'µs'),
        row('signature', bare.sign, 'µs'),
        row(`bare rows, commits of ${bareCommit}`, bare.insert, 'µs'),
        row(`bound on ${cores} cores`, bound, '1/s'),
        ...stepCosts(factory, units),
        row('wall time of an endorsement', 1e6 / perSecond, 'µs'),
        row('processor time of an endorsement', cpu / count, 'µs'),
        row('endorsements', perSecond, '1/s'),
      ],
      promises: [
        atLeast('endorsements a second', 8_000, perSecond),
        atLeast('of the bound', 0.6, perSecond / bound),
      ],
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Factory {
  readonly issuer: Issuer;
  readonly privateKey: KeyObject;
}

interface Bench {
  readonly endorsement: Endorsement;
  readonly ticket: TicketRecord;
  readonly order: OrderRecord;
  /** Of the whole process, since the last call. */
  readonly cpuMicros: () => number;
  readonly close: () => Promise<void>;
}

/** Elements as a station presents them: each with its own key and its proof. */
function makeUnits(count: number): readonly UnitRequest[] {
  return Array.from({ length: count }, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
    const request = prepareCertificationRequest({ subject: sequence(), spki });
    return {
      uid: new Uint8Array(randomBytes(9)),
      model: 'SW-1',
      firmware: '1.0',
      csr: request.finish('ecdsa-with-SHA256', sign('sha256', request.toBeSigned, privateKey)),
      agree: undefined,
      proofLevel: 'line-anchored',
      evidence: undefined,
    };
  });
}

async function makeFactory(folder: string): Promise<Factory> {
  const keys = await KeyFolder.open({
    folder: join(folder, 'keys'),
    passphrase: 'of a bench',
    costLog2: 4,
  });
  await keys.create('factory', 'p256-sign');
  const signer = await keys.signer('factory');
  const subject = encodeName(['organizationName', 'Bench'], ['commonName', 'Bench Factory']);
  const issuer: Issuer = {
    ...rootToBe(nodeCrypto, subject, signer, { notBeforeMs: 0, notAfterMs: noExpirationMs }),
    role: 'factory',
  };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return { issuer, privateKey };
}

async function openBench(folder: string, { issuer }: Factory, count: number): Promise<Bench> {
  const crypto = nodeCrypto;
  const clock = { nowMs: Date.now };
  const path = join(folder, 'issuing.sqlite');
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  const store = new SqliteOrderStore(database);
  const eui64Base = new Uint8Array(8);
  const orders = new Orders({ crypto, clock, store, orderKey: issuer.signer, eui64Base });
  const order = await orders.create({
    order: 'bench',
    product: 'bench',
    family: 'software',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: '',
    quantity: count,
    leastProof: 'line-anchored',
    serverIdentity: new Uint8Array(0),
  });
  const ticket = await orders.issueTicket({
    batch: 'bench',
    count,
    stationKeySpki: issuer.signer.publicKeySpki,
    notBeforeMs: Date.now(),
    notAfterMs: Date.now() + 86_400_000,
  });
  if (isRefusal(order) || isRefusal(ticket)) throw new Error('the order was refused');
  const issuance = new Issuance({
    store: new SqliteIssuanceStore(database),
    crypto,
    clock,
    profiles: builtInProfiles,
    issuers: [issuer],
  });
  const verifier = new VerifierPool({ workers: cores - 1 });
  let start = process.cpuUsage();
  return {
    endorsement: new Endorsement({ crypto, verifier, store, issuance }),
    ticket,
    order,
    cpuMicros: () => {
      const { user, system } = process.cpuUsage(start);
      start = process.cpuUsage();
      return user + system;
    },
    close: async () => {
      await verifier.close();
      database.close();
    },
  };
}

/** Seconds until all are endorsed. */
async function endorseAll(bench: Bench, units: readonly UnitRequest[]): Promise<number> {
  const { endorsement, ticket, order } = bench;
  let next = 0;
  const station = async (): Promise<void> => {
    while (next < units.length) {
      const batch = units.slice(next, next + unitsPerRequest);
      next += batch.length;
      const content: EndorseRequest = { ticket: ticket.signed, units: batch };
      const answers = await endorsement.endorse({ content, ticket, order }, undefined);
      const refused = answers.find((answer) => 'code' in answer);
      if (refused !== undefined) throw new Error(JSON.stringify(refused));
    }
  };
  bench.cpuMicros();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: requestsInFlight }, station));
  return (performance.now() - startMs) / 1000;
}

const bareCommit = requestsInFlight * unitsPerRequest;

/** Microseconds each, one after the other on one thread. */
function bareCosts(
  { issuer, privateKey }: Factory,
  units: readonly UnitRequest[],
  path: string,
): { readonly verify: number; readonly sign: number; readonly insert: number } {
  const parsed = units.slice(0, 2_000).map(({ csr }) => parseCertificationRequest(csr));
  const verifying = timed(parsed, ({ publicKey, info, signature }) => {
    const key = createPublicKey({ key: Buffer.from(publicKey.spki), format: 'der', type: 'spki' });
    if (!verify('sha256', info, key, signature)) throw new Error('a proof does not verify');
  });
  const tbs = prepareOne(issuer)(parsed[0]?.publicKey.spki ?? new Uint8Array(0)).tbs;
  const signing = timed(parsed, () => sign('sha256', tbs, privateKey));
  return { verify: verifying, sign: signing, insert: bareInsert(path, units.length, tbs) };
}

/** The rows of T1 and T2 with their unique indexes, and nothing else. */
function bareInsert(path: string, count: number, tbs: Uint8Array): number {
  const database = new SqliteDatabase({ path, migrations: [{ version: 1, sql: bareTables }] });
  const statements = [
    'INSERT INTO issuances (serial, tbs) VALUES (?, ?)',
    'INSERT INTO units VALUES (?, ?, ?, ?)',
    'INSERT INTO unit_keys VALUES (?, ?)',
    'INSERT INTO signatures VALUES (?, ?)',
    'INSERT INTO audit_leaves (entry) VALUES (?)',
  ].map((sql) => database.prepare(sql));
  const [issuances, unitRows, keys, signatures, leaves] = statements;
  const begin = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  const random = randomBytes(count * 64);
  const eui64 = Buffer.alloc(8);
  const signature = randomBytes(71);
  const entry = randomBytes(120);
  const startMs = performance.now();
  for (let start = 0; start < count; start += bareCommit) {
    const end = Math.min(count, start + bareCommit);
    begin.run();
    for (let index = start; index < end; index++) {
      const at = random.subarray(index * 64, (index + 1) * 64);
      eui64.writeUInt32BE(index, 4);
      issuances?.run(at.subarray(0, 16), tbs);
      unitRows?.run(index + 1, at.subarray(16, 25), at.toString('latin1', 25, 41), eui64);
      keys?.run(at.subarray(41, 61), index + 1);
    }
    commit.run();
    begin.run();
    for (let index = start; index < end; index++) {
      signatures?.run(index + 1, signature);
      leaves?.run(entry);
    }
    commit.run();
  }
  const micros = ((performance.now() - startMs) * 1000) / count;
  database.close();
  return micros;
}

const bareTables = `
  CREATE TABLE issuances (id INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, tbs BLOB NOT NULL) STRICT;
  CREATE TABLE units (id INTEGER PRIMARY KEY, uid BLOB NOT NULL UNIQUE, device_id TEXT NOT NULL UNIQUE,
    eui64 BLOB NOT NULL UNIQUE) STRICT;
  CREATE TABLE unit_keys (key_id BLOB PRIMARY KEY, unit INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE signatures (id INTEGER PRIMARY KEY, signature BLOB NOT NULL) STRICT;
  CREATE TABLE audit_leaves (id INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT`;

/** Where the time of the main thread goes, beside the database. */
function stepCosts({ issuer }: Factory, units: readonly UnitRequest[]): BenchResult['rows'] {
  const sample = units.slice(0, 2_000);
  const parsed = sample.map(({ csr }) => parseCertificationRequest(csr));
  const prepare = prepareOne(issuer);
  const prepared = parsed.map(({ publicKey }) => prepare(publicKey.spki));
  const profile = builtInProfiles.get('idevid');
  if (profile === undefined) throw new Error('no profile');
  const nowMs = Date.now();
  const siblings = new Siblings();
  return [
    row(
      'request read',
      timed(sample, ({ csr }) => parseCertificationRequest(csr)),
      'µs',
    ),
    row(
      'certificate prepared',
      timed(parsed, (one) => prepare(one.publicKey.spki)),
      'µs',
    ),
    row(
      'certificate linted, read anew',
      timed(prepared, ({ tbs }) => lint(nodeCrypto, { tbs, profile, issuer, nowMs })),
      'µs',
    ),
    row(
      'certificate linted, beside a sibling',
      timed(prepared, ({ tbs }) => lint(nodeCrypto, { tbs, profile, issuer, nowMs }, siblings)),
      'µs',
    ),
  ];
}

function prepareOne(issuer: Issuer): (spki: Uint8Array) => { readonly tbs: Uint8Array } {
  const profile = builtInProfiles.get('idevid');
  if (profile === undefined) throw new Error('no profile');
  const encode = compileProfile(nodeCrypto, profile, issuer);
  const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: new Uint8Array(9) };
  return (spki) => encode({ spki, name: '0123456789abcdef', hardware }, Date.now());
}

/** Microseconds for one, after a warm-up. */
function timed<Item>(items: readonly Item[], act: (item: Item) => unknown): number {
  for (const item of items.slice(0, 300)) act(item);
  const startMs = performance.now();
  for (const item of items) act(item);
  return ((performance.now() - startMs) * 1000) / items.length;
}
