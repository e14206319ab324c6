/**
 * Endorsement at the issuing port: proof checked, quota taken, linted, stored, signed, logged. Beside it,
 * in the same run, what cannot be avoided: one verification, one signature and the bare rows for each
 * certificate.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyFolder } from '../src/drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { VerifierPool } from '../src/drivers/keys/software/verifierPool.ts';
import { SqliteApprovalStore } from '../src/drivers/store/sqlite/approvalStore.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../src/drivers/store/sqlite/orderStore.ts';
import { Permissions } from '../src/trust/approvals/permissions.ts';
import { drawnDeviceIds, drawnSerialNumbers } from '../src/trust/issuance/drawn.ts';
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
import { parseCertificationRequest } from '../src/wire/x509/certificationRequest.ts';
import { encodeCertificate } from '../src/wire/x509/certificateWriter.ts';
import { encodeName } from '../src/wire/x509/names.ts';
import { atLeast, atMost, type BenchResult, row } from './result.ts';
import { type PeerRate, peerRates } from './support/peers.ts';
import { fillBare, fillIssuing } from './support/rowsPresent.ts';
import { type StationRate, stationRate } from './support/station.ts';
import { makeUnits } from './support/units.ts';

export const name = 'issuance';

const unitsPerRequest = 100;
/** Requests that stations have under way at once; together they share commits. */
const requestsInFlight = 24;
const cores = 2;

/** Both are measured in turns, so that a machine with other work is as slow for one as for the other. */
const rounds = 10;
/** By then the code is compiled, as it is in a factory that works all day. */
const warmUpUnits = 20_000;

