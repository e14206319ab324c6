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
import type { Begun } from '../../trust/approvals/permissions.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import {
  generationsAfterRestore,
  generationsSetting,
} from '../../trust/issuance/serverGenerations.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { parseCase } from '../../trust/ports/lossCase.ts';
import type { Lesson, RecoveryReport } from '../../trust/ports/recoveryStore.ts';
import type { LedgerLine } from '../../trust/ports/ticketLedger.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { entriesOf } from '../audit/logCopy.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  otherKeys,
  requireInstallation,
} from '../authority/authorityFolder.ts';
import { readBook } from '../authority/book.ts';
import { type AuthorityStores, openAuthorityStores } from '../authority/stores.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { households } from './household.ts';
import {
  authoritiesOf,
  type CheckedCopy,
  checkedCopy,
  type KeptElsewhere,
  readList,
} from './keptElsewhere.ts';
import { isMarked, markRecovery, unmarkRecovery } from './recoveryState.ts';
import { lessonsOf, loggedLists, orderedIn, skippedAddresses, type Source } from './relearn.ts';
import { keepAuthorities, settledCase } from './restoredAuthorities.ts';
import { teachRegistry } from './teachRegistry.ts';

export interface RecoverOptions extends KeptElsewhere {
  readonly dataFolder: string;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
  /** Folder of the ledger; where there is none, how many addresses are left out instead. */
  readonly ledger: string | undefined;
  readonly skippedAddresses: number;
  /** DER of certificates of operators, and of anchors of other makers, that came after the backup. */
  readonly certificates?: readonly Uint8Array[];
  /** DER of certificates of authorities that came after it. */
  readonly authorities?: readonly Uint8Array[];
  /** DER of published lists of revoked certificates. */
  readonly lists: readonly Uint8Array[];
  readonly nowMs: number;
}

/**
 * Rejects with an `EnvironmentError` when something that is demanded is missing, or does not fit: then the
 * database is what it was. Where it knows everything already it is told once more what that was.
 */
export async function recover(options: RecoverOptions): Promise<RecoveryReport> {
  const paths = authorityPaths(options.dataFolder);
  if (options.store === undefined && !existsSync(paths.database)) {
    throw refused(`${paths.database} is missing`);
  }
  const stores = await openAuthorityStores(paths, options.store, 'recover');
  try {
    const present = await stores.recovery.recovery();
    if (present?.phase === 'ready') return present.report;
    // Somebody else may have put the database back: from here on nothing starts on it.
    await stores.recovery.demand();
    for (const { place } of households(options.dataFolder)) {
      if (existsSync(place.folder)) await markRecovery(place.folder);
    }
    const report =
      present?.phase === 'learnt' ? present.report : await learn(options, paths, stores);
    await beginLog(paths, options.nowMs);
    await stores.recovery.finish();
    return report;
  } finally {
    await stores.close();
  }
}

