/**
 * Recovery of an installation whose database was put back to an earlier state. It demands what is kept
 * elsewhere: a copy of the log up to the newest checkpoint that anybody saw, the ledger of orders, and the
 * published lists. Then nothing that was given out is given out again, and nothing that was revoked comes
 * back. A new log begins, under a new key, whose tree goes on from the old one's.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { readLedger } from '../../drivers/store/files/ledgerFolder.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteRegistryStore } from '../../drivers/store/sqlite/registryStore.ts';
import { blob, integer } from '../../drivers/store/sqlite/rows.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { encodeAuditEntry, type IssuedEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Revocation } from '../../trust/ports/issuanceStore.ts';
import type { RegistryStore } from '../../trust/ports/registryStore.ts';
import { isFinal } from '../../trust/status/notices.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { fromUtf8, utf8 } from '../../wire/bytes/utf8.ts';
import { entriesOf } from '../audit/logCopy.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  otherKeys,
  requireInstallation,
} from '../authority/authorityFolder.ts';
import { households } from './household.ts';
import {
  authoritiesOf,
  type CheckedCopy,
  checkedCopy,
  type KeptElsewhere,
  readList,
} from './keptElsewhere.ts';
import {
  endRecovery,
  readRecovery,
  type RecoveryReport,
  reportOf,
  writeRecovery,
} from './recoveryState.ts';
import { type Learnt, replay, statusChangeOf } from './replay.ts';

export interface RecoverOptions extends KeptElsewhere {
  readonly dataFolder: string;
  /** Folder of the ledger; where there is none, how many addresses are left out instead. */
  readonly ledger: string | undefined;
  readonly skippedAddresses: number;
  /** DER of certificates of operators that came after the backup. */
  readonly operators?: readonly Uint8Array[];
  /** DER of published lists of revoked certificates. */
  readonly lists: readonly Uint8Array[];
  readonly nowMs: number;
}

/**
 * Rejects with an `EnvironmentError` when something that is demanded is missing, or does not fit: then
 * nothing was changed.
 */
export async function recover(options: RecoverOptions): Promise<RecoveryReport | undefined> {
  const paths = authorityPaths(options.dataFolder);
  const [authority, provisioner] = households(options.dataFolder);
  if ((await readRecovery(paths.folder))?.phase === 'ready') return undefined;
  if (!existsSync(paths.database)) throw refused(`${paths.database} is missing`);
  const database = new SqliteDatabase({
    path: paths.database,
    migrations: authority.sqliteMigrations,
  });
  try {
    // Somebody else may have put the database back: from here on nothing starts on it.
    for (const { folder } of [authority.place, provisioner.place]) {
      if (existsSync(folder)) await writeRecovery(folder, { phase: 'demanded' });
    }
    const done = await database.read((connection) =>
      connection.prepare(`SELECT value FROM settings WHERE name = '${doneSetting}'`).get(),
    );
    const report =
      done === undefined
        ? await learn(options, paths, database)
        : reportOf(JSON.parse(fromUtf8(blob(done, 'value')) ?? '{}'));
    await beginLog(paths, options.nowMs);
    await database.transact((connection) => {
      connection.prepare(`DELETE FROM settings WHERE name = '${doneSetting}'`).run();
    });
    await writeRecovery(paths.folder, { phase: 'ready', report });
    return report;
  } finally {
    database.close();
  }
}

/** Whose word it is. Where two persons are needed the permission has checked both. */
export interface RecoveryApproval {
  readonly requestedBy: string;
  readonly approvedBy: string;
  readonly atMs: number;
}

/**
 * Lets the installation start again. Rejects with an `EnvironmentError` when it is not ready, or when one
 * person alone wants it.
 */
export async function releaseRecovery(
  dataFolder: string,
  { requestedBy, approvedBy, atMs }: RecoveryApproval,
  { resumed }: Begun<'store.release'>,
): Promise<void> {
  const paths = authorityPaths(dataFolder);
  const state = await readRecovery(paths.folder);
  // Cut short behind its last line: all of it is done.
  if (state === undefined && resumed) return;
  if (state === undefined) throw refused(`${paths.folder} is in no recovery`);
  if (state.phase !== 'ready')
    throw refused(`${paths.folder} does not know enough: see birthmark store recover`);
  if (requestedBy === approvedBy)
    throw refused('a restored installation is released by two persons');
  const [authority, provisioner] = households(dataFolder);
  const database = new SqliteDatabase({
    path: paths.database,
    migrations: authority.sqliteMigrations,
  });
  try {
    const subject = 'recovery';
    const detail = `asked by ${requestedBy}, approved by ${approvedBy}`;
    const act = 'released';
    const leaf = encodeAuditEntry({ kind: 'decision', atMs, act, subject, detail });
    await database.transact((connection) => {
      connection
        .prepare('INSERT INTO audit_leaves VALUES ((SELECT max(id) + 1 FROM audit_leaves), ?)')
        .run(leaf);
    });
  } finally {
    database.close();
  }
  await endRecovery(provisioner.place.folder);
  await endRecovery(paths.folder);
}

/** The report, in the transaction that learns: a crash behind it finds what is left to do, and to be told. */
const doneSetting = 'recovery-done';

