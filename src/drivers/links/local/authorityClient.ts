/** The authority, reached over its local socket: the ports of the provisioner and of the operator. */
import type {
  Hierarchy,
  IssuedChain,
  ProvisioningAuthority,
  PublishedManifest,
  StationEnrolment,
} from '../../../trust/ports/authority.ts';
import type {
  AuthorityRefusalCode,
  LdevidOutcome,
  LdevidRequest,
  SecretHolder,
  SecretOutcome,
  SecretRequest,
} from '../../../trust/ports/enrolment.ts';
import type { SessionLdevidRequest } from '../../../trust/ports/sessionEnrolment.ts';
import { EnvironmentError, isRefusal, type Refusal, refuse } from '../../../trust/ports/faults.ts';
import type { ProfilePolicy } from '../../../trust/ports/grantStore.ts';
import type { LineStep } from '../../../trust/ports/lineTransport.ts';
import type {
  AuthorityStatus,
  ClosedBatch,
  OperatorAuthority,
  OrderRaise,
  OrderRequest,
  OrderView,
  TicketRequest,
  TicketView,
} from '../../../trust/ports/operatorAuthority.ts';
import type { OrderRecord } from '../../../trust/ports/orderStore.ts';
import type { AuthorityNotice } from '../../../trust/ports/registryStore.ts';
import type { ApprovedOrder, StatusOrder } from '../../../trust/ports/statusOrders.ts';
import type { Link, LinkRequest, LinkResponse } from '../../../trust/ports/link.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { allowed, type Answer, approvalMember, readAnswer, readOutcome } from './answers.ts';
import { readClosedBatch, readOrder, readOrderView, readTicketView } from './authorityAnswers.ts';
import { readPolicy } from './deskAnswers.ts';
import { Gathered } from './gathered.ts';
import { linkTo, type Reach } from './localClient.ts';
import { statusOrderBody } from './provisionerClient.ts';

/** Requests of devices in one message, as the authority takes them. */
const maximumTogether = 64;

