/** The authority's desk of approvals and operators, reached over its local socket. */
import type { ApprovalDeskPort } from '../../../trust/ports/approvalDesk.ts';
import {
  decisions,
  type OperatorRecord,
  type OperatorRole,
  operatorRoles,
  type RequestRecord,
  type TwoPersonMode,
} from '../../../trust/ports/approvalStore.ts';
import type { IssuedChain } from '../../../trust/ports/authority.ts';
import { isRefusal, type Refusal } from '../../../trust/ports/faults.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { allowed, type Answer, approvalMember, readAnswer } from './answers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class ApprovalClient implements ApprovalDeskPort {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  mode(): Promise<TwoPersonMode | undefined> {
    return this.#get('/v1/approvals/mode', (answer) =>
      answer.isNull('mode') ? undefined : readMode(answer.answer('mode')),
    );
  }

  soleChangesLeft(): Promise<number | undefined> {
    return this.#get('/v1/approvals/sole-changes', (answer) => answer.optionalNumber('left'));
  }

  operators(): Promise<readonly OperatorRecord[]> {
    return this.#get('/v1/operators', (answer) => answer.answers('operators').map(readOperator));
  }

  async request(id: Uint8Array): Promise<RequestRecord | undefined> {
    const response = await this.#client.send({
      method: 'GET',
      path: `/v1/approvals/${toHex(id)}`,
    });
    const outcome = readAnswer(response, readRequestRecord);
    return isRefusal(outcome) ? undefined : outcome;
  }

  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]> {
    const behind = before === undefined ? '' : `&before=${toHex(before)}`;
    return this.#get(`/v1/approvals?limit=${limit}${behind}`, (answer) =>
      answer.answers('requests').map(readRequestRecord),
    );
  }

  submit(signed: Uint8Array): Promise<RequestRecord | Refusal<string>> {
    return this.#post('/v1/approvals/requests', { signed: toBase64(signed) }, readRequestRecord);
  }

  decide(signed: Uint8Array): Promise<RequestRecord | Refusal<string>> {
    return this.#post('/v1/approvals/decisions', { signed: toBase64(signed) }, readRequestRecord);
  }

  addOperator(
    operator: { readonly name: string; readonly role: OperatorRole; readonly request: Uint8Array },
    approval: Uint8Array | undefined,
  ): Promise<IssuedChain | Refusal<string>> {
    const { name, role, request } = operator;
    const body = { name, role, request: toBase64(request), ...approvalMember(approval) };
    return this.#post('/v1/operators', body, readChain);
  }

  renewOperator(name: string, request: Uint8Array): Promise<IssuedChain | Refusal<string>> {
    const body = { name, request: toBase64(request) };
    return this.#post('/v1/operators/renew', body, readChain);
  }

  changeRole(
    change: { readonly name: string; readonly role: OperatorRole },
    kind: 'grant' | 'withdraw',
    approval: Uint8Array | undefined,
  ): Promise<undefined | Refusal<string>> {
    const body = { ...change, change: kind, ...approvalMember(approval) };
    return this.#post('/v1/operators/roles', body, nothing);
  }

  revokeOperator(
    name: string,
    approval: Uint8Array | undefined,
  ): Promise<undefined | Refusal<string>> {
    return this.#post('/v1/operators/revoke', { name, ...approvalMember(approval) }, nothing);
  }

  setMassLimit(
    devices: number,
    approval: Uint8Array | undefined,
  ): Promise<undefined | Refusal<string>> {
    const body = { devices, ...approvalMember(approval) };
    return this.#post('/v1/approvals/mass-limit', body, nothing);
  }

  /** For what is never refused. */
  async #get<Value>(path: string, read: (answer: Answer) => Value): Promise<Value> {
    return allowed(readAnswer(await this.#client.send({ method: 'GET', path }), read));
  }

  async #post<Value>(
    path: string,
    body: object,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    const json = { contentType: 'application/json', body: JSON.stringify(body) };
    return readAnswer(await this.#client.send({ method: 'POST', path, ...json }), read);
  }
}

function readMode(answer: Answer): TwoPersonMode {
  return {
    installation: answer.hex('installation'),
    sinceMs: answer.number('sinceMs'),
    massLimit: answer.number('massLimit'),
  };
}

function readOperator(answer: Answer): OperatorRecord {
  return {
    name: answer.text('name'),
    certificate: answer.base64('certificate'),
    keyIdentifier: answer.hex('keyIdentifier'),
    roles: answer.answers('roles').map((role) => ({
      role: role.oneOf('role', operatorRoles),
      grantedMs: role.number('grantedMs'),
    })),
    addedMs: answer.number('addedMs'),
    revokedMs: answer.optionalNumber('revokedMs'),
  };
}

function readRequestRecord(answer: Answer): RequestRecord {
  return {
    id: answer.hex('id'),
    act: answer.text('act'),
    requester: answer.text('requester'),
    signed: answer.base64('signed'),
    takenMs: answer.number('takenMs'),
    expiresMs: answer.number('expiresMs'),
    decision: answer.isNull('decision') ? undefined : readDecision(answer.answer('decision')),
    spentMs: answer.optionalNumber('spentMs'),
    doneMs: answer.optionalNumber('doneMs'),
  };
}

function readDecision(answer: Answer): NonNullable<RequestRecord['decision']> {
  return {
    decision: answer.oneOf('decision', decisions),
    by: answer.text('by'),
    signed: answer.base64('signed'),
    atMs: answer.number('atMs'),
  };
}

function readChain(answer: Answer): IssuedChain {
  return { chain: answer.base64List('chain') };
}

function nothing(): undefined {
  return undefined;
}