/** `run(['20000', '1000000'])`: that many certificates beside that many present; 40,000 beside 500,000. */
export async function run(options: readonly string[]): Promise<BenchResult> {
  const count = Number(options[0] ?? 40_000);
  const present = Number(options[1] ?? 500_000);
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  try {
    const units = makeUnits(count + warmUpUnits);
    const factory = await makeFactory(folder);
    const bare = new Bare(factory, units, present, join(folder, 'bare.sqlite'));
    const bench = await openBench(folder, factory, units.length, present);
    await endorseAll(bench, units.slice(0, warmUpUnits));
    await bare.measure(0, warmUpUnits);
    bare.forget();
    const total = { seconds: 0, cpuMicros: 0, loopCpuMicros: 0, loopActiveSeconds: 0 };
    for (let round = 0; round < rounds; round++) {
      const [start, end] = [round, round + 1].map(
        (part) => warmUpUnits + Math.round((count * part) / rounds),
      );
      await bare.measure(start ?? 0, end ?? 0);
      const part = await endorseAll(bench, units.slice(start, end));
      total.seconds += part.seconds;
      total.cpuMicros += part.cpuMicros;
      total.loopCpuMicros += part.loopCpuMicros;
      total.loopActiveSeconds += part.loopActiveSeconds;
    }
    await bench.close();
    const costs = bare.close();
    const steps = stepCosts(factory, units);
    const peers = await peerRates(factory.example);
    const station = await stationRate(join(folder, 'house'));
    return resultOf({ count, present, total, bare: costs, steps, peers, station });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Measured {
  readonly count: number;
  readonly present: number;
  readonly total: Spent;
  readonly bare: BareCosts;
  readonly steps: Steps;
  readonly peers: readonly PeerRate[];
  readonly station: StationRate;
}

function resultOf({ count, present, total, bare, steps, peers, station }: Measured): BenchResult {
  const sum = bare.verify + bare.sign + bare.insert;
  const bound = (cores * 1e6) / sum;
  const perSecond = count / total.seconds;
  const cpu = total.cpuMicros / count;
  const made = 1e6 / (steps.prepared + steps.signed);
  const [peculiar] = peers;
  return {
    rows: [
      row('rows present', present, ''),
      row('verification with import of the key', bare.verify, 'µs'),
      row('signature', bare.sign, 'µs'),
      row(`bare rows, commits of ${commitUnits}`, bare.insert, 'µs'),
      row(`bound on ${cores} cores`, bound, '1/s'),
      row('request read', steps.read, 'µs'),
      row('certificate prepared', steps.prepared, 'µs'),
      row('certificate linted, read anew', steps.lintedAnew, 'µs'),
      row('certificate linted, beside a sibling', steps.linted, 'µs'),
      row('certificate made: prepared and signed', made, '1/s'),
      ...peers.map((peer) => row(peer.name, peer.perSecond, '1/s')),
      row('Vault, stored, as published', 2_200, '1/s'),
      row('wall time of an endorsement', 1e6 / perSecond, 'µs'),
      row('processor time of an endorsement', cpu, 'µs'),
      row('processor time of its event loop', total.loopCpuMicros / count, 'µs'),
      row('event loop at work, of the time', total.loopActiveSeconds / total.seconds, ''),
      row('processor time of the bare acts', bare.cpu, 'µs'),
      row('bare acts of all work, by processor time', bare.cpu / cpu, ''),
      row('endorsements', perSecond, '1/s'),
      row('endorsements over TLS from one station, whole installation', station.perSecond, '1/s'),
      row('processor time of one of these', station.cpuMicros, 'µs'),
    ],
    promises: [
      atLeast('endorsements a second', 8_000, perSecond),
      atLeast('of the bound', 0.6, perSecond / bound),
      atLeast('made, of @peculiar/x509', 40, made / (peculiar?.perSecond ?? made)),
      atMost(
        'prepared and linted, of a signature',
        1,
        (steps.prepared + steps.linted) / steps.signed,
      ),
    ],
  };
}

interface Factory {
  readonly issuer: Issuer;
  readonly privateKey: KeyObject;
  /** DER of a certificate that it has issued. */
  readonly example: Uint8Array;
}

interface Bench {
  readonly endorsement: Endorsement;
  readonly ticket: TicketRecord;
  readonly order: OrderRecord;
  readonly close: () => Promise<void>;
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
  const { tbs } = prepareOne(issuer)(signer.publicKeySpki);
  const signature = new Uint8Array(sign('sha256', tbs, privateKey));
  const example = encodeCertificate(tbs, issuer.signatureAlgorithm, signature);
  return { issuer, privateKey, example };
}

async function openBench(
  folder: string,
  { issuer }: Factory,
  count: number,
  present: number,
): Promise<Bench> {
  const crypto = nodeCrypto;
  const clock = { nowMs: Date.now };
  const path = join(folder, 'issuing.sqlite');
  const open = (): SqliteDatabase => new SqliteDatabase({ path, migrations: issuingMigrations });
  open().close();
  // The ticket that is about to be made is the first one.
  fillIssuing(path, present, 1);
  const database = open();
  const store = new SqliteOrderStore(database);
  const eui64Base = new Uint8Array(8);
  const approvals = new SqliteApprovalStore(database);
  const permissions = new Permissions({ store: approvals, crypto, clock });
  const bears = (): boolean => true;
  const orders = new Orders({ crypto, clock, store, orderKey: issuer.signer, bears, eui64Base });
  const asked = await permissions.allow(
    'order.create',
    {
      order: 'bench',
      product: 'bench',
      family: 'software',
      hwType: '1.3.6.1.4.1.32473.1',
      partNumber: '',
      quantity: count,
      leastProof: 'line-anchored',
      serverIdentity: new Uint8Array(0),
    },
    undefined,
  );
  const wanted = await permissions.allow(
    'ticket.issue',
    {
      batch: 'bench',
      count,
      stationKeySpki: issuer.signer.publicKeySpki,
      notBeforeMs: Date.now(),
      notAfterMs: Date.now() + 86_400_000,
    },
    undefined,
  );
  if (isRefusal(asked) || isRefusal(wanted)) throw new Error('two persons order here');
  const order = await orders.create(asked);
  const ticket = await orders.issueTicket(wanted);
  if (isRefusal(order) || isRefusal(ticket)) throw new Error('the order was refused');
  const issuance = new Issuance({
    store: new SqliteIssuanceStore(database),
    crypto,
    clock,
    profiles: builtInProfiles,
    issuers: [issuer],
  });
  const verifier = new VerifierPool();
  return {
    endorsement: new Endorsement({ crypto, clock, verifier, store, issuance }),
    ticket,
    order,
    close: async () => {
      await verifier.close();
      database.close();
    },
  };
}

interface Spent {
  readonly seconds: number;
  /** Of all threads. */
  readonly cpuMicros: number;
  readonly loopCpuMicros: number;
  /** With waiting for the disk. */
  readonly loopActiveSeconds: number;
}

/** What it takes until all are endorsed. */
async function endorseAll(
  { endorsement, ticket, order }: Bench,
  units: readonly UnitRequest[],
): Promise<Spent> {
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
  const [cpuBefore, loopCpuBefore] = [process.cpuUsage(), process.threadCpuUsage()];
  const loopBefore = performance.eventLoopUtilization();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: requestsInFlight }, station));
  return {
    seconds: (performance.now() - startMs) / 1000,
    cpuMicros: sumOf(process.cpuUsage(cpuBefore)),
    loopCpuMicros: sumOf(process.threadCpuUsage(loopCpuBefore)),
    loopActiveSeconds: performance.eventLoopUtilization(loopBefore).active / 1000,
  };
}

