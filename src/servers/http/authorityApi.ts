/**
 * The part of the API that the authority answers. Its local door has the same paths and judges everything
 * itself: here it is seen to who asks, that a body has its form, and that nothing leaves which has no name
 * in a schema. What takes two persons is allowed by their signatures and by nothing else.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { actRules } from '../../trust/approvals/acts.ts';
import { operatorRoles } from '../../trust/ports/approvalStore.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import type { Link, LinkRequest, LinkResponse } from '../../trust/ports/link.ts';
import { described } from './apiDescription.ts';
import { query } from './apiSchemas.ts';
import { answers, bodies, pageQuery, params } from './authoritySchemas.ts';
import { act, read, type Route } from './authorityRoute.ts';
import { type Admission, callerOf } from './callers.ts';
import { isAsSeen, sendCurrent } from './conditions.ts';
import { enrolmentActs, enrolmentReads } from './enrolmentApi.ts';
import { sendProblem } from './problem.ts';

export interface AuthorityApiOptions {
  readonly authority: Pick<Link, 'send'>;
  readonly onRefusal: (code: string) => void;
}

/** An order of a thousand batches, a profile, a request about a thousand devices. */
const bodyBytes = 262_144;
const listType = 'application/pkix-crl';
/** Whose signature counts for what is for the desk to say. */
const signers: Admission = { roles: operatorRoles };

const reads: readonly Route[] = [
  read('/authorities', 'listAuthorities', 'authorities', 'The authorities', answers.authorities),
  {
    ...read('/horizon', 'getHorizon', 'authorities', 'What ends when', answers.horizon, 'staff'),
    querystring: query({ until: { type: 'integer', minimum: 2000, maximum: 2200, default: 2041 } }),
  },
  read('/lists', 'listLists', 'authorities', 'Every list of revoked certificates', answers.lists),
  {
    ...read('/lists/:authority/:shard', 'getList', 'authorities', 'One list (RFC 5280)', listType),
    params: params.list,
  },
  read('/profiles', 'listProfiles', 'authorities', 'Profiles, former ones too', answers.profiles),
  {
    ...read('/orders', 'listOrders', 'orders', 'Orders, newest first', answers.orders, 'staff'),
    querystring: pageQuery,
  },
  {
    ...read(
      '/orders/:order',
      'getOrder',
      'orders',
      'An order with its batches and tickets',
      answers.orderView,
      'staff',
    ),
    params: params.order,
  },
  read('/operators', 'listOperators', 'approvals', 'Operators', answers.operators, 'staff'),
  read('/approvals/mode', 'getMode', 'approvals', 'Whether acts take two', answers.mode, 'staff'),
  read(
    '/approvals/sole-changes',
    'getSoleChanges',
    'approvals',
    'What one person may still do today',
    answers.soleChanges,
    'staff',
  ),
  {
    ...read(
      '/approvals',
      'listApprovals',
      'approvals',
      'Requests, newest first, pending and done',
      answers.requests,
      'staff',
    ),
    querystring: pageQuery,
  },
  {
    ...read('/approvals/:id', 'getApproval', 'approvals', 'A request', answers.request, 'staff'),
    params: params.request,
  },
  read('/log', 'getLog', 'log', 'The newest checkpoint', answers.log, 'staff'),
  {
    ...read('/log/:leaf', 'getLeaf', 'log', 'A leaf, and its proof', answers.leaf, 'staff'),
    params: params.leaf,
  },
];

const acts: readonly Route[] = [
  {
    ...act('/orders', 'createOrder', 'orders', 'Order identities', bodies.order, answers.order),
    may: { roles: actRules['order.create'].requesters },
  },
  {
    ...act('/orders/raise', 'raiseOrder', 'orders', 'Order more', bodies.raise, answers.order),
    changes: '/orders/:order',
    may: { roles: actRules['order.raise'].requesters },
  },
  {
    ...act('/tickets', 'issueTicket', 'orders', 'Allow a station', bodies.ticket, answers.ticket),
    may: { roles: actRules['ticket.issue'].requesters },
  },
  {
    ...act(
      '/batches/:batch/close',
      'closeBatch',
      'orders',
      'Close a batch: manifest and yield report are signed',
      bodies.close,
      answers.closedBatch,
    ),
    params: params.batch,
    may: { roles: actRules['batch.close'].requesters },
  },
  {
    ...act('/profiles', 'addProfile', 'authorities', 'Add one', bodies.profile, answers.profile),
    may: { roles: actRules['profile.change'].requesters },
  },
  {
    ...act('/operators', 'addOperator', 'approvals', 'Add one', bodies.operator, answers.chain),
    may: { roles: actRules['operator.add'].requesters },
  },
  {
    ...act(
      '/operators/renew',
      'renewOperator',
      'approvals',
      'Another certificate for the key that has signed the request',
      bodies.renewal,
      answers.chain,
    ),
    may: signers,
  },
  {
    ...act(
      '/operators/roles',
      'changeRole',
      'approvals',
      'Give a role, or take it away',
      bodies.role,
      answers.nothing,
    ),
    may: { roles: actRules['operator.grant'].requesters },
  },
  {
    ...act(
      '/operators/revoke',
      'revokeOperator',
      'approvals',
      'End an operator',
      bodies.leaver,
      answers.nothing,
    ),
    may: { roles: actRules['operator.revoke'].requesters },
  },
  {
    ...act(
      '/approvals/requests',
      'requestApproval',
      'approvals',
      'Ask for what takes two persons',
      bodies.signed,
      answers.request,
    ),
    may: signers,
  },
  {
    ...act(
      '/approvals/decisions',
      'decideApproval',
      'approvals',
      'Approve, reject or withdraw a request',
      bodies.signed,
      answers.request,
    ),
    may: signers,
  },
];