export class AuthorityClient implements ProvisioningAuthority, OperatorAuthority {
  readonly #client: Link;
  readonly #ldevids = new Gathered<LdevidRequest, LdevidOutcome>(maximumTogether, (requests) =>
    this.#issueTogether(requests),
  );

  constructor(reach: Reach) {
    this.#client = linkTo(reach, 'authority');
  }

  close(): void {
    this.#client.close();
  }

  /** For what is only passed on. */
  send(request: LinkRequest): Promise<LinkResponse> {
    return this.#client.send(request);
  }

  async post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
    const { status, body } = await this.#client.send({
      method: 'POST',
      path: `/line/v1/${step}`,
      contentType: 'application/cbor',
      body: message,
    });
    if (status === 200) return body;
    throw new EnvironmentError(`the authority did not answer ${step}: status ${status}`, {
      retryable: status >= 500,
    });
  }

  hierarchy(): Promise<Hierarchy & { readonly orderKeySpki: Uint8Array }> {
    return this.#get('/v1/anchors', (answer) => ({
      roots: answer.base64List('roots'),
      factory: answer.base64List('factory'),
      operational: answer.base64List('operational'),
      server: answer.base64List('server'),
      links: answer.base64List('links'),
      manifestSigners: answer.base64List('manifestSigners'),
      orderKeySpki: answer.base64('orderKeySpki'),
    }));
  }

  issueServer(
    request: Uint8Array,
    names: readonly string[],
  ): Promise<IssuedChain | Refusal<string>> {
    return this.#certify({ profile: 'server', name: names[0] ?? '', hosts: names, request });
  }

  issueClient(
    kind: 'application' | 'operator',
    name: string,
    request: Uint8Array,
  ): Promise<IssuedChain | Refusal<string>> {
    return this.#certify({ profile: kind, name, request });
  }

  async enrolStation(
    name: string,
    request: Uint8Array,
    approval?: Uint8Array,
  ): Promise<StationEnrolment | Refusal<string>> {
    const issued = await this.#certify({ profile: 'station', name, request }, approval);
    if (isRefusal(issued)) return issued;
    const { server, orderKeySpki } = await this.hierarchy();
    return { ...issued, serverAnchors: server, orderKeySpki };
  }

  issueLdevid(request: LdevidRequest): Promise<LdevidOutcome> {
    return this.#ldevids.ask(request);
  }

  async issueInSession(request: SessionLdevidRequest): Promise<LdevidOutcome> {
    const { deviceId, profile } = request;
    const body = { deviceId, request: toBase64(request.request), profile };
    const outcome = await this.#post<LdevidOutcome>('/v1/ldevid-in-session', body, readLdevid);
    return isRefusal(outcome) ? enrolmentRefusal(outcome) : outcome;
  }

  secretHolder(secret: string): Promise<SecretHolder | undefined> {
    return this.#ask('/v1/secret-holder', { secret }, (answer) => {
      if (answer.isNull('holder')) return undefined;
      const holder = answer.answer('holder');
      return { deviceId: holder.text('deviceId'), product: holder.text('product') };
    });
  }

  async issueBySecret({ secret, request, profile }: SecretRequest): Promise<SecretOutcome> {
    const body = { secret, request: toBase64(request), profile };
    const outcome = await this.#post<LdevidOutcome>('/v1/ldevid-by-secret', body, readLdevid);
    if (!isRefusal(outcome)) return outcome;
    const { refused, reason } = outcome;
    return refused === 'bad-secret' ? refuse(refused, reason) : enrolmentRefusal(outcome);
  }

  policies(): Promise<readonly ProfilePolicy[]> {
    return this.#get('/v1/enrolment/policies', (answer) =>
      answer.answers('policies').map(readPolicy),
    );
  }

  async publishServerIdentity(identity: Uint8Array): Promise<void> {
    allowed(
      await this.#send(
        {
          method: 'PUT',
          path: '/v1/server-identity',
          ...json({ identity: toBase64(identity) }),
        },
        () => undefined,
      ),
    );
  }

  async manifestsAfter(sequence: number): Promise<readonly PublishedManifest[]> {
    const closed = await this.#get(`/v1/manifests?after=${sequence}`, (answer) =>
      answer.answers('batches').map((batch) => ({
        sequence: batch.number('sequence'),
        batch: batch.text('batch'),
      })),
    );
    const manifests: PublishedManifest[] = [];
    for (const { sequence, batch } of closed) {
      manifests.push({ sequence, batch, bytes: await this.#manifest(batch) });
    }
    return manifests;
  }

  recordRevocations(notices: readonly AuthorityNotice[]): Promise<readonly number[]> {
    return this.#ask('/v1/revocations', { notices }, (answer) => answer.numbers('waiting'));
  }

  recordOrdered(
    notices: readonly AuthorityNotice[],
    { order, approval }: ApprovedOrder,
  ): Promise<undefined | Refusal<string>> {
    const body = { notices, order: statusOrderBody(order), ...approvalMember(approval) };
    return this.#post('/v1/revocations', body, () => undefined);
  }

  soleChangesLeft(): Promise<number | undefined> {
    return this.#get('/v1/approvals/sole-changes', (answer) => answer.optionalNumber('left'));
  }

  permitStatusOrder(
    order: Omit<StatusOrder, 'dryRun'>,
    approval: Uint8Array | undefined,
    done: boolean,
  ): Promise<undefined | Refusal<string>> {
    const body = { ...statusOrderBody(order), done, ...approvalMember(approval) };
    return this.#post('/v1/approvals/status-orders', body, () => undefined);
  }

  status(): Promise<AuthorityStatus> {
    return this.#get('/v1/status', (answer) => ({
      organization: answer.text('organization'),
      issued: answer.number('issued'),
      revoked: answer.number('revoked'),
      recovered: answer.number('recovered'),
      withheld: answer.number('withheld'),
      auditSize: answer.number('auditSize'),
      auditRoot: answer.text('auditRoot'),
    }));
  }

  createOrder(
    request: OrderRequest,
    approval?: Uint8Array,
  ): Promise<OrderRecord | Refusal<string>> {
    const { eui64First, serverIdentity, partNumber, ...rest } = request;
    const body = {
      ...rest,
      ...(partNumber === '' ? {} : { partNumber }),
      ...(eui64First === undefined ? {} : { eui64First: toHex(eui64First) }),
      ...(serverIdentity === undefined ? {} : { serverIdentity: toBase64(serverIdentity) }),
      ...approvalMember(approval),
    };
    return this.#post('/v1/orders', body, readOrder);
  }

  raiseOrder(raise: OrderRaise, approval?: Uint8Array): Promise<OrderRecord | Refusal<string>> {
    return this.#post('/v1/orders/raise', { ...raise, ...approvalMember(approval) }, readOrder);
  }

  orders(limit: number, before?: string): Promise<readonly OrderRecord[]> {
    const behind = before === undefined ? '' : `&before=${encodeURIComponent(before)}`;
    return this.#get(`/v1/orders?limit=${limit}${behind}`, (answer) =>
      answer.answers('orders').map(readOrder),
    );
  }

  async order(order: string): Promise<OrderView | undefined> {
    const path = `/v1/orders/${encodeURIComponent(order)}`;
    const view = await this.#send({ method: 'GET', path }, readOrderView);
    if (!isRefusal(view)) return view;
    return view.refused === 'unknown-order' ? undefined : allowed<OrderView>(view);
  }

  issueTicket(
    request: TicketRequest,
    approval?: Uint8Array,
  ): Promise<TicketView | Refusal<string>> {
    const stationKeySpki = toBase64(request.stationKeySpki);
    const body = { ...request, stationKeySpki, ...approvalMember(approval) };
    return this.#post('/v1/tickets', body, readTicketView);
  }

  closeBatch(batch: string, approval?: Uint8Array): Promise<ClosedBatch | Refusal<string>> {
    const path = `/v1/batches/${encodeURIComponent(batch)}/close`;
    return this.#post(path, approvalMember(approval), readClosedBatch);
  }

  #certify(
    body: {
      readonly profile: string;
      readonly name: string;
      readonly request: Uint8Array;
      readonly hosts?: readonly string[];
    },
    approval?: Uint8Array,
  ): Promise<IssuedChain | Refusal<string>> {
    const document = { ...body, request: toBase64(body.request), ...approvalMember(approval) };
    return this.#post('/v1/certificates', document, (answer) => ({
      chain: answer.base64List('chain'),
    }));
  }

  async #manifest(batch: string): Promise<Uint8Array> {
    const path = `/v1/manifests/${encodeURIComponent(batch)}`;
    const response = await this.#client.send({ method: 'GET', path });
    if (response.status === 200) return response.body;
    return allowed(readAnswer(response, () => new Uint8Array(0)));
  }

  #issueTogether(requests: readonly LdevidRequest[]): Promise<ReadonlyArray<() => LdevidOutcome>> {
    return this.#ask('/v1/ldevids', { requests: requests.map(ldevidBody) }, (answer) =>
      answer.answers('outcomes').map((outcome) => () => readOneLdevid(outcome)),
    );
  }

  /** For what is never refused. */
  async #get<Value>(path: string, read: (answer: Answer) => Value): Promise<Value> {
    return allowed(await this.#send({ method: 'GET', path }, read));
  }

  async #ask<Value>(path: string, body: object, read: (answer: Answer) => Value): Promise<Value> {
    return allowed(await this.#post(path, body, read));
  }

  #post<Value>(
    path: string,
    body: object,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    return this.#send({ method: 'POST', path, ...json(body) }, read);
  }

  async #send<Value>(
    request: LinkRequest,
    read: (answer: Answer) => Value,
  ): Promise<Value | Refusal<string>> {
    return readAnswer(await this.#client.send(request), read);
  }
}

