/** The audit log of a running authority: its files, and the timer that brings them up to date. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { TileFolder } from '../../drivers/store/files/tileFolder.ts';
import { AuditLog } from '../../trust/audit/log.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { Signer } from '../../trust/ports/keys.ts';

export interface AuditingOptions {
  readonly folder: string;
  readonly store: AuditStore;
  readonly signer: Signer;
  readonly clock: Clock;
  /** What failed and is tried again. */
  readonly onTrouble: (error: unknown) => void;
}

export interface Auditing {
  readonly log: AuditLog;
  /** After it the files say everything that the database says. */
  close(): Promise<void>;
}

/** A leaf is under a signed checkpoint within a second of its commit. */
const advanceEveryMs = 500;

/** Rejects with an `EnvironmentError` when files and database contradict each other. */
export async function startAuditing(options: AuditingOptions): Promise<Auditing> {
  const { store, clock, signer, onTrouble } = options;
  const verifier = new SoftwareVerifier();
  const tiles = new TileFolder(options.folder);
  const log = await AuditLog.open(store, clock, nodeCrypto, { tiles, signer, verifier });
  await log.advance();
  const timer = setInterval(() => {
    log.advance().catch(onTrouble);
  }, advanceEveryMs);
  timer.unref();
  return {
    log,
    close: async () => {
      clearInterval(timer);
      // What cannot be written now is written at the next start.
      await log.advance().catch(onTrouble);
    },
  };
}
