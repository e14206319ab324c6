/**
 * The authority's local door. The line's messages pass as they are and count by their own signatures;
 * everything else is what the provisioner, or the operator at this machine, may ask for. What may be
 * issued to whom is decided behind this door, in `trust`.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { createReadStream } from 'node:fs';
import { namedProfiles, type NamedRequest } from '../../trust/issuance/certification.ts';
import type { ApprovalDeskPort } from '../../trust/ports/approvalDesk.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { EnrolmentDesk, ForeignDesk } from '../../trust/ports/enrolmentDesk.ts';
import type { EvidenceDesk } from '../../trust/ports/evidence.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { InspectionDesk } from '../../trust/ports/inspection.ts';
import type { LineStep } from '../../trust/ports/lineTransport.ts';
import type {
  AuthorityStatus,
  ClosedBatch,
  OrderRaise,
  OrderRequest,
  OrderView,
  TicketRequest,
  TicketView,
} from '../../trust/ports/operatorAuthority.ts';
import type { CaseDesk } from '../../trust/ports/lossCase.ts';
import type { OrderRecord } from '../../trust/ports/orderStore.ts';
import type {
  FloorDesk,
  SessionServerAuthority,
} from '../../trust/ports/sessionServerAuthority.ts';
import type { ProfileDesk } from '../../trust/ports/profileDesk.ts';
import type { StatusAuthority } from '../../trust/ports/statusAuthority.ts';
import type { AuthorityNotice } from '../../trust/ports/registryStore.ts';
import type { ApprovedOrder } from '../../trust/ports/statusOrders.ts';
import type { Recorded } from '../../trust/status/notices.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { lineLimits } from '../../wire/line/fields.ts';
import { nextOf } from '../http/pages.ts';
import { sendProblem, sendRefusal } from '../http/problem.ts';
import { approvalRoutes, type OperatorActs, operatorRoutes } from './approvals.ts';
import {
  hierarchyDocument,
  orderDocument,
  orderViewDocument,
  readApproval,
  readNotices,
  readOrderRaise,
  readOrderRequest,
  readTicketRequest,
  ticketDocument,
} from './authorityFields.ts';
import { caseRoutes } from './cases.ts';
import { enrolmentDeskRoutes, type SecretActs, secretRoutes } from './enrolment.ts';
import { readApprovedOrder } from './statusOrders.ts';
import { evidenceRoutes } from './evidence.ts';
import { Fields, type PageQuery, readPage } from './fields.ts';
import { foreignRoutes } from './foreign.ts';
import { inspectionRoutes } from './inspection.ts';
import type { LdevidActs } from './ldevids.ts';
import { profileRoutes } from './profiles.ts';
import { sessionServerRoutes } from './sessionServers.ts';
import { statusRoutes } from './status.ts';

type Outcome<Value> = Promise<Value | Refusal<string>>;

export interface AuthorityActs extends LdevidActs {
  readonly line: (step: LineStep, request: Uint8Array) => Promise<Uint8Array>;
  readonly hierarchy: () => Hierarchy & { readonly orderKeySpki: Uint8Array };
  /** Chain of the new certificate, DER, leaf first, without the root. */
  readonly certify: (
    request: NamedRequest,
    approval?: Uint8Array,
  ) => Outcome<readonly Uint8Array[]>;
  readonly recordRevocations: (
    notices: readonly AuthorityNotice[],
    approved: ApprovedOrder | undefined,
  ) => Outcome<Recorded>;
  readonly secrets: SecretActs;
  readonly certificateStatus: StatusAuthority;
  readonly sessionServers: SessionServerAuthority & FloorDesk;
  readonly foreign: ForeignDesk;
  readonly enrolment: EnrolmentDesk;
  readonly profiles: ProfileDesk;
  readonly cases: CaseDesk;
  readonly saveServerIdentity: (identity: Uint8Array) => Promise<void>;
  readonly raiseOrder: (raise: OrderRaise, approval?: Uint8Array) => Outcome<OrderRecord>;
  readonly createOrder: (request: OrderRequest, approval?: Uint8Array) => Outcome<OrderRecord>;
  /** A page, newest first; those older than the order `before`. */
  readonly orders: (limit: number, before?: string) => Promise<readonly OrderRecord[]>;
  readonly order: (order: string) => Promise<OrderView | undefined>;
  readonly issueTicket: (request: TicketRequest, approval?: Uint8Array) => Outcome<TicketView>;
  readonly closeBatch: (batch: string, approval?: Uint8Array) => Outcome<ClosedBatch>;
  /** At most a page. */
  readonly closedBatches: (
    afterSequence: number,
  ) => Promise<ReadonlyArray<{ readonly sequence: number; readonly batch: string }>>;
  /** Path of the manifest of a closed batch; `undefined` when there is none. */
  readonly manifestPath: (batch: string) => Promise<string | undefined>;
  readonly approvals: ApprovalDeskPort;
  readonly operators: OperatorActs;
  readonly evidence: EvidenceDesk;
  readonly inspection: InspectionDesk;
  readonly status: () => Promise<AuthorityStatus>;
}

const lineSteps: readonly LineStep[] = ['open', 'endorse', 'report', 'close'];
const cborType = 'application/cbor';
const maximumHosts = 16;

