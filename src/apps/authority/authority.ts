/** The authority's process: opens keys and database, finishes what a crash left, and listens on its socket. */
import type { FastifyInstance } from 'fastify';
import { existsSync } from 'node:fs';
import { SecurityLogFolder } from '../../drivers/store/files/securityLogFolder.ts';
import { type AuthorityActs, authorityRoutes } from '../../servers/local/authority.ts';
import { openLocalDoor } from '../../servers/local/localDoor.ts';
import { ldevidRoutes } from '../../servers/local/ldevids.ts';
import { noteRefusals } from '../../servers/local/refusalNotes.ts';
import type { Recovery } from '../../trust/issuance/issuance.ts';
import { ReenrolmentPace } from '../../trust/issuance/reenrolment.ts';
import { Evidence } from '../../trust/personalization/evidence.ts';
import type { AuditHead } from '../../trust/ports/auditStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { LdevidOutcome } from '../../trust/ports/enrolment.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { OrderView } from '../../trust/ports/operatorAuthority.ts';
import type { SecurityLog } from '../../trust/ports/securityLog.ts';
import type { OrderStore } from '../../trust/ports/orderStore.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { socketPathFor } from '../socketPath.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { assemble, type Parts } from './assemble.ts';
import { type Auditing, type AuditingOptions, startAuditing } from './auditing.ts';
import { authorityPaths, type AuthorityPaths, requireInstallation } from './authorityFolder.ts';
import { inspection } from './inspection.ts';
import { permittedActs } from './permitted.ts';
import { startStatusKeeping, type StatusKeeping } from './statusKeeping.ts';
import { openAuthorityStores } from './stores.ts';
import { readWitnesses } from './witnesses.ts';

export interface AuthorityConfig {
  readonly dataFolder: string;
  readonly passphrase: string;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** How soon what a lost key left unsigned is tried again; 2 s unless told. */
  readonly signAgainMs?: number;
  /** How soon after a revocation a list shows it; 2 s unless told. */
  readonly publishEveryMs?: number;
  readonly onRefusal?: (code: string) => void;
  /** The log could not be hashed on; it is tried again. */
  readonly onTrouble?: (error: unknown) => void;
}

export interface RunningAuthority {
  readonly socketPath: string;
  readonly recovery: Recovery;
  /** Dangerous acts take two. */
  readonly twoPersons: boolean;
  close(): Promise<void>;
}

const systemClock: Clock = { nowMs: Date.now };
const signAgainMs = 2_000;
const manifestPage = 8;
const maximumRequestBytes = 4_194_304;

/** Rejects with an `EnvironmentError` when another process holds the database or the passphrase is wrong. */
export async function startAuthority(config: AuthorityConfig): Promise<RunningAuthority> {
  const paths = authorityPaths(config.dataFolder);
  const installation = await requireInstallation(paths);
  const stores = await openAuthorityStores(paths, config.store);
  let security: SecurityLogFolder | undefined;
  try {
    const clock = config.clock ?? systemClock;
    const { passphrase, onTrouble = () => undefined } = config;
    const log = new SecurityLogFolder({ folder: paths.security, clock, onTrouble });
    security = log;
    let unsigned = false;
    const onUnsigned = (): void => {
      unsigned = true;
    };
    const options = { passphrase, clock, onUnsigned, security: log };
    const parts = await assemble(paths, installation, stores, options);
    // Before anything new is issued: what T1 promised is signed first.
    const recovery = await recoverWhatCan(parts);
    const work = await startWork(config, parts, { paths, clock, security: log, onTrouble });
    const socketPath = socketPathFor(config.dataFolder, 'authority');
    const door = await openLocalDoor({
      path: socketPath,
      bodyBytes: maximumRequestBytes,
      onRefusal: config.onRefusal ?? (() => undefined),
      routes: (app) =>
        doorRoutes(app, paced(actsOf(config, parts, work, recovery), parts.cases, clock), log),
    });
    const timer = setInterval(() => {
      if (!unsigned) return;
      unsigned = false;
      parts.issuance.recover().catch((error: unknown) => config.onTrouble?.(error));
    }, config.signAgainMs ?? signAgainMs);
    return {
      socketPath,
      recovery,
      twoPersons: (await parts.approvals.mode()) !== undefined,
      close: async () => {
        clearInterval(timer);
        await door.close();
        await work.keeping.close();
        await work.auditing.close();
        await parts.close();
        security?.close();
        await stores.close();
      },
    };
  } catch (error) {
    security?.close();
    await stores.close();
    throw error;
  }
}

