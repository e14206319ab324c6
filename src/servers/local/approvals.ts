/** The authority's local door: requests and decisions of operators, and the operators themselves. */
import type { FastifyInstance } from 'fastify';
import type { ApprovalDeskPort } from '../../trust/ports/approvalDesk.ts';
import {
  type OperatorRecord,
  type OperatorRole,
  operatorRoles,
  type RequestRecord,
} from '../../trust/ports/approvalStore.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { StatusOrder } from '../../trust/ports/statusOrders.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import { nextOf } from '../http/pages.ts';
import { sendProblem, sendRefusal } from '../http/problem.ts';
import { readApproval } from './authorityFields.ts';
import { FieldError, Fields, type PageQuery, readPage } from './fields.ts';
import { readStatusOrder } from './statusOrders.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface OperatorActs {
  readonly add: (
    operator: { readonly name: string; readonly role: OperatorRole; readonly request: Uint8Array },
    approval: Uint8Array | undefined,
  ) => Outcome<readonly Uint8Array[]>;
  readonly renew: (name: string, request: Uint8Array) => Outcome<readonly Uint8Array[]>;
  readonly changeRole: (
    change: { readonly name: string; readonly role: OperatorRole },
    kind: 'grant' | 'withdraw',
    approval: Uint8Array | undefined,
  ) => Outcome<undefined>;
  readonly revoke: (name: string, approval: Uint8Array | undefined) => Outcome<undefined>;
  readonly setMassLimit: (devices: number, approval: Uint8Array | undefined) => Outcome<undefined>;
  /** Whether the order may go on; `done` after its last step. */
  readonly statusOrder: (
    order: Omit<StatusOrder, 'dryRun'>,
    approval: Uint8Array | undefined,
    done: boolean,
  ) => Outcome<undefined>;
}

const maximumDevices = 1_000_000_000;

export function approvalRoutes(app: FastifyInstance, desk: ApprovalDeskPort): void {
  app.get('/v1/approvals/mode', async () => {
    const mode = await desk.mode();
    if (mode === undefined) return { mode: null };
    return { mode: { ...mode, installation: toHex(mode.installation) } };
  });

  app.get('/v1/approvals/sole-changes', async () => ({
    left: (await desk.soleChangesLeft()) ?? null,
  }));

  app.get<{ Querystring: PageQuery }>('/v1/approvals', async ({ query }) => {
    const { limit, before } = readPage(query);
    const id = before === undefined ? undefined : parseHex(before);
    if (before !== undefined && id?.length !== 32) throw new FieldError('before is a request');
    const page = await desk.requests(limit, id);
    return { requests: page.map(requestDocument), ...nextOf(page, limit, (one) => toHex(one.id)) };
  });

  app.get<{ Params: { id: string } }>('/v1/approvals/:id', async ({ params }, reply) => {
    const id = parseHex(params.id);
    const request = id?.length === 32 ? await desk.request(id) : undefined;
    return request === undefined
      ? sendProblem(reply, { status: 404, code: 'approval-unknown', detail: 'No such request.' })
      : requestDocument(request);
  });

  for (const [path, act] of [
    ['/v1/approvals/requests', desk.submit.bind(desk)],
    ['/v1/approvals/decisions', desk.decide.bind(desk)],
  ] as const) {
    app.post(path, async (request, reply) => {
      const outcome = await act(new Fields(request.body).base64('signed'));
      return isRefusal(outcome) ? sendRefusal(reply, outcome) : requestDocument(outcome);
    });
  }

  app.get('/v1/operators', async () => ({
    operators: (await desk.operators()).map(operatorDocument),
  }));
}

export function operatorRoutes(app: FastifyInstance, acts: OperatorActs): void {
  app.post('/v1/operators', async (request, reply) => {
    const fields = new Fields(request.body);
    const operator = {
      name: fields.text('name', 64),
      role: fields.oneOf('role', operatorRoles),
      request: fields.base64('request'),
    };
    const outcome = await acts.add(operator, readApproval(fields));
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : { chain: outcome.map(toBase64) };
  });

  app.post('/v1/operators/renew', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.renew(fields.text('name', 64), fields.base64('request'));
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : { chain: outcome.map(toBase64) };
  });

  app.post('/v1/operators/roles', async (request, reply) => {
    const fields = new Fields(request.body);
    const change = { name: fields.text('name', 64), role: fields.oneOf('role', operatorRoles) };
    const kind = fields.oneOf('change', ['grant', 'withdraw'] as const);
    const refusal = await acts.changeRole(change, kind, readApproval(fields));
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });

  app.post('/v1/operators/revoke', async (request, reply) => {
    const fields = new Fields(request.body);
    const refusal = await acts.revoke(fields.text('name', 64), readApproval(fields));
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });

  app.post('/v1/approvals/mass-limit', async (request, reply) => {
    const fields = new Fields(request.body);
    const devices = fields.integer('devices', 0, maximumDevices);
    const refusal = await acts.setMassLimit(devices, readApproval(fields));
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });

  app.post('/v1/approvals/status-orders', async (request, reply) => {
    const fields = new Fields(request.body);
    const order = readStatusOrder(fields);
    const refusal = await acts.statusOrder(order, readApproval(fields), fields.flag('done'));
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });
}

function requestDocument({ decision, ...request }: RequestRecord): object {
  return {
    id: toHex(request.id),
    act: request.act,
    requester: request.requester,
    signed: toBase64(request.signed),
    takenMs: request.takenMs,
    expiresMs: request.expiresMs,
    decision: decision === undefined ? null : { ...decision, signed: toBase64(decision.signed) },
    spentMs: request.spentMs ?? null,
    doneMs: request.doneMs ?? null,
  };
}

function operatorDocument({ certificate, keyIdentifier, ...operator }: OperatorRecord): object {
  return {
    ...operator,
    certificate: toBase64(certificate),
    keyIdentifier: toHex(keyIdentifier),
    revokedMs: operator.revokedMs ?? null,
  };
}