function ldevidBody(request: LdevidRequest): object {
  return {
    deviceId: request.deviceId,
    authenticatedBy: base64Of(request.authenticatedBy),
    issuers: request.issuers.map(base64Of),
    product: request.product,
    request: base64Of(request.request),
    profile: request.profile,
  };
}

/** As `toBase64`, and for what is asked for thousands of times a second. */
function base64Of({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString('base64');
}

/** Of a message about several: each has a status when it is a problem. */
function readOneLdevid(answer: Answer): LdevidOutcome {
  const status = answer.has('status') ? answer.number('status') : 200;
  const outcome = readOutcome<LdevidOutcome>(status, answer, readLdevid);
  return isRefusal(outcome) ? enrolmentRefusal(outcome) : outcome;
}

function readLdevid(answer: Answer): LdevidOutcome {
  return answer.has('certificate')
    ? { certificate: answer.base64('certificate'), beside: answer.base64List('beside') }
    : { retryAfterS: answer.number('retryAfterS') };
}

function enrolmentRefusal({ refused, reason }: Refusal<string>): Refusal<AuthorityRefusalCode> {
  const isTold = refused === 'key-taken' || refused === 'bad-proof';
  return refuse(isTold ? refused : 'rejected', reason);
}

function json(body: object): { readonly contentType: string; readonly body: string } {
  return { contentType: 'application/json', body: JSON.stringify(body) };
}
