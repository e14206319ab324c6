/** Lists and responder of a running authority, and the timers that keep both fresh. */
import { newMemorySigner } from '../../drivers/keys/software/memorySigner.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { AnswerTally } from '../../trust/audit/answerTally.ts';
import type { Issuance } from '../../trust/issuance/issuance.ts';
import type { Issuer } from '../../trust/issuance/issuer.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { StatusStore } from '../../trust/ports/statusStore.ts';
import { Delegates } from '../../trust/status/delegates.ts';
import { StatusDesk } from '../../trust/status/desk.ts';
import { RevocationLists, usualSchedule } from '../../trust/status/lists.ts';
import { Responder } from '../../trust/status/responder.ts';

export interface StatusKeepingOptions {
  readonly store: StatusStore;
  readonly audit: Pick<AuditStore, 'append'>;
  readonly issuance: Issuance;
  readonly issuers: readonly Issuer[];
  /** DER of the authorities, by name. */
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  readonly clock: Clock;
  /** Default: 2 s. */
  readonly publishEveryMs?: number | undefined;
  /** What failed and is tried again. */
  readonly onTrouble: (error: unknown) => void;
}

export interface StatusKeeping {
  readonly desk: StatusDesk;
  /** Resolves when nothing is under way any more. */
  close(): Promise<void>;
}

/** A revocation is on a list so soon after it, and the time to sign it. */
const listsEveryMs = 2_000;
const delegatesEveryMs = 3_600_000;
/** Answers of which one entry of the audit log speaks. */
const tallyEveryMs = 60_000;

/** Whatever fails here fails in the background: an authority whose disk is full still answers. */
export function startStatusKeeping(options: StatusKeepingOptions): StatusKeeping {
  const { store, audit, issuance, issuers, clock, onTrouble } = options;
  const crypto = nodeCrypto;
  const lists = new RevocationLists({ store, clock, crypto, issuers, schedule: usualSchedule });
  const delegates = new Delegates({ issuance, clock, crypto, newSigner: newMemorySigner });
  const tally = new AnswerTally({ store: audit, crypto, clock });
  const onSigned = tally.note.bind(tally);
  const responder = new Responder({ store, clock, crypto, issuers, delegates, onSigned });
  const running = [
    repeated(options.publishEveryMs ?? listsEveryMs, () => lists.advance(), onTrouble),
    repeated(delegatesEveryMs, () => delegates.renew(), onTrouble),
    repeated(tallyEveryMs, () => tally.flush(), onTrouble),
  ];
  return {
    desk: new StatusDesk(store, responder, options.certificates),
    close: async () => {
      await Promise.all(running.map((stop) => stop()));
      await tally.flush().catch(onTrouble);
    },
  };
}

/** At once, then again after each pause; returns how to stop it. */
function repeated(
  pauseMs: number,
  work: () => Promise<unknown>,
  onTrouble: (error: unknown) => void,
): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let current: Promise<void>;
  const round = async (): Promise<void> => {
    await work().catch(onTrouble);
    if (stopped) return;
    timer = setTimeout(() => {
      current = round();
    }, pauseMs).unref();
  };
  current = round();
  return () => {
    stopped = true;
    clearTimeout(timer);
    return current;
  };
}