function sumOf({ user, system }: NodeJS.CpuUsage): number {
  return user + system;
}

const commitUnits = requestsInFlight * unitsPerRequest;

interface BareCosts {
  readonly verify: number;
  readonly sign: number;
  readonly insert: number;
  /** Processor time of the three together. */
  readonly cpu: number;
}

/** What no program can avoid, one after the other on one thread. */
class Bare {
  readonly #privateKey: KeyObject;
  readonly #units: readonly UnitRequest[];
  readonly #tbs: Uint8Array;
  readonly #database: SqliteDatabase;
  #count = 0;
  #micros = { verify: 0, sign: 0, insert: 0, cpu: 0 };

  constructor(
    { issuer, privateKey }: Factory,
    units: readonly UnitRequest[],
    present: number,
    path: string,
  ) {
    this.#privateKey = privateKey;
    this.#units = units;
    const [first] = units.map(({ csr }) => parseCertificationRequest(csr).publicKey.spki);
    this.#tbs = prepareOne(issuer)(first ?? new Uint8Array(0)).tbs;
    const open = (): SqliteDatabase =>
      new SqliteDatabase({ path, migrations: [{ version: 1, sql: bareTables }] });
    open().close();
    fillBare(path, present);
    this.#database = open();
  }

  async measure(start: number, end: number): Promise<void> {
    const parsed = this.#units.slice(start, end).map(({ csr }) => parseCertificationRequest(csr));
    const rows = bareRows(start, end);
    this.#count += parsed.length;
    const before = process.cpuUsage();
    this.#micros.verify += micros(() => {
      for (const { publicKey, info, signature } of parsed) {
        // The quickest way that node:crypto has: a text, of which no KeyObject is made.
        const base64 = Buffer.from(publicKey.spki).toString('base64');
        const key = `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`;
        if (!verify('sha256', info, key, signature)) throw new Error('a proof is wrong');
      }
    });
    this.#micros.sign += micros(() => {
      for (let index = start; index < end; index++) sign('sha256', this.#tbs, this.#privateKey);
    });
    const startMs = performance.now();
    await insertBare(this.#database, this.#tbs, rows);
    this.#micros.insert += (performance.now() - startMs) * 1000;
    this.#micros.cpu += sumOf(process.cpuUsage(before));
  }

  forget(): void {
    this.#count = 0;
    this.#micros = { verify: 0, sign: 0, insert: 0, cpu: 0 };
  }

  /** Microseconds for one. */
  close(): BareCosts {
    this.#database.close();
    const each = (total: number): number => total / this.#count;
    const { verify, sign, insert, cpu } = this.#micros;
    return { verify: each(verify), sign: each(sign), insert: each(insert), cpu: each(cpu) };
  }
}

interface BareRow {
  readonly id: number;
  readonly serial: Uint8Array;
  readonly random: Buffer;
  readonly deviceId: string;
  readonly eui64: Buffer;
}

function bareRows(start: number, end: number): readonly BareRow[] {
  const serials = drawnSerialNumbers(nodeCrypto, Date.now(), end - start);
  const deviceIds = drawnDeviceIds(nodeCrypto, Date.now(), end - start);
  return Array.from({ length: end - start }, (_, index) => {
    const eui64 = Buffer.alloc(8);
    eui64.writeUInt32BE(start + index, 4);
    const id = start + index + 1;
    return {
      id,
      serial: serials(index),
      random: randomBytes(29),
      deviceId: deviceIds(index),
      eui64,
    };
  });
}

