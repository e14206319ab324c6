/** The authority's enrolment desk, reached over its local socket. */
import type {
  AnchorDecision,
  CreatedSecret,
  EnrolmentDesk,
  ForeignDesk,
  SecretOrder,
} from '../../../trust/ports/enrolmentDesk.ts';
import type { Refusal } from '../../../trust/ports/faults.ts';
import type { ForeignAnchor } from '../../../trust/ports/foreignStore.ts';
import type {
  ApprovalDecision,
  ApprovalRecord,
  ProfilePolicy,
  SecretRecord,
} from '../../../trust/ports/grantStore.ts';
import type { Link } from '../../../trust/ports/link.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { allowed, type Answer, approvalMember, readAnswer } from './answers.ts';
import { readAnchor, readApproval, readCreated, readPolicy, readSecret } from './deskAnswers.ts';
import { linkTo, type Reach } from './localClient.ts';

export class DeskClient implements ForeignDesk, EnrolmentDesk {
  readonly #client: Link;

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  pin(
    { product, certificate, count }: AnchorDecision,
    approval?: Uint8Array,
  ): Promise<ForeignAnchor | Refusal<string>> {
    const body = {
      product,
      certificate: toBase64(certificate),
      count,
      ...approvalMember(approval),
    };
    return this.#post('/v1/foreign-anchors', body, readAnchor);
  }

  retire(
    product: string,
    sha256: Uint8Array,
    approval?: Uint8Array,
  ): Promise<undefined | Refusal<string>> {
    const body = { product, sha256: toHex(sha256), ...approvalMember(approval) };
    return this.#post('/v1/foreign-anchors/retire', body, () => undefined);
  }

  anchors(): Promise<readonly ForeignAnchor[]> {
    return this.#get('/v1/foreign-anchors', (answer) => answer.answers('anchors').map(readAnchor));
  }

  createSecret(
    order: SecretOrder,
    approval?: Uint8Array,
  ): Promise<CreatedSecret | Refusal<string>> {
    const body = { ...order, ...approvalMember(approval) };
    return this.#post('/v1/enrolment/secrets', body, readCreated);
  }

  secrets(limit: number, before?: number): Promise<readonly SecretRecord[]> {
    const behind = before === undefined ? '' : `&before=${before}`;
    return this.#get(`/v1/enrolment/secrets?limit=${limit}${behind}`, (answer) =>
      answer.answers('secrets').map(readSecret),
    );
  }

  voidSecret(id: number): Promise<undefined | Refusal<string>> {
    return this.#post('/v1/enrolment/secrets/void', { id }, () => undefined);
  }

  approvals(limit: number, after?: number): Promise<readonly ApprovalRecord[]> {
    const behind = after === undefined ? '' : `&after=${after}`;
    return this.#get(`/v1/enrolment/requests?limit=${limit}${behind}`, (answer) =>
      answer.answers('requests').map(readApproval),
    );
  }

  /** Over the API it is known who decides. */
  decide(
    id: number,
    decision: ApprovalDecision,
    by?: string,
  ): Promise<undefined | Refusal<string>> {
    return this.#post('/v1/enrolment/requests/decide', { id, decision, by }, () => undefined);
  }

  policies(): Promise<readonly ProfilePolicy[]> {
    return this.#get('/v1/enrolment/policies', (answer) =>
      answer.answers('policies').map(readPolicy),
    );
  }

  async savePolicy(
    policy: ProfilePolicy,
    allowedBy?: Uint8Array,
  ): Promise<undefined | Refusal<string>> {
    const { profile, approval, afterExpiry } = policy;
    const days = afterExpiry.kind === 'within' ? { days: afterExpiry.days } : {};
    const request = allowedBy === undefined ? {} : { request: toHex(allowedBy) };
    const body = { profile, approval, afterExpiry: afterExpiry.kind, ...days, ...request };
    return this.#post('/v1/enrolment/policies', body, () => undefined);
  }

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
