/**
 * Operators as the audit log tells of them: certificates, roles, and how much one of them may do alone. Rows
 * are what the program believes; whoever writes them past it has to make the log say the same.
 */
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';

export interface LoggedOperator {
  /** SHA-256 of every certificate, hexadecimal: a restored database may hold an earlier one. */
  readonly certificates: Set<string>;
  readonly roles: Set<string>;
  revoked: boolean;
}

export class OperatorTrail {
  readonly #operators = new Map<string, LoggedOperator>();
  #massLimit: string | undefined;

  get operators(): ReadonlyMap<string, LoggedOperator> {
    return this.#operators;
  }

  /** Decimal; `undefined` where one person is enough. */
  get massLimit(): string | undefined {
    return this.#massLimit;
  }

  note({ act, subject, detail }: Extract<AuditEntry, { readonly kind: 'decision' }>): void {
    const operator = this.#operators.get(subject);
    switch (act) {
      case twoPersonAct:
        this.#massLimit = /^mass limit (\d+)$/.exec(detail)?.[1];
        return;
      case 'mass-limit':
        this.#massLimit = subject;
        return;
      case 'operator-added': {
        const [role = '', sha256 = ''] = detail.split(', ');
        const added = { certificates: new Set([sha256]), roles: new Set([role]), revoked: false };
        this.#operators.set(subject, added);
        return;
      }
      case 'operator-renewed':
        operator?.certificates.add(detail);
        return;
      case 'operator-grant':
        operator?.roles.add(detail);
        return;
      case 'operator-withdraw':
        operator?.roles.delete(detail);
        return;
      case 'operator-revoked':
        if (operator !== undefined) operator.revoked = true;
        return;
    }
  }

  /** At this place of the log. */
  holds(name: string | undefined, wanted: readonly string[]): boolean {
    const operator = this.#operators.get(name ?? '');
    return operator?.revoked === false && wanted.some((role) => operator.roles.has(role));
  }
}