/** What goes on beside the answers: the log with its witnesses, and the lists. */
interface Work {
  readonly auditing: Auditing;
  readonly keeping: StatusKeeping;
}

async function startWork(
  { publishEveryMs }: AuthorityConfig,
  parts: Parts,
  {
    paths,
    ...shared
  }: Omit<AuditingOptions, 'folder' | 'store' | 'signer' | 'witnesses'> & {
    readonly paths: AuthorityPaths;
  },
): Promise<Work> {
  const { audit, status: store } = parts.stores;
  const auditing = await startAuditing({
    ...shared,
    folder: paths.log,
    store: audit,
    signer: parts.logSigner,
    witnesses: await readWitnesses(paths.folder),
  });
  const keeping = startStatusKeeping({ ...parts, ...shared, store, audit, publishEveryMs });
  return { auditing, keeping };
}

/** A token that is away is no reason not to start: what waits for it is signed when it is back. */
async function recoverWhatCan({ issuance }: Parts): Promise<Recovery> {
  try {
    return await issuance.recover();
  } catch (error) {
    if (error instanceof EnvironmentError && error.retryable) return { finished: 0, withheld: [] };
    throw error;
  }
}

function doorRoutes(app: FastifyInstance, acts: AuthorityActs, log: SecurityLog): void {
  noteRefusals(app, log);
  authorityRoutes(app, acts);
  ldevidRoutes(app, acts, log);
}

/** While a case of a lost key is open, devices enrol anew no faster than it says. */
function paced(acts: AuthorityActs, { perSecond }: Parts['cases'], clock: Clock): AuthorityActs {
  if (perSecond === undefined) return acts;
  const pace = new ReenrolmentPace(perSecond, clock);
  const admitted =
    <Request>(act: (request: Request) => Promise<LdevidOutcome>) =>
    async (request: Request): Promise<LdevidOutcome> => {
      const retryAfterS = pace.retryAfterS();
      return retryAfterS === undefined ? act(request) : { retryAfterS };
    };
  return {
    ...acts,
    certifyDevice: admitted((request) => acts.certifyDevice(request)),
    certifyInSession: admitted((request) => acts.certifyInSession(request)),
  };
}

function actsOf(
  { dataFolder, store, clock = systemClock }: AuthorityConfig,
  parts: Parts,
  { auditing: { log }, keeping: { desk } }: Work,
  recovery: Recovery,
): AuthorityActs {
  const { certification, documents, hierarchy, line, installation } = parts;
  const { orders: orderStore, issuance: issuanceStore } = parts.stores;
  return {
    line: (step, request) => line.answer(step, request),
    hierarchy: () => hierarchy,
    ...permittedActs(parts),
    approvals: parts.approvals,
    certifyDevice: (request) => certification.certifyDevice(request),
    certifyInSession: (request) => certification.certifyInSession(request),
    secrets: {
      secretHolder: (secret) => certification.secretHolder(secret),
      issueBySecret: (request) => certification.certifyBySecret(request),
    },
    certificateStatus: desk,
    sessionServers: parts.sessionServers,
    saveServerIdentity: (identity) => parts.orders.saveServerIdentity(identity),
    orders: (limit, before) => orderStore.orders(limit, before),
    order: (order) => viewOf(orderStore, order),
    closedBatches: (afterSequence) => orderStore.closedBatches(afterSequence, manifestPage),
    manifestPath: async (batch) => {
      if ((await orderStore.batch(batch))?.closedMs === undefined) return undefined;
      const path = documents.pathOf(`${batch}.manifest.json`);
      return existsSync(path) ? path : undefined;
    },
    evidence: new Evidence(orderStore, issuanceStore),
    inspection: inspection({ paths: authorityPaths(dataFolder), installation, store, clock, log }),
    status: async () => {
      const head = await newestHead(log);
      return {
        organization: installation.organization,
        ...(await issuanceStore.countCertificates()),
        recovered: recovery.finished,
        withheld: recovery.withheld.length,
        auditSize: head.treeSize,
        auditRoot: toHex(head.root),
      };
    },
  };
}

/** Where nothing can be written, as far as it was published. */
async function newestHead(log: Auditing['log']): Promise<Pick<AuditHead, 'treeSize' | 'root'>> {
  try {
    return await log.advance();
  } catch (error) {
    const head = log.published?.checkpoint;
    if (head === undefined || !(error instanceof EnvironmentError)) throw error;
    return head;
  }
}

async function viewOf(store: OrderStore, name: string): Promise<OrderView | undefined> {
  const order = await store.order(name);
  if (order === undefined) return undefined;
  return { order, batches: await store.batches(name), tickets: await store.tickets(name) };
}