export function authorityRoutes(app: FastifyInstance, acts: AuthorityActs): void {
  app.addContentTypeParser(cborType, { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  for (const step of lineSteps) {
    app.post(`/line/v1/${step}`, { bodyLimit: lineLimits.message }, async (request, reply) => {
      if (!(request.body instanceof Uint8Array)) {
        return sendProblem(reply, { status: 415, code: 'wrong-media-type' });
      }
      const answer = await acts.line(step, new Uint8Array(request.body));
      return reply.type(cborType).send(Buffer.from(answer));
    });
  }
  app.get('/v1/status', () => acts.status());
  app.get('/v1/anchors', () => Promise.resolve(hierarchyDocument(acts.hierarchy())));
  certificateRoutes(app, acts);
  secretRoutes(app, acts.secrets);
  enrolmentDeskRoutes(app, acts.enrolment);
  statusRoutes(app, acts.certificateStatus);
  foreignRoutes(app, acts.foreign);
  sessionServerRoutes(app, acts.sessionServers);
  orderRoutes(app, acts);
  manifestRoutes(app, acts);
  approvalRoutes(app, acts.approvals);
  operatorRoutes(app, acts.operators);
  profileRoutes(app, acts.profiles);
  caseRoutes(app, acts.cases);
  evidenceRoutes(app, acts.evidence);
  inspectionRoutes(app, acts.inspection);
}

function certificateRoutes(app: FastifyInstance, acts: AuthorityActs): void {
  app.post('/v1/certificates', async (request, reply) => {
    const fields = new Fields(request.body);
    const named = {
      profile: fields.oneOf('profile', namedProfiles),
      name: fields.text('name', 64),
      request: fields.base64('request'),
      hosts: fields.has('hosts') ? fields.texts('hosts', maximumHosts) : [],
    };
    const outcome = await acts.certify(named, readApproval(fields));
    return answer(reply, outcome, (chain) => ({ chain: chain.map(toBase64) }));
  });

  app.post('/v1/revocations', async (request, reply) => {
    const outcome = await acts.recordRevocations(
      readNotices(request.body),
      readApprovedOrder(request.body),
    );
    return answer(reply, outcome, ({ changed, waiting }) => ({
      changed,
      waiting: waiting.map(({ sequence }) => sequence),
    }));
  });

  app.put('/v1/server-identity', async (request, _reply) => {
    await acts.saveServerIdentity(new Fields(request.body).base64('identity'));
    return {};
  });
}

function orderRoutes(app: FastifyInstance, acts: AuthorityActs): void {
  app.get<{ Querystring: PageQuery }>('/v1/orders', async ({ query }) => {
    const { limit, before } = readPage(query);
    const page = await acts.orders(limit, before);
    return { orders: page.map(orderDocument), ...nextOf(page, limit, ({ order }) => order) };
  });

  app.get<{ Params: { order: string } }>('/v1/orders/:order', async (request, reply) => {
    const view = await acts.order(request.params.order);
    return view === undefined
      ? sendProblem(reply, { status: 404, code: 'unknown-order', detail: 'No order of this name.' })
      : orderViewDocument(view);
  });

  app.post('/v1/orders', async (request, reply) =>
    answer(
      reply,
      await acts.createOrder(readOrderRequest(request.body), approvalIn(request)),
      orderDocument,
    ),
  );

  app.post('/v1/orders/raise', async (request, reply) =>
    answer(
      reply,
      await acts.raiseOrder(readOrderRaise(request.body), approvalIn(request)),
      orderDocument,
    ),
  );

  app.post('/v1/tickets', async (request, reply) =>
    answer(
      reply,
      await acts.issueTicket(readTicketRequest(request.body), approvalIn(request)),
      ticketDocument,
    ),
  );

  app.post<{ Params: { batch: string } }>('/v1/batches/:batch/close', async (request, reply) =>
    answer(
      reply,
      await acts.closeBatch(request.params.batch, approvalIn(request)),
      (closed) => closed,
    ),
  );
}

function approvalIn({ body }: { readonly body: unknown }): Uint8Array | undefined {
  return typeof body === 'object' && body !== null ? readApproval(new Fields(body)) : undefined;
}

function manifestRoutes(app: FastifyInstance, acts: AuthorityActs): void {
  app.get<{ Querystring: { after?: string } }>('/v1/manifests', async (request, _reply) => {
    const after = Number(request.query.after ?? 0);
    return { batches: await acts.closedBatches(Number.isSafeInteger(after) ? after : 0) };
  });

  // As it was signed, from the file: a manifest may be larger than memory.
  app.get<{ Params: { batch: string } }>('/v1/manifests/:batch', async (request, reply) => {
    const path = await acts.manifestPath(request.params.batch);
    return path === undefined
      ? sendProblem(reply, { status: 404, code: 'unknown-batch', detail: 'No such manifest.' })
      : reply.type('application/json').send(createReadStream(path));
  });
}

function answer<Value>(
  reply: FastifyReply,
  outcome: Value | Refusal<string>,
  document: (value: Value) => object,
): object {
  return isRefusal(outcome) ? sendRefusal(reply, outcome) : document(outcome);
}