/** For whoever releases it. Rejects with an `EnvironmentError` when there is nothing to be released. */
export async function reportOf(
  dataFolder: string,
  store: StoreSetting | undefined,
): Promise<RecoveryReport> {
  const paths = authorityPaths(dataFolder);
  const stores = await openAuthorityStores(paths, store, 'recover');
  try {
    return await readyReport(paths, stores);
  } finally {
    await stores.close();
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
  { dataFolder, store }: Pick<RecoverOptions, 'dataFolder' | 'store'>,
  { requestedBy, approvedBy, atMs }: RecoveryApproval,
  _begun: Begun<'store.release'>,
): Promise<void> {
  const paths = authorityPaths(dataFolder);
  const stores = await openAuthorityStores(paths, store, 'recover');
  try {
    await readyReport(paths, stores);
    if (requestedBy === approvedBy)
      throw refused('a restored installation is released by two persons');
    // The row is the last to go: cut short before it nothing is issued yet, and the same call goes on.
    for (const { place } of households(dataFolder)) await unmarkRecovery(place.folder);
    const detail = `asked by ${requestedBy}, approved by ${approvedBy}`;
    const said = { act: 'released', subject: 'recovery', detail };
    await stores.recovery.release(encodeAuditEntry({ kind: 'decision', atMs, ...said }));
  } finally {
    await stores.close();
  }
}

async function readyReport(
  { folder }: AuthorityPaths,
  { recovery }: AuthorityStores,
): Promise<RecoveryReport> {
  const state = await recovery.recovery();
  if (state?.phase === 'ready') return state.report;
  if (state === undefined && !isMarked(folder)) throw refused(`${folder} is in no recovery`);
  throw refused(`${folder} does not know enough: see birthmark store recover`);
}

async function learn(
  options: RecoverOptions,
  paths: AuthorityPaths,
  stores: AuthorityStores,
): Promise<RecoveryReport> {
  const { ledger, nowMs } = options;
  if (ledger === undefined && options.skippedAddresses <= 0) {
    throw refused(
      'the ledger of orders is missing: name its folder, or how many addresses to leave out',
    );
  }
  const log = await checkedCopy(options, paths);
  const leaves = await missingLeaves(log, stores);
  // Nobody believes them, and nothing is signed by them: they stay where what follows is refused.
  await keepAuthorities(paths, options.authorities ?? [], leaves);
  const known = [...(await authoritiesOf(paths))];
  const named = (which: 'isRoot' | 'isOffline'): ReadonlySet<string> =>
    new Set(known.flatMap(([, one]) => (one[which] ? [one.name] : [])));
  const [roots, offline] = [named('isRoot'), named('isOffline')];
  const book = await readBook(paths);
  const source: Source = {
    leaves,
    authorities: new Map(known.map(([id, { name }]) => [id, name])),
    offline,
    ledger: await ledgerOf(options, stores, await requireInstallation(paths)),
    lists: options.lists.map((der) => readList(der, new Map(known))),
    certificates: new Map(
      (options.certificates ?? []).map((der) => [toHex(nodeCrypto.hash('SHA-256', der)), der]),
    ),
    cases: (await stores.cases.cases()).map(({ document }) => parseCase(document)),
    settle: (one) => settledCase(one, book, nowMs),
  };
  requireLists(source);
  if (ledger !== undefined) await requireOrders(source, stores);
  const generations: Lesson = {
    kind: 'setting',
    name: generationsSetting,
    value: generationsAfterRestore(await stores.orders.setting(generationsSetting)),
  };
  // Before the database: what is done twice here changes nothing, and a crash behind it does it again.
  await teachRegistry(options, log, source);
  const ending = { nowMs, roots, offline, closing: closingLeaf(log, nowMs) };
  return stores.recovery.learn(() => [...lessonsOf(source), generations], ending);
}

/** Rejects with an `EnvironmentError` when the database is no earlier state of the copied log. */
async function missingLeaves(
  log: CheckedCopy,
  { audit }: AuthorityStores,
): Promise<readonly Uint8Array[]> {
  if ((await audit.countLeaves()) > log.checkpoint.treeSize) {
    throw refused('the copy of the log ends before the database: bring a newer one');
  }
  const missing: Uint8Array[] = [];
  let known: readonly Uint8Array[] = [];
  for await (const { index, entry } of entriesOf(log, log.checkpoint)) {
    if (index % leavesAtOnce === 0) known = await audit.leaves(index, leavesAtOnce);
    const own = known[index % leavesAtOnce];
    if (own === undefined) missing.push(entry);
    else if (!equal(own, entry)) {
      throw refused(`leaf ${index} of the database is not that of the log: it is of another one`);
    }
  }
  return missing;
}

const leavesAtOnce = 1_000;

async function ledgerOf(
  { ledger, skippedAddresses: quantity, nowMs: createdMs }: RecoverOptions,
  { orders }: AuthorityStores,
  { eui64Base }: { readonly eui64Base: Uint8Array },
): Promise<readonly LedgerLine[]> {
  if (ledger !== undefined) return readLedger(ledger);
  const first = (await orders.eui64After()) ?? eui64Base;
  return [skippedAddresses(first, quantity, createdMs)];
}

/** Throws an `EnvironmentError` when the ledger lacks what the log speaks of. */
async function requireOrders(
  { leaves, ledger }: Source,
  { orders }: AuthorityStores,
): Promise<void> {
  const known = new Set(ledger.map((line) => (line.kind === 'order' ? line.order.order : '')));
  for (const name of orderedIn(leaves)) {
    if (known.has(name) || (await orders.order(name)) !== undefined) continue;
    throw refused(
      `the ledger lacks the order ${name}, of which the log speaks: bring the newest one`,
    );
  }
}

/** What a root on another machine has revoked stands on its newest list and nowhere else. */
function requireLists(source: Source): void {
  for (const [authority, number] of loggedLists(source)) {
    const isGiven = source.lists.some(
      (list) => list.authority === authority && list.number >= number,
    );
    if (isGiven) continue;
    throw refused(`list ${number} of ${authority}, of which the log speaks, is missing: --crl`);
  }
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

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
