/** What the enrolment desk answers, as values of `trust`. */
import type { CreatedSecret } from '../../../trust/ports/enrolmentDesk.ts';
import type { ForeignAnchor } from '../../../trust/ports/foreignStore.ts';
import {
  approvalCauses,
  type ApprovalRecord,
  type ProfilePolicy,
  type SecretRecord,
} from '../../../trust/ports/grantStore.ts';
import type { Answer } from './answers.ts';

export function readAnchor(answer: Answer): ForeignAnchor {
  return {
    product: answer.text('product'),
    certificate: answer.base64('certificate'),
    sha256: answer.hex('sha256'),
    count: answer.number('count'),
    taken: answer.number('taken'),
    pinnedMs: answer.number('pinnedMs'),
    retiredMs: answer.optionalNumber('retiredMs'),
  };
}

export function readCreated(answer: Answer): CreatedSecret {
  return {
    id: answer.number('id'),
    secret: answer.text('secret'),
    deviceId: answer.text('deviceId'),
    product: answer.text('product'),
    profile: answer.text('profile'),
    expiresMs: answer.number('expiresMs'),
  };
}

export function readSecret(answer: Answer): SecretRecord {
  const hexOf = (name: string): Uint8Array | undefined =>
    answer.isNull(name) ? undefined : answer.hex(name);
  return {
    id: answer.number('id'),
    deviceId: answer.text('deviceId'),
    product: answer.text('product'),
    profile: answer.text('profile'),
    createdMs: answer.number('createdMs'),
    expiresMs: answer.number('expiresMs'),
    keyIdentifier: hexOf('keyIdentifier'),
    spentOn: hexOf('spentOn'),
    voidedMs: answer.optionalNumber('voidedMs'),
  };
}

/** The desk lists what is undecided. */
export function readApproval(answer: Answer): ApprovalRecord {
  return {
    id: answer.number('id'),
    deviceId: answer.text('deviceId'),
    keyIdentifier: answer.hex('keyIdentifier'),
    profile: answer.text('profile'),
    cause: answer.oneOf('cause', approvalCauses),
    requestedMs: answer.number('requestedMs'),
    decision: undefined,
    decidedBy: undefined,
    decidedMs: undefined,
    spentOn: undefined,
  };
}

export function readPolicy(answer: Answer): ProfilePolicy {
  const kind = answer.oneOf('afterExpiry', ['never', 'within', 'approval'] as const);
  return {
    profile: answer.text('profile'),
    approval: answer.oneOf('approval', ['none', 'first', 'every'] as const),
    afterExpiry: kind === 'within' ? { kind, days: answer.number('days') } : { kind },
  };
}