export function authorityApi(app: FastifyInstance, options: AuthorityApiOptions): void {
  for (const route of [...reads, ...enrolmentReads, ...acts, ...enrolmentActs]) {
    const { method, url, id, tag, summary, namesCaller: _, changes, ...parts } = route;
    app.route({
      method,
      url,
      ...described(id, tag, summary, {
        ...parts,
        conditional: changes !== undefined,
        ...(method === 'POST' ? { bodyLimit: bodyBytes } : {}),
      }),
      handler: async (request, reply) => {
        if (!(await isStillAsSeen(route, options, request, reply))) return reply;
        const response = await options.authority.send(requestTo(route, request));
        return response.status === 200
          ? passOn(route, request, reply, response)
          : refuse(options, reply, response);
      },
    });
  }
}

/** Whether the act may go on; otherwise the refusal has been sent. */
async function isStillAsSeen(
  { changes }: Route,
  options: AuthorityApiOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<boolean> {
  if (changes === undefined || request.headers['if-match'] === undefined) return true;
  const path = `/v1${pathOf(changes, textsOf(request.body))}`;
  const seen = await options.authority.send({ method: 'GET', path });
  if (seen.status === 200) {
    return isAsSeen(request, reply, objectIn(seen.body), options.onRefusal);
  }
  refuse(options, reply, seen);
  return false;
}

/** Made anew of what the schemas have read: nothing of the caller's path or body passes as it came. */
function requestTo({ method, url, namesCaller }: Route, request: FastifyRequest): LinkRequest {
  const given = textsOf(request.params);
  const path = pathOf(url, given);
  const asked = new URLSearchParams(textsOf(request.query)).toString();
  const target = { method, path: `/v1${path}${asked === '' ? '' : `?${asked}`}` };
  if (method === 'GET') return target;
  const by = namesCaller === true ? { by: callerOf(request).id } : {};
  const body = JSON.stringify(Object.assign({}, request.body, by));
  return { ...target, contentType: 'application/json', body };
}

function pathOf(url: string, given: Readonly<Record<string, string>>): string {
  return url.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(given[name] ?? ''));
}

function textsOf(values: unknown): Readonly<Record<string, string>> {
  const entries = typeof values === 'object' && values !== null ? Object.entries(values) : [];
  return Object.fromEntries(entries.map(([name, value]) => [name, String(value)]));
}

function passOn(
  { method, answer }: Route,
  request: FastifyRequest,
  reply: FastifyReply,
  { body }: LinkResponse,
): object {
  if (typeof answer === 'string') return reply.type(answer).send(Buffer.from(body));
  const document = objectIn(body);
  return method === 'GET' ? sendCurrent(request, reply, document) : document;
}

/** The authority's no with its code; of its troubles the caller learns that they are ours. */
function refuse(
  { onRefusal }: AuthorityApiOptions,
  reply: FastifyReply,
  { status, body }: LinkResponse,
): FastifyReply {
  if (status >= 500) {
    throw new EnvironmentError('the authority failed', { retryable: status === 503 });
  }
  const problem = objectIn(body);
  const member = (name: string): string | undefined => {
    const value: unknown = Reflect.get(problem, name);
    return typeof value === 'string' ? value : undefined;
  };
  const code = member('code') ?? 'forbidden';
  const detail = member('detail');
  onRefusal(code);
  return sendProblem(reply, { status, code, ...(detail === undefined ? {} : { detail }) });
}

function objectIn(body: Uint8Array): object {
  const document: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
  if (typeof document === 'object' && document !== null) return document;
  throw new InvariantError('the authority answered without a document');
}
