/** What the audit log says of changes of status and of lists, in its order: it has no clock but its own. */
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { toHex } from '../../wire/bytes/hex.ts';

export interface LoggedList {
  readonly number: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/**
 * The promise is a list within five seconds of a revocation. Here it is judged from the outside, by the times
 * of other leaves, on a machine that may have had much else to sign.
 */
const lateMs = 60_000;

/** Times of these are of whoever reported them, not of the authority. */
const changes = ['revoked', 'held', 'reinstated'] as const;

type Change = Extract<AuditEntry, { readonly kind: (typeof changes)[number] }>;

export class StatusTrail {
  readonly #fault: (text: string) => void;
  readonly #lists = new Map<string, LoggedList>();
  /** By issuer's key identifier: when its last list was signed. */
  readonly #signedMs = new Map<string, number>();
  /** By serial number: a time of the authority's not before the last change. */
  readonly #knownMs = new Map<string, number>();
  #recent: string[] = [];

  constructor(fault: (text: string) => void) {
    this.#fault = fault;
  }

  note(entry: AuditEntry): void {
    if (isChange(entry)) {
      const serial = toHex(entry.serialNumber);
      this.#knownMs.set(serial, Infinity);
      this.#recent.push(serial);
      return;
    }
    for (const serial of this.#recent) this.#knownMs.set(serial, entry.atMs);
    this.#recent = [];
    if (entry.kind !== 'list-signed') return;
    const { atMs, shard, number, listSha256 } = entry;
    const issuer = toHex(entry.issuerKeyId);
    const key = `${issuer}/${shard}`;
    const before = this.#lists.get(key)?.number ?? 0;
    if (number <= before) {
      this.#fault(`list ${shard} of key ${issuer}: number ${number} after number ${before}`);
    }
    this.#lists.set(key, { number, sha256: toHex(listSha256) });
    this.#signedMs.set(issuer, atMs);
  }

  /** Of a list: what was logged of it last. */
  list(issuer: string, shard: number): LoggedList | undefined {
    return this.#lists.get(`${issuer}/${shard}`);
  }

  isLogged(serial: string): boolean {
    return this.#knownMs.has(serial);
  }

  /** The issuer has signed lists long after it knew of the change. */
  isLate(serial: string, issuer: string): boolean {
    const knownMs = this.#knownMs.get(serial) ?? Infinity;
    return (this.#signedMs.get(issuer) ?? 0) > knownMs + lateMs;
  }
}

function isChange(entry: AuditEntry): entry is Change {
  return changes.some((kind) => kind === entry.kind);
}
