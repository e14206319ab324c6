/**
 * Tells the authority what was revoked, so that its CRLs and OCSP answers follow. The notices were
 * written with the revocation itself: whatever fails here is told again, and the authority takes a
 * notice that it has seen before for what it is.
 */
import { EnvironmentError } from '../ports/faults.ts';
import type { ProvisioningAuthority } from '../ports/authority.ts';
import type { AuthorityNotice, RegistryStore } from '../ports/registryStore.ts';

/** Notices in one message. */
const batchSize = 500;

export interface OutboxResult {
  readonly told: number;
  /** Not taken: they are more than one person may change in a day, and are told again. */
  readonly waiting: readonly AuthorityNotice[];
  /** Why it stopped before the end; the rest stays for the next call. */
  readonly stopped: string | undefined;
}

/** Tells everything that is pending, in order. */
export async function tellAuthority(
  store: RegistryStore,
  authority: Pick<ProvisioningAuthority, 'recordRevocations'>,
): Promise<OutboxResult> {
  let told = 0;
  const waiting: AuthorityNotice[] = [];
  let last = 0;
  for (;;) {
    const notices = await store.pendingNotices(batchSize, last);
    if (notices.length === 0) return { told, waiting, stopped: undefined };
    let refused: ReadonlySet<number>;
    try {
      refused = new Set(await authority.recordRevocations(notices));
    } catch (error) {
      if (error instanceof EnvironmentError) return { told, waiting, stopped: error.message };
      throw error;
    }
    const sequences = notices.map(({ sequence }) => sequence);
    const settled = sequences.filter((sequence) => !refused.has(sequence));
    // A crash here tells the same notices again, which changes nothing at the authority.
    await store.settleNotices(settled);
    told += settled.length;
    waiting.push(...notices.filter(({ sequence }) => refused.has(sequence)));
    last = sequences.at(-1) ?? last;
  }
}
