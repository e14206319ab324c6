/** Why an approval is refused, in codes for programs and words for people. */
import type { SpendingFault } from '../ports/approvalStore.ts';
import { type Refusal, refuse } from '../ports/faults.ts';

export type ApprovalCode =
  | SpendingFault
  | 'approval-needed'
  | 'other-bytes'
  | 'other-installation'
  | 'one-person'
  | 'same-person'
  | 'wrong-role'
  | 'unknown-operator'
  | 'operator-expired'
  | 'bad-signature'
  | 'bad-time'
  | 'too-many'
  | 'decided'
  | 'malformed';

export type ApprovalRefusal = Refusal<ApprovalCode>;

const reasons: Readonly<Record<ApprovalCode, string>> = {
  'approval-unknown': 'No such request is known here.',
  'approval-missing': 'The request is not approved.',
  'approval-expired': 'The request is past its end.',
  'approval-spent': 'The approval was used: an act more needs an approval more.',
  'approval-role-lost': 'One of the two persons has lost the role since.',
  'approval-needed': 'Two persons are needed: one asks for it with --as, another one approves.',
  'other-bytes': 'Something else was approved.',
  'other-installation': 'The document is for another installation.',
  'one-person': 'One person is enough here: birthmark ca two-person changes that.',
  'same-person': 'Nobody approves a request of their own.',
  'wrong-role': 'The operator has no role that may do that.',
  'unknown-operator': 'No operator of this name may sign here.',
  'operator-expired': "The operator's certificate has ended: birthmark operator renew.",
  'bad-signature': 'The signature is not that of the operator.',
  'bad-time': 'The times of the document are not those of now.',
  'too-many': 'Too many requests of this operator are waiting.',
  decided: 'The request is decided already.',
  malformed: 'The document cannot be read.',
};

export function refuseApproval<Code extends ApprovalCode>(code: Code): Refusal<Code> {
  return refuse(code, reasons[code]);
}

/** For the code of acts, whose stores refuse what cannot be spent. */
export function isSpendingFault(outcome: string): outcome is SpendingFault {
  return outcome.startsWith('approval-');
}
