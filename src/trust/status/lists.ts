/**
 * Signs the lists of revoked certificates (RFC 5280 §5): regularly, and soon after every change. A change
 * marks its list in the store, so whoever calls `advance` next finds it, after a crash too; many changes
 * between two calls make one list.
 */
import { concat } from '../../wire/bytes/bytes.ts';
import {
  countEncodedEntries,
  encodeCertificateList,
  encodeTbsCertList,
  type IssuingDistributionPoint,
} from '../../wire/crl/certificateList.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import { listUri } from '../issuance/distribution.ts';
import type { Issuer } from '../issuance/issuer.ts';
import type { Clock } from '../ports/clock.ts';
import { InvariantError } from '../ports/faults.ts';
import type { PendingList, StatusStore } from '../ports/statusStore.ts';

export interface ListSchedule {
  /** From one regular list to the next. */
  readonly everyMs: number;
  /** For so long the last list is good while the next one is late: an outage, a slow mirror. */
  readonly overlapMs: number;
}

export interface RevocationListsOptions {
  readonly store: StatusStore;
  readonly clock: Clock;
  readonly crypto: Crypto;
  /** Those whose lists are signed here, several of a role too; their key is open. */
  readonly issuers: readonly Issuer[];
  readonly schedule: ListSchedule;
}

const hourMs = 3_600_000;

export const usualSchedule: ListSchedule = { everyMs: 24 * hourMs, overlapMs: 48 * hourMs };

/** Entries that are read at once: the process does nothing else meanwhile. */
const pageEntries = 20_000;
/** Lists in the making at a time: while one is signed, another is read, and they share their commits. */
const listsAtOnce = 4;

export class RevocationLists {
  readonly #options: RevocationListsOptions;
  readonly #issuers: ReadonlyMap<string, Issuer>;
  #advancing: Promise<number> | undefined;

  constructor(options: RevocationListsOptions) {
    this.#options = options;
    this.#issuers = new Map(options.issuers.map((issuer) => [issuer.name, issuer]));
  }

  /**
   * Signs and stores every list that is due. Returns how many. Rejects with the first error when some
   * could not be: what was published before stays, and the next call tries again.
   */
  advance(): Promise<number> {
    this.#advancing ??= this.#advance().finally(() => (this.#advancing = undefined));
    return this.#advancing;
  }

  async #advance(): Promise<number> {
    const { store, clock } = this.#options;
    const pending = await store.pendingLists([...this.#issuers.keys()], clock.nowMs());
    const waiting = pending.values();
    const failures: unknown[] = [];
    const work = async (): Promise<void> => {
      for (const list of waiting) {
        try {
          await this.#publish(list);
        } catch (error) {
          failures.push(error);
        }
      }
    };
    await Promise.all(Array.from({ length: listsAtOnce }, work));
    if (failures.length > 0) throw failures[0];
    return pending.length;
  }

  async #publish(list: PendingList): Promise<void> {
    const { store, clock, crypto, schedule } = this.#options;
    const issuer = this.#issuers.get(list.authority);
    if (issuer === undefined) throw new InvariantError(`no authority ${list.authority} here`);
    const number = await store.takeNumber(list.id);
    // A crash behind this line leaves a number that no list has: numbers grow, they need not be dense.
    const lastChange = await store.lastChange();
    const { entries, count } = await this.#entriesOf(list.id);
    const thisUpdateMs = toSecond(clock.nowMs());
    const nextUpdateMs = thisUpdateMs + schedule.everyMs + schedule.overlapMs;
    const tbs = encodeTbsCertList({
      signatureAlgorithm: issuer.signatureAlgorithm,
      issuer: issuer.subject.der,
      thisUpdateMs,
      nextUpdateMs,
      entries: count === 0 ? [] : [entries],
      authorityKeyIdentifier: issuer.keyIdentifier,
      crlNumber: number,
      issuingDistributionPoint: scopeOf(issuer, list.shard),
    });
    const signature = await issuer.signer.sign(tbs);
    const der = encodeCertificateList(tbs, issuer.signatureAlgorithm, signature);
    // A crash before the end of this call leaves the list of before; the change is still marked.
    await store.saveList({
      id: list.id,
      revision: list.revision,
      number,
      thisUpdateMs,
      nextUpdateMs,
      nextRegularMs: list.regular ? thisUpdateMs + schedule.everyMs : undefined,
      lastChange,
      count,
      der,
      entry: encodeAuditEntry({
        kind: 'list-signed',
        atMs: thisUpdateMs,
        issuerKeyId: issuer.keyIdentifier,
        shard: list.shard,
        number,
        listSha256: crypto.hash('SHA-256', der),
      }),
    });
  }

  async #entriesOf(listId: number): Promise<{ entries: Uint8Array; count: number }> {
    const pages: Uint8Array[] = [];
    let count = 0;
    let after: number | undefined = 0;
    while (after !== undefined) {
      const page = await this.#options.store.entries(listId, after, pageEntries);
      pages.push(page.entries);
      count += page.count;
      after = page.next;
    }
    const [only, more] = pages;
    const entries = only !== undefined && more === undefined ? only : concat(...pages);
    if (countEncodedEntries(entries) !== count) {
      throw new InvariantError('what is stored of revoked certificates is damaged');
    }
    return { entries, count };
  }
}

/**
 * RFC 5280 §5.2.5: a list that not every certificate of its issuer could be on says so, in the words of the
 * certificates' own distribution point. The only list of its issuer is complete and says nothing: it
 * serves certificates too that name no list, such as the root itself.
 */
function scopeOf(
  { distribution, pathLength }: Issuer,
  shard: number,
): IssuingDistributionPoint | undefined {
  if (distribution === undefined || distribution.shards === 1) return undefined;
  return { uri: listUri(distribution, shard), onlyContainsUserCerts: pathLength === 0 };
}

function toSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
