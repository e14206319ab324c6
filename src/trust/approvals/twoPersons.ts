/** The moment at which one person is enough no longer. There is no way back. */
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { keyIdentifier, parseSpki } from '../../wire/x509/spki.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import { leastAdmins } from '../ports/approvalRules.ts';
import type { NewOperator, TwoPersonMode } from '../ports/approvalStore.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { ApprovalOptions } from './signers.ts';

/** What the audit log calls it. */
export const twoPersonAct = 'two-person';

/** Devices whose status one person may change at once, unless told otherwise. */
export const usualMassLimit = 100;

export interface FirstAdmin {
  readonly name: string;
  /** DER, of profile operator. */
  readonly certificate: Uint8Array;
}

/** Two admins at least, each with a key of their own. `already-on`, and nothing changed, when it is. */
export async function switchToTwoPersons(
  { store, crypto, clock }: ApprovalOptions,
  admins: readonly FirstAdmin[],
  massLimit: number,
): Promise<TwoPersonMode | Refusal<'too-few-admins' | 'already-on'>> {
  const sinceMs = clock.nowMs();
  const operators = admins.map(({ name, certificate }): NewOperator => {
    const { spki } = parseCertificate(certificate).publicKey;
    // RFC 7093 §2, method 1.
    const identifier = keyIdentifier(parseSpki(spki), (bits) => crypto.hash('SHA-256', bits));
    return { name, certificate, keyIdentifier: identifier, addedMs: sinceMs, roles: ['admin'] };
  });
  const keys = new Set(operators.map((operator) => toHex(operator.keyIdentifier)));
  const names = new Set(operators.map(({ name }) => name));
  if (Math.min(keys.size, names.size) < leastAdmins || keys.size !== operators.length) {
    return refuse('too-few-admins', 'Two admins are needed, each with a key of their own.');
  }
  const mode = { installation: crypto.random(16), sinceMs, massLimit };
  const entries = [
    encodeAuditEntry({
      kind: 'decision',
      atMs: sinceMs,
      act: twoPersonAct,
      subject: toHex(mode.installation),
      detail: `mass limit ${massLimit}`,
    }),
    ...admins.map(({ name, certificate }) =>
      encodeAuditEntry({
        kind: 'decision',
        atMs: sinceMs,
        act: 'operator-added',
        subject: name,
        detail: `admin, ${toHex(crypto.hash('SHA-256', certificate))}`,
      }),
    ),
  ];
  return (await store.switchOn(mode, operators, entries))
    ? mode
    : refuse('already-on', 'Two persons are needed already.');
}
