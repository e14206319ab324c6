/**
 * Changes of status in the order of the log, where two persons are needed: each stands behind the entry that
 * names its holder, what was reported without an approval stays within a day's limit, and what was ordered
 * has an approval that was used for it.
 */
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';
import { isDeviceId } from '../../trust/issuance/certification.ts';
import { isProfileOfAuthority } from '../../trust/issuance/profiles.ts';
import { renewedText } from '../../trust/issuance/succession.ts';
import { orderedAct, reportedAct } from '../../trust/status/notices.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { ApprovalTrail } from './approvalTrail.ts';
import type { Inspection } from './fsck.ts';
import { hex, isNull, number, string } from './values.ts';

/** A certificate whose status was changed at some time. */
interface Changed {
  readonly holder: string;
  readonly profile: string;
  readonly isScrapped: boolean;
  /** A device was promised a newer one. */
  readonly isReplaced: boolean;
}

/** Holders whose status an approval was said to cover. */
export interface OrderedChange {
  /** Of the request, hexadecimal. */
  readonly approval: string;
  readonly kind: string;
  readonly holders: readonly string[];
}

type Decision = Extract<AuditEntry, { readonly kind: 'decision' }>;
type Change = Extract<AuditEntry, { readonly kind: 'revoked' | 'held' | 'reinstated' }>;

const windowMs = 24 * 3_600_000;
const opposite: ReadonlyMap<string, string> = new Map([
  ['held', 'reinstated'],
  ['reinstated', 'held'],
]);
const scrapped = 4;
/** What a restore found on lists alone. */
const onList = 'on a published list';

export class ChangeTrail {
  readonly #fault: (text: string) => void;
  readonly #changed: ReadonlyMap<string, Changed>;
  readonly #approvals: Pick<
    ApprovalTrail,
    'approvals' | 'operators' | 'twoPersons' | 'wasReplaced'
  >;
  /** `kind holder`: what was said to happen. */
  readonly #announced = new Set<string>();
  readonly #ordered: OrderedChange[] = [];
  #reported: ReadonlyArray<readonly [atMs: number, devices: number]> = [];
  #fromLists = 0;
  #restored = false;

  /** `changed` by serial number; `approvals` has noted every entry before this. */
  constructor(
    fault: (text: string) => void,
    changed: ReadonlyMap<string, Changed>,
    approvals: Pick<ApprovalTrail, 'approvals' | 'operators' | 'twoPersons' | 'wasReplaced'>,
  ) {
    this.#fault = fault;
    this.#changed = changed;
    this.#approvals = approvals;
  }

  get ordered(): readonly OrderedChange[] {
    return this.#ordered;
  }

  note(entry: AuditEntry): void {
    if (!this.#approvals.twoPersons) return;
    if (entry.kind === 'decision') this.#decide(entry);
    else if (entry.kind === 'foreign-revoked') this.#require('revoked', entry.deviceId);
    else if (isChange(entry)) this.#judge(entry);
  }

  /** After the last entry. */
  close(): void {
    if (this.#fromLists > 0 && !this.#restored) {
      this.#fault(`${this.#fromLists} revocations are of a restore that never was`);
    }
  }

  #decide({ act, subject, detail, atMs }: Decision): void {
    const words = detail.split(' ');
    if (act === reportedAct) {
      this.#count(words.length, atMs);
      this.#announce(subject, words);
    } else if (act === orderedAct) {
      const [kind = '', ...holders] = words;
      const known = this.#approvals.approvals.get(subject);
      if (known?.request.document.act !== 'status.mass' || known.uses === 0) {
        this.#fault(
          `approval ${subject}: devices were ${kind} under it, and it was not used for that`,
        );
      }
      this.#ordered.push({ approval: subject, kind, holders });
      this.#announce(kind, holders);
    } else if (act === 'operator-revoked') {
      this.#announce('revoked', [subject]);
    } else if (act === 'new-log') {
      this.#restored = true;
    } else if (act === twoPersonAct) {
      this.#announced.clear();
    }
  }

  #count(devices: number, atMs: number): void {
    // What a clock that was put back calls future counts too.
    this.#reported = [...this.#reported.filter(([at]) => at > atMs - windowMs), [atMs, devices]];
    const total = this.#reported.reduce((sum, [, count]) => sum + count, 0);
    const limit = Number(this.#approvals.operators.massLimit);
    if (total > limit) {
      this.#fault(`the status of ${total} devices was changed in a day without an approval`);
    }
  }

  #announce(kind: string, holders: readonly string[]): void {
    for (const holder of holders) {
      this.#announced.add(`${kind} ${holder}`);
      this.#announced.delete(`${opposite.get(kind)} ${holder}`);
    }
  }

  #judge({ kind, serialNumber, reason }: Change): void {
    const certificate = this.#changed.get(toHex(serialNumber));
    if (certificate === undefined || this.#needsNobody(certificate, reason)) return;
    if (reason === onList) this.#fromLists += 1;
    else this.#require(kind, certificate.holder);
  }

  /** What comes of an element that was scrapped, a device that goes on, or an authority whose key was lost. */
  #needsNobody({ profile, isScrapped, isReplaced }: Changed, reason: string): boolean {
    if (isProfileOfAuthority(profile) || profile.startsWith('ocsp-')) return true;
    if (reason === 'scrapped') return isScrapped;
    if (reason === renewedText && isReplaced) return true;
    return reason.startsWith('superseded: ') && this.#approvals.wasReplaced;
  }

  #require(kind: Change['kind'], holder: string): void {
    if (this.#announced.has(`${kind} ${holder}`)) return;
    this.#fault(`${holder}: ${kind}, and no entry before it says by whose word`);
  }
}

/** Every certificate that is or was on a list, by serial number. */
export async function readChanged({ snapshot }: Inspection): Promise<ReadonlyMap<string, Changed>> {
  const select = `
    SELECT serial, holder, device_id, profile, state, CASE WHEN EXISTS (
        SELECT 1 FROM issuances AS later
        WHERE later.holder = issuances.holder AND later.id > issuances.id
      ) THEN 1 ELSE 0 END AS replaced
    FROM list_entries
    JOIN issuances ON issuances.id = certificate
    LEFT JOIN units ON units.id = issuances.id`;
  const changed = new Map<string, Changed>();
  for await (const row of snapshot.rows(select)) {
    const holder = string(row, isNull(row, 'device_id') ? 'holder' : 'device_id');
    changed.set(hex(row, 'serial'), {
      holder,
      isReplaced: number(row, 'replaced') === 1 && isDeviceId(holder),
      profile: string(row, 'profile'),
      isScrapped: number(row, 'state') === scrapped,
    });
  }
  return changed;
}

function isChange(entry: AuditEntry): entry is Change {
  return entry.kind === 'revoked' || entry.kind === 'held' || entry.kind === 'reinstated';
}