/** The rows of T1 and T2 with their unique indexes, durable, and nothing else. */
async function insertBare(
  database: SqliteDatabase,
  tbs: Uint8Array,
  rows: readonly BareRow[],
): Promise<void> {
  for (let start = 0; start < rows.length; start += commitUnits) {
    const batch = rows.slice(start, start + commitUnits);
    await database.transact((connection) => {
      const issuances = connection.prepare('INSERT INTO issuances VALUES (?, ?, ?)');
      const units = connection.prepare('INSERT INTO units VALUES (?, ?, ?, ?)');
      const keys = connection.prepare('INSERT INTO unit_keys VALUES (?, ?)');
      for (const { id, serial, random, deviceId, eui64 } of batch) {
        issuances.run(id, serial, tbs);
        units.run(id, random.subarray(0, 9), deviceId, eui64);
        keys.run(random.subarray(9), id);
      }
    });
    await database.transact((connection) => {
      const signatures = connection.prepare('INSERT INTO signatures VALUES (?, ?)');
      const leaves = connection.prepare('INSERT INTO audit_leaves (entry) VALUES (?)');
      for (const { id } of batch) {
        signatures.run(id, bareSignature);
        leaves.run(bareEntry);
      }
    });
  }
}

const bareSignature = randomBytes(71);
const bareEntry = randomBytes(120);

const bareTables = `
  CREATE TABLE issuances (id INTEGER PRIMARY KEY, serial BLOB NOT NULL UNIQUE, tbs BLOB NOT NULL) STRICT;
  CREATE TABLE units (id INTEGER PRIMARY KEY, uid BLOB NOT NULL UNIQUE, device_id TEXT NOT NULL UNIQUE,
    eui64 BLOB NOT NULL UNIQUE) STRICT;
  CREATE TABLE unit_keys (key_id BLOB PRIMARY KEY, unit INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE signatures (id INTEGER PRIMARY KEY, signature BLOB NOT NULL) STRICT;
  CREATE TABLE audit_leaves (id INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT`;

/** Microseconds of the main thread, beside the database. */
interface Steps {
  readonly read: number;
  readonly prepared: number;
  readonly lintedAnew: number;
  readonly linted: number;
  readonly signed: number;
}

function stepCosts({ issuer, privateKey }: Factory, units: readonly UnitRequest[]): Steps {
  const sample = units.slice(0, 2_000);
  const parsed = sample.map(({ csr }) => parseCertificationRequest(csr));
  const prepare = prepareOne(issuer);
  const prepared = parsed.map(({ publicKey }) => prepare(publicKey.spki));
  const profile = builtInProfiles.get('idevid');
  if (profile === undefined) throw new Error('no profile');
  const nowMs = Date.now();
  const siblings = new Siblings();
  return {
    read: timed(sample, ({ csr }) => parseCertificationRequest(csr)),
    prepared: timed(parsed, (one) => prepare(one.publicKey.spki)),
    lintedAnew: timed(prepared, ({ tbs }) => lint(nodeCrypto, { tbs, profile, issuer, nowMs })),
    linted: timed(prepared, ({ tbs }) =>
      lint(nodeCrypto, { tbs, profile, issuer, nowMs }, siblings),
    ),
    signed: timed(prepared, ({ tbs }) => sign('sha256', tbs, privateKey)),
  };
}

function prepareOne(issuer: Issuer): (spki: Uint8Array) => { readonly tbs: Uint8Array } {
  const profile = builtInProfiles.get('idevid');
  if (profile === undefined) throw new Error('no profile');
  const encode = compileProfile(nodeCrypto, profile, issuer);
  const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: new Uint8Array(9) };
  return (spki) => encode({ spki, name: '0123456789abcdef', hardware }, Date.now());
}

/** Microseconds for one, after a warm-up: the median of short runs, since others use the machine too. */
function timed<Item>(items: readonly Item[], act: (item: Item) => unknown): number {
  for (const item of items) act(item);
  const runs: number[] = [];
  for (let start = 0; start + runItems <= items.length; start += runItems) {
    const some = items.slice(start, start + runItems);
    const total = micros(() => {
      for (const item of some) act(item);
    });
    runs.push(total / runItems);
  }
  return runs.toSorted((left, right) => left - right)[runs.length >> 1] ?? 0;
}

const runItems = 50;

function micros(act: () => void): number {
  const startMs = performance.now();
  act();
  return (performance.now() - startMs) * 1000;
}
