/**
 * Operators: who they are by certificate, what they may by the registry. They exist where two persons are
 * needed; where one is enough, that person needs no name.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { isName } from '../../wire/line/fields.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Approved } from '../approvals/permissions.ts';
import { isSpendingFault, refuseApproval } from '../approvals/refusals.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type {
  ApprovalStore,
  OperatorRecord,
  RoleOutcome,
  SpendingFault,
} from '../ports/approvalStore.ts';
import type { Clock } from '../ports/clock.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { IssuanceStore } from '../ports/issuanceStore.ts';
import { type Certification, keyOfRequest } from './certification.ts';
import { identifierOfKey } from './issuer.ts';

export interface OperatorsOptions {
  readonly store: ApprovalStore;
  readonly certificates: IssuanceStore;
  readonly certification: Certification;
  readonly crypto: Crypto;
  readonly clock: Clock;
}

type Outcome<Value> = Promise<Value | Refusal<string>>;

export class Operators {
  readonly #options: OperatorsOptions;

  constructor(options: OperatorsOptions) {
    this.#options = options;
  }

  /** By name, revoked ones included. */
  operators(): Promise<readonly OperatorRecord[]> {
    return this.#options.store.operators();
  }

  /** DER of the new operator's certificate. `request` is DER of PKCS#10 for the approved key. */
  async add(approved: Approved<'operator.add'>, request: Uint8Array): Outcome<Uint8Array> {
    const { spending, sinceMs } = approved;
    if (spending === undefined) return refuseApproval('one-person');
    const { name, role, key } = approved.request;
    const shown = keyOfRequest(request);
    if (isRefusal(shown)) return shown;
    if (!equal(shown, key)) return refuseApproval('other-bytes');
    if (!isName(name)) return refuse('invalid', 'The name of an operator is no name.');
    if ((await this.operators()).some((one) => one.name === name)) return refuse('taken', taken);
    const named = { profile: 'operator', name, request, hosts: [] } as const;
    // Cut short behind this line, the same command finds the certificate again.
    const certificate = await this.#options.certification.certifyAgain(named, sinceMs);
    if (isRefusal(certificate)) return certificate;
    const { store, clock } = this.#options;
    const addedMs = clock.nowMs();
    const keyIdentifier = this.#keyOf(certificate);
    const operator = { name, certificate, keyIdentifier, addedMs, roles: [role] };
    const entry = this.#entry('operator-added', name, `${role}, ${this.#sha256(certificate)}`);
    const outcome = await store.addOperator(operator, entry, spending);
    if (outcome === 'added') return certificate;
    return outcome === 'taken' ? refuse('taken', taken) : refuseApproval(outcome);
  }

  /** Another certificate for the same key, which has signed the request; roles stay what they are. */
  async renew(name: string, request: Uint8Array): Outcome<Uint8Array> {
    const { store, certification } = this.#options;
    const operator = (await this.operators()).find((one) => one.name === name);
    if (operator === undefined || operator.revokedMs !== undefined)
      return refuse('unknown', unknown);
    const named = { profile: 'operator', name, request, hosts: [] } as const;
    const certificate = await certification.certify(named);
    if (isRefusal(certificate)) return certificate;
    if (toHex(this.#keyOf(certificate)) !== toHex(operator.keyIdentifier)) {
      return refuse(
        'key-taken',
        'An operator keeps the key: with another one it is another operator.',
      );
    }
    const entry = this.#entry('operator-renewed', name, this.#sha256(certificate));
    const renewed = await store.renewOperator(name, certificate, entry);
    return renewed ? certificate : refuse('unknown', unknown);
  }

  async changeRole(approved: Approved<'operator.grant' | 'operator.withdraw'>): Outcome<undefined> {
    const { kind, request, spending } = approved;
    if (spending === undefined) return refuseApproval('one-person');
    const { name, role } = request;
    // From the token, since one signature is enough to withdraw and not to grant.
    const change = kind === 'operator.grant' ? ('grant' as const) : ('withdraw' as const);
    const entry = this.#entry(`operator-${change}`, name, role);
    const atMs = this.#options.clock.nowMs();
    const members = { name, role, change, atMs, entry };
    return told(await this.#options.store.changeRole(members, spending));
  }

  async revoke(approved: Approved<'operator.revoke'>): Outcome<undefined> {
    const { request, spending } = approved;
    if (spending === undefined) return refuseApproval('one-person');
    const { name } = request;
    const atMs = this.#options.clock.nowMs();
    const entry = this.#entry('operator-revoked', name, '');
    const refusal = told(await this.#options.store.revokeOperator({ name, atMs, entry }, spending));
    if (refusal === undefined) await this.#revokeCertificates(name, atMs);
    return refusal;
  }

  async setMassLimit(approved: Approved<'limit.mass'>): Outcome<undefined> {
    const { request, spending } = approved;
    if (spending === undefined) return refuseApproval('one-person');
    const { devices } = request;
    const entry = this.#entry('mass-limit', String(devices), '');
    const outcome = await this.#options.store.saveMassLimit(devices, entry, spending);
    return outcome === 'saved' ? undefined : refuseApproval(outcome);
  }

  /** For lists and answers; as an operator the holder counts no more already. */
  async #revokeCertificates(name: string, atMs: number): Promise<void> {
    const { certificates } = this.#options;
    const open = (await certificates.certificatesOf(name)).filter(
      ({ profile, revokedMs }) => profile.startsWith('operator@') && revokedMs === undefined,
    );
    const reason = 'operator revoked';
    await certificates.revoke(
      open.map(({ serialNumber }) => ({
        serialNumber,
        code: 'privilegeWithdrawn',
        reason,
        atMs,
        entry: encodeAuditEntry({ kind: 'revoked', atMs, serialNumber, reason }),
      })),
    );
  }

  #keyOf(certificate: Uint8Array): Uint8Array {
    const { spki } = parseCertificate(certificate).publicKey;
    return identifierOfKey(this.#options.crypto, spki);
  }

  #sha256(certificate: Uint8Array): string {
    return toHex(this.#options.crypto.hash('SHA-256', certificate));
  }

  #entry(act: string, subject: string, detail: string): Uint8Array {
    const atMs = this.#options.clock.nowMs();
    return encodeAuditEntry({ kind: 'decision', atMs, act, subject, detail });
  }
}

function told(outcome: RoleOutcome | SpendingFault): undefined | Refusal<string> {
  if (outcome === 'changed') return undefined;
  return isSpendingFault(outcome) ? refuseApproval(outcome) : refuse(outcome, roleReasons[outcome]);
}

const taken = 'Name or key is that of an operator already.';
const unknown = 'No operator of this name.';

const roleReasons: Readonly<Record<Exclude<RoleOutcome, 'changed'>, string>> = {
  'unknown-operator': unknown,
  excluded: 'Admin and auditor exclude each other.',
  'too-few-admins': 'Two admins have to stay, or nothing could be decided any more.',
};
