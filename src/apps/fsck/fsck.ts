/**
 * The independent checker of an issuing database. It reads the tables by itself, shares no statement with
 * the program that wrote them, trusts no index and no counter, and recomputes what they claim: nothing
 * signed that is not recorded, nothing recorded twice, no quota exceeded, one consistent log.
 */
import { DatabaseSync, type SQLOutputValue } from 'node:sqlite';
import { checkLog } from './logCheck.ts';
import { checkQuotas } from './quotaCheck.ts';
import { checkCertificates } from './certificateCheck.ts';

export interface FsckOptions {
  /** The issuing database; it may be in use. */
  readonly database: string;
  /** DER certificates of the issuing authorities by role; signatures of others are a fault. */
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
  /** Intents that wait to be signed: what a crash leaves, finished at the next start. */
  readonly unfinished: number;
}

export type Row = Readonly<Record<string, SQLOutputValue>>;

/** What the checks share. */
export interface Inspection {
  readonly database: DatabaseSync;
  readonly fault: (text: string) => void;
  readonly progress: (done: number, total: number) => void;
}

/** Faults that are told; a damaged database may have one a row. */
export const maximumFaults = 100;

/** Throws when the file is no database at all. */
export function fsck(options: FsckOptions): FsckReport {
  const database = new DatabaseSync(options.database, { readOnly: true });
  try {
    // One moment of the database for all checks, also while it is written.
    database.exec('BEGIN');
    const faults: string[] = [];
    const inspection: Inspection = {
      database,
      fault: (text) => {
        if (faults.length < maximumFaults) faults.push(text);
      },
      progress: options.onProgress ?? (() => undefined),
    };
    checkFile(inspection);
    const certificates = checkCertificates(inspection, options.issuers);
    const quotas = checkQuotas(inspection);
    const leaves = checkLog(inspection, certificates.bySerial);
    const { signed: count, unfinished, revoked } = certificates;
    return {
      ok: faults.length === 0,
      faults,
      certificates: count,
      revoked,
      ...quotas,
      leaves,
      unfinished,
    };
  } finally {
    database.close();
  }
}

function checkFile({ database, fault }: Inspection): void {
  for (const row of database.prepare('PRAGMA integrity_check').all()) {
    if (row['integrity_check'] !== 'ok') fault(`file: ${String(row['integrity_check'])}`);
  }
  for (const row of database.prepare('PRAGMA foreign_key_check').all()) {
    fault(
      `a row of ${String(row['table'])} refers to a row of ${String(row['parent'])} that is not there`,
    );
  }
}
