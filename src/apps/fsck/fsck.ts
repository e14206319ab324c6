/**
 * The independent checker of an issuing database. It reads the tables by itself, shares no statement with
 * the program that wrote them, trusts no index and no counter, and recomputes what they claim: nothing
 * signed that is not recorded, nothing recorded twice, no quota exceeded, one consistent log, every
 * revocation on the list where others look for it, two persons behind every act that takes two, and every
 * case of a lost key as the log has it, and nothing issued between a restore and its release.
 */
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import type { Row as StoredRow } from '../../drivers/store/sqlite/rows.ts';
import { checkApprovals } from './approvalCheck.ts';
import { ApprovalTrail } from './approvalTrail.ts';
import { CaseTrail, checkCases } from './caseCheck.ts';
import { ChangeTrail, readChanged } from './changeTrail.ts';
import { checkLog } from './logCheck.ts';
import { checkOrdered } from './orderedCheck.ts';
import { checkOrdersPlaced, OrderTrail } from './orderTrail.ts';
import { checkQuotas } from './quotaCheck.ts';
import { checkCertificates } from './certificateCheck.ts';
import { IssuerKeys } from './issuerKeys.ts';
import { checkRecovery, RecoveryTrail } from './recoveryCheck.ts';
import { checkStatus } from './statusCheck.ts';
import { StatusTrail } from './statusTrail.ts';

export interface FsckOptions {
  /** Of the issuing database, which may be in use: one moment of it for all checks. Closed at the end. */
  readonly snapshot: Snapshot;
  /** DER certificates of the issuing authorities by name; signatures of others are a fault. */
  readonly issuers: ReadonlyMap<string, Uint8Array>;
  /** Called now and then with the rows checked so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

export interface FsckReport {
  readonly ok: boolean;
  /** At most `maximumFaults`, in words. */
  readonly faults: readonly string[];
  readonly certificates: number;
  readonly revoked: number;
  readonly units: number;
  readonly tickets: number;
  readonly leaves: number;
  /** Lists of revoked certificates that were signed. */
  readonly lists: number;
  /** Requests for acts that take two persons. */
  readonly approvals: number;
  /** Intents that wait to be signed: what a crash leaves, finished at the next start. */
  readonly unfinished: number;
}

export type Row = Readonly<StoredRow>;

/** What the checks share. */
export interface Inspection {
  readonly snapshot: Snapshot;
  readonly fault: (text: string) => void;
  readonly progress: (done: number, total: number) => void;
}

/** Faults that are told; a damaged database may have one a row. */
export const maximumFaults = 100;

/** Rejects with an `EnvironmentError` when the database cannot be read. */
export async function fsck(options: FsckOptions): Promise<FsckReport> {
  const { snapshot } = options;
  try {
    const faults: string[] = [];
    const inspection: Inspection = {
      snapshot,
      fault: (text) => {
        if (faults.length < maximumFaults) faults.push(text);
      },
      progress: options.onProgress ?? (() => undefined),
    };
    for await (const damage of snapshot.damage()) inspection.fault(`file: ${damage}`);
    const keys = new IssuerKeys(options.issuers);
    const certificates = await checkCertificates(inspection, keys);
    const quotas = await checkQuotas(inspection);
    const trail = new StatusTrail(inspection.fault);
    const approvals = new ApprovalTrail(inspection.fault);
    const cases = new CaseTrail();
    const orders = new OrderTrail();
    const changes = new ChangeTrail(inspection.fault, await readChanged(inspection), approvals);
    const recovery = new RecoveryTrail(inspection.fault);
    const trails = [trail, approvals, cases, changes, recovery, orders];
    const leaves = await checkLog(inspection, certificates.bySerial, trails);
    changes.close();
    const lists = await checkStatus(inspection, keys, trail);
    const requests = await checkApprovals(inspection, approvals);
    await checkCases(inspection, cases);
    await checkRecovery(inspection, recovery);
    await checkOrdersPlaced(inspection, orders);
    await checkOrdered(inspection, approvals, changes.ordered, certificates.bySerial);
    const { signed: count, unfinished, revoked } = certificates;
    return {
      ok: faults.length === 0,
      faults,
      certificates: count,
      revoked,
      ...quotas,
      leaves,
      lists,
      approvals: requests,
      unfinished,
    };
  } finally {
    await snapshot.close();
  }
}
