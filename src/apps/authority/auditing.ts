/** The audit log of a running authority: its files, its witnesses, and the timers that serve both. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { TileFolder } from '../../drivers/store/files/tileFolder.ts';
import { AuditLog } from '../../trust/audit/log.ts';
import { logKey } from '../../trust/audit/publication.ts';
import {
  Witnessing,
  type WitnessState,
  type WitnessTrouble,
} from '../../trust/audit/witnessing.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import type { SecurityLog } from '../../trust/ports/securityLog.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { askedWitnesses, type WitnessEntry } from './witnesses.ts';

export interface AuditingOptions {
  readonly folder: string;
  readonly store: AuditStore;
  readonly signer: Signer;
  readonly witnesses: readonly WitnessEntry[];
  readonly clock: Clock;
  readonly security: SecurityLog;
  /** What failed and is tried again; and a witness that refuses, which a person has to look into. */
  readonly onTrouble: (error: unknown) => void;
}

export interface Auditing {
  readonly log: AuditLog;
  readonly witnesses: () => readonly WitnessState[];
  /** After it the files say everything that the database says. */
  close(): Promise<void>;
}

/** A leaf is under a signed checkpoint within a second of its commit. */
const advanceEveryMs = 500;
/** Witnesses are shown a checkpoint every 30 s; this is how often it is looked whose time has come. */
const lookEveryMs = 5_000;

/**
 * Rejects with an `EnvironmentError` when files and database contradict each other, or when a witness
 * says that it saw another past or more of it: to sign on would make two histories.
 */
export async function startAuditing(options: AuditingOptions): Promise<Auditing> {
  const { store, clock, signer, onTrouble } = options;
  const tiles = new TileFolder(options.folder);
  const verifier = new SoftwareVerifier();
  const log = await AuditLog.open(store, clock, nodeCrypto, { tiles, signer, verifier });
  const witnessing = new Witnessing({
    witnesses: askedWitnesses(options.witnesses, logKey(nodeCrypto, signer), clock),
    files: tiles,
    crypto: nodeCrypto,
    verifier,
    clock,
    checkpoint: () => log.published?.checkpoint,
    keep: ({ keyId }, content) => tiles.replace({ path: `witness/${toHex(keyId)}`, content }),
    onTrouble: (trouble) => {
      const { witness: subject, kind, reason } = trouble;
      options.security.note({ door: 'witness', code: kind, reason, subject });
      onTrouble(new Error(textOf(trouble)));
    },
  });
  await log.advance();
  await witnessing.advance();
  requireConsent(witnessing.states);
  const timers = [
    setInterval(() => void log.advance().catch(onTrouble), advanceEveryMs),
    setInterval(() => void witnessing.advance().catch(onTrouble), lookEveryMs),
  ];
  for (const timer of timers) timer.unref();
  return {
    log,
    witnesses: () => witnessing.states,
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      // One that is at work may have read its last leaf already: the second call takes what came behind it.
      // What cannot be written or shown now is written and shown at the next start.
      await log.advance().catch(onTrouble);
      await log.advance().catch(onTrouble);
      await witnessing.finish().catch(onTrouble);
    },
  };
}

function requireConsent(states: readonly WitnessState[]): void {
  const refusal = states.find(({ trouble }) => trouble?.kind === 'refused')?.trouble;
  if (refusal === undefined) return;
  throw new EnvironmentError(`${textOf(refusal)} The authority does not start. See docs/audit.md`, {
    retryable: false,
  });
}

function textOf({ witness, kind, reason }: WitnessTrouble): string {
  return kind === 'refused'
    ? `THE WITNESS ${witness} REFUSES THE AUDIT LOG: ${reason}`
    : `witness ${witness}: ${reason}`;
}
