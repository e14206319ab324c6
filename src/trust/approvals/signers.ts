/** Whose signatures count: operators of the registry, as they are at this moment. */
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type {
  ApprovalStore,
  HeldRole,
  OperatorRecord,
  OperatorRole,
} from '../ports/approvalStore.ts';
import type { Clock } from '../ports/clock.ts';
import type { SecurityLog } from '../ports/securityLog.ts';
import { isSigned, type SignedDocument } from './documents.ts';
import { type ApprovalCode, type ApprovalRefusal, refuseApproval } from './refusals.ts';

export interface ApprovalOptions {
  readonly store: ApprovalStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly security?: SecurityLog | undefined;
}

export type SignerOptions = Omit<ApprovalOptions, 'store'> & {
  readonly store: Pick<ApprovalStore, 'operators'>;
};

export class Signers {
  readonly #options: SignerOptions;

  constructor(options: SignerOptions) {
    this.#options = options;
  }

  /** Who is revoked is none. */
  async operator(name: string): Promise<OperatorRecord | undefined> {
    const operators = await this.#options.store.operators();
    return operators.find((one) => one.name === name && one.revokedMs === undefined);
  }

  async rolesOf(name: string | undefined): Promise<readonly HeldRole[]> {
    return name === undefined ? [] : ((await this.operator(name))?.roles ?? []);
  }

  async holds(name: string, wanted: readonly OperatorRole[]): Promise<boolean> {
    return (await this.rolesOf(name)).some(({ role }) => wanted.includes(role));
  }

  /** Whether that operator signed it, whatever the dates of the certificate. */
  async isSignedBy(name: string, { message }: SignedDocument<unknown>): Promise<boolean> {
    const operator = await this.operator(name);
    if (operator === undefined) return false;
    const { spki } = parseCertificate(operator.certificate).publicKey;
    return isSigned(this.#options.crypto, spki, message);
  }

  /** Why that operator may not sign this now. */
  async faultOf(name: string, signed: SignedDocument<unknown>): Promise<ApprovalCode | undefined> {
    const operator = await this.operator(name);
    if (operator === undefined) return 'unknown-operator';
    if (!(await this.isSignedBy(name, signed))) return 'bad-signature';
    const { notAfterMs } = parseCertificate(operator.certificate);
    return this.#options.clock.nowMs() > notAfterMs ? 'operator-expired' : undefined;
  }

  /** Every refusal is worth a note: somebody tried. */
  refuse(code: ApprovalCode, operator?: string, id?: Uint8Array): ApprovalRefusal {
    const refusal = refuseApproval(code);
    const about = [operator, id && toHex(id)].filter((one) => one !== undefined);
    const { reason } = refusal;
    this.#options.security?.note({ door: 'approvals', code, reason, subject: about.join(' ') });
    return refusal;
  }
}