async function learn(
  options: RecoverOptions,
  paths: AuthorityPaths,
  database: SqliteDatabase,
): Promise<RecoveryReport> {
  const { ledger, skippedAddresses, nowMs } = options;
  if (ledger === undefined && skippedAddresses <= 0) {
    throw refused(
      'the ledger of orders is missing: name its folder, or how many addresses to leave out',
    );
  }
  const log = await checkedCopy(options, paths);
  const leaves = await missingLeaves(log, database);
  const authorities = await authoritiesOf(paths);
  const { eui64Base } = await requireInstallation(paths);
  const learnt: Learnt = {
    nowMs,
    leaves,
    operators: new Map(
      (options.operators ?? []).map((der) => [toHex(nodeCrypto.hash('SHA-256', der)), der]),
    ),
    authorities: new Map([...authorities].map(([id, { name }]) => [id, name])),
    roots: new Set([...authorities.values()].flatMap(({ name, isRoot }) => (isRoot ? [name] : []))),
    ledger: ledger === undefined ? [] : await readLedger(ledger),
    skippedAddresses: ledger === undefined ? skippedAddresses : 0,
    eui64Base,
    lists: options.lists.map((der) => readList(der, authorities)),
    closing: closingLeaf(log, nowMs),
  };
  // Before the database: what is done twice here changes nothing, and a crash behind it does it again.
  await teachRegistry(options.dataFolder, log, learnt);
  return database.transact((connection) => {
    const report = { ...replay(connection, learnt) };
    connection
      .prepare(`INSERT INTO settings VALUES ('${doneSetting}', ?)`)
      .run(utf8(JSON.stringify(report)));
    return report;
  });
}

/** Rejects with an `EnvironmentError` when the database is no earlier state of the copied log. */
async function missingLeaves(
  log: CheckedCopy,
  database: SqliteDatabase,
): Promise<readonly Uint8Array[]> {
  const missing: Uint8Array[] = [];
  const select = 'SELECT entry FROM audit_leaves WHERE id = ?';
  for await (const { index, entry } of entriesOf(log, log.checkpoint)) {
    const row = await database.read((connection) => connection.prepare(select).get(index + 1));
    if (row === undefined) missing.push(entry);
    else if (!equal(blob(row, 'entry'), entry)) {
      throw refused(`leaf ${index} of the database is not that of the log: it is of another one`);
    }
  }
  const last = await database.read((connection) =>
    connection.prepare('SELECT coalesce(max(id), 0) AS id FROM audit_leaves').get(),
  );
  if (integer(last ?? {}, 'id') > log.checkpoint.treeSize) {
    throw refused('the copy of the log ends before the database: bring a newer one');
  }
  return missing;
}

/** The tree of the new log has the old one's leaves at its front: this one says so in words. */
function closingLeaf({ key, checkpoint }: CheckedCopy, atMs: number): Uint8Array {
  const { treeSize, root } = checkpoint;
  const detail = `restored; goes on from ${treeSize} leaves with root ${toHex(root)}`;
  return encodeAuditEntry({ kind: 'decision', atMs, act: 'new-log', subject: key.name, detail });
}

/** A log with a new key is a new log; the old key signs nothing any more. */
async function beginLog(paths: AuthorityPaths, nowMs: number): Promise<void> {
  if (existsSync(paths.log)) {
    const ended = join(paths.folder, 'logs');
    await mkdir(ended, { recursive: true, mode: 0o700 });
    await rename(paths.log, join(ended, `ended-${nowMs}`));
  }
  await rm(join(paths.keys, `${otherKeys.log}.key`), { force: true });
}

/** What was revoked or held since is so at the doors too, whatever database of theirs came back. */
async function teachRegistry(
  dataFolder: string,
  log: CheckedCopy,
  { leaves, lists, nowMs }: Learnt,
): Promise<void> {
  const [, { place, sqliteMigrations }] = households(dataFolder);
  if (!existsSync(place.database)) return;
  const changes = [
    ...leaves.flatMap((leaf) => statusChangeOf(readAuditEntry(leaf), leaf) ?? []),
    ...lists.flatMap(({ revoked }) => revoked),
  ];
  const issued = await issuedWith(
    log,
    new Set(changes.map(({ serialNumber }) => toHex(serialNumber))),
  );
  const database = new SqliteDatabase({ path: place.database, migrations: sqliteMigrations });
  try {
    // Which of them were revoked since no log tells: programs get new ones.
    await database.transact((connection) =>
      connection.prepare('UPDATE api_token SET revoked_ms = ? WHERE revoked_ms IS NULL').run(nowMs),
    );
    const registry = new SqliteRegistryStore(database);
    for (const change of changes) {
      const known = issued.get(toHex(change.serialNumber));
      if (known !== undefined) await teach(registry, change, known);
    }
  } finally {
    database.close();
  }
}

/** Entries of the log about these serial numbers. */
async function issuedWith(
  log: CheckedCopy,
  serialNumbers: ReadonlySet<string>,
): Promise<ReadonlyMap<string, IssuedEntry>> {
  const found = new Map<string, IssuedEntry>();
  if (serialNumbers.size === 0) return found;
  for await (const { entry } of entriesOf(log, log.checkpoint)) {
    const read = readAuditEntry(entry);
    if (read.kind !== 'issued') continue;
    const serialNumber = toHex(read.serialNumber);
    if (serialNumbers.has(serialNumber)) found.set(serialNumber, read);
  }
  return found;
}

async function teach(
  registry: RegistryStore,
  { code, reason, atMs }: Revocation,
  { ticketId, holder, certificateSha256 }: IssuedEntry,
): Promise<void> {
  if (isFinal(code)) {
    // Whoever's birth certificate is revoked has nothing left.
    if (ticketId !== undefined) await registry.revokeDevices([holder], reason, atMs, code);
    await registry.setCertificateState(certificateSha256, 'revoked', reason, atMs, code);
    return;
  }
  const state = code === 'certificateHold' ? 'held' : 'active';
  await registry.setCertificateState(certificateSha256, state, reason, atMs);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
