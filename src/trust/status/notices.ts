/** Takes notice of what was revoked, held or reinstated elsewhere, so that lists and answers follow. */
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { completeEither } from '../../wire/c509/either.ts';
import { encodeAuditEntry, readAuditEntry } from '../audit/entry.ts';
import type { ForeignElements } from '../issuance/foreign.ts';
import type { AuditStore } from '../ports/auditStore.ts';
import {
  isLost,
  type IssuanceStore,
  type IssuedCertificate,
  type Revocation,
} from '../ports/issuanceStore.ts';
import type { AuthorityNotice } from '../ports/registryStore.ts';

export interface StatusNoticesOptions {
  readonly crypto: Crypto;
  readonly certificates: Pick<IssuanceStore, 'certificatesOf' | 'revoke'>;
  readonly audit: Pick<AuditStore, 'leaves'>;
  readonly foreign: Pick<ForeignElements, 'deviceOfCertificate' | 'revoke'>;
}

/** Leaves that are read at once when a certificate is looked for by its hash. */
const auditPage = 1_000;

export class StatusNotices {
  readonly #options: StatusNoticesOptions;

  constructor(options: StatusNoticesOptions) {
    this.#options = options;
  }

  /** Durable and idempotent; what this authority never issued is not its matter. Returns how many changed. */
  async record(notices: readonly AuthorityNotice[]): Promise<number> {
    const changes: Revocation[] = [];
    const byHash = new Map<string, AuthorityNotice>();
    for (const notice of notices) {
      // What another maker certified can be ended here, not held: nothing of it is on a list of ours.
      if (isFinal(notice.code)) await this.#revokeForeign(notice);
      if (notice.act === 'revoke-certificate' && notice.holder === undefined) {
        byHash.set(notice.subject, notice);
      } else {
        changes.push(...(await this.#changesOf(notice)));
      }
    }
    if (byHash.size > 0) changes.push(...(await this.#changesByHash(byHash)));
    return this.#options.certificates.revoke(changes);
  }

  async #changesOf(notice: AuthorityNotice): Promise<readonly Revocation[]> {
    const { crypto, certificates } = this.#options;
    const { act, subject, holder } = notice;
    const known = await certificates.certificatesOf(holder ?? subject);
    const meant =
      act === 'revoke-device'
        ? known
        : known.filter((issued) => toHex(hashOf(crypto, issued)) === subject);
    return meant.map(({ serialNumber }) => changeOf(serialNumber, notice));
  }

  async #revokeForeign({ act, subject, reason, atMs }: AuthorityNotice): Promise<void> {
    const { foreign } = this.#options;
    const sha256 = act === 'revoke-certificate' ? parseHex(subject) : undefined;
    const deviceId = sha256 === undefined ? subject : await foreign.deviceOfCertificate(sha256);
    if (deviceId !== undefined) await foreign.revoke(deviceId, reason, atMs);
  }

  /** The audit log knows the hash of everything that was issued; one walk finds all that are wanted. */
  async #changesByHash(
    wanted: ReadonlyMap<string, AuthorityNotice>,
  ): Promise<readonly Revocation[]> {
    const found: Revocation[] = [];
    let from = 0;
    for (;;) {
      const leaves = await this.#options.audit.leaves(from, auditPage);
      for (const leaf of leaves) {
        const entry = readAuditEntry(leaf);
        if (entry.kind !== 'issued') continue;
        const notice = wanted.get(toHex(entry.certificateSha256));
        if (notice !== undefined) found.push(changeOf(entry.serialNumber, notice));
      }
      from += leaves.length;
      if (leaves.length < auditPage || found.length === wanted.size) return found;
    }
  }
}

/** SHA-256 over the certificate. */
function hashOf(crypto: Crypto, issued: IssuedCertificate): Uint8Array {
  const { tbs, signature } = issued;
  if (!isLost(issued)) return crypto.hash('SHA-256', completeEither(tbs, signature));
  const entry = readAuditEntry(tbs);
  return entry.kind === 'issued' ? entry.certificateSha256 : new Uint8Array(0);
}

/** The change of one certificate, with its leaf of the audit log. */
export function changeOf(
  serialNumber: Uint8Array,
  { code, reason, atMs }: Pick<AuthorityNotice, 'code' | 'reason' | 'atMs'>,
): Revocation {
  const entry = encodeAuditEntry({ ...auditOf(code, reason), atMs, serialNumber });
  return { serialNumber, code, reason, atMs, entry };
}

/** Cannot be taken back. */
export function isFinal(code: RevocationReason): boolean {
  return code !== 'certificateHold' && code !== 'removeFromCRL';
}

function auditOf(
  code: RevocationReason,
  reason: string,
): { readonly kind: 'revoked' | 'held' | 'reinstated'; readonly reason: string } {
  if (code === 'certificateHold') return { kind: 'held', reason };
  if (code === 'removeFromCRL') return { kind: 'reinstated', reason };
  return { kind: 'revoked', reason: code === 'unspecified' ? reason : `${code}: ${reason}` };
}
