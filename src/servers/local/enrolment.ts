/** The authority's local door: one-time secrets, approvals, and the policies of enrolment. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { EnrolmentDesk } from '../../trust/ports/enrolmentDesk.ts';
import type { EnrolmentAuthority } from '../../trust/ports/enrolment.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { ApprovalRecord, ProfilePolicy, SecretRecord } from '../../trust/ports/grantStore.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { nextOf } from '../http/pages.ts';
import { sendRefusal } from '../http/problem.ts';
import { readApproval } from './authorityFields.ts';
import { Fields, type NumberedPageQuery, readNumber, readPage } from './fields.ts';
import { issuedDocument } from './ldevids.ts';

/** By which a device enrols that has no certificate to show. */
export type SecretActs = Pick<EnrolmentAuthority, 'secretHolder' | 'issueBySecret'>;

const maximumDays = 3_650;
const dayMs = 86_400_000;
const lastId = Number.MAX_SAFE_INTEGER;
/** A name with the kind of caller in front of it. */
const longestDecider = 80;

export function secretRoutes(app: FastifyInstance, acts: SecretActs): void {
  app.post('/v1/secret-holder', async (request, _reply) => {
    const holder = await acts.secretHolder(new Fields(request.body).text('secret', 256));
    return { holder: holder ?? null };
  });

  app.post('/v1/ldevid-by-secret', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.issueBySecret({
      secret: fields.text('secret', 256),
      request: fields.base64('request'),
      profile: fields.has('profile') ? fields.text('profile', 64) : undefined,
    });
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : issuedDocument(outcome);
  });
}

export function enrolmentDeskRoutes(app: FastifyInstance, desk: EnrolmentDesk): void {
  app.get<{ Querystring: NumberedPageQuery }>('/v1/enrolment/secrets', async ({ query }) => {
    const { limit, before } = readPage(query);
    const page = await desk.secrets(limit, readNumber(before));
    return { secrets: page.map(secretDocument), ...nextOf(page, limit, ({ id }) => id) };
  });

  app.post('/v1/enrolment/secrets', async (request, reply) => {
    const fields = new Fields(request.body);
    const deviceId = fields.optionalText('deviceId', 16);
    const order = {
      ...(deviceId === undefined ? {} : { deviceId }),
      product: fields.text('product', 64),
      profile: fields.text('profile', 64),
      lifetimeMs: fields.integer('lifetimeMs', 1, maximumDays * dayMs),
    };
    const outcome = await desk.createSecret(order, readApproval(fields));
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : outcome;
  });

  app.post('/v1/enrolment/secrets/void', async (request, reply) => {
    const id = new Fields(request.body).integer('id', 1, lastId);
    return done(reply, await desk.voidSecret(id));
  });

  app.get<{ Querystring: NumberedPageQuery }>('/v1/enrolment/requests', async ({ query }) => {
    const { limit } = readPage(query);
    const page = await desk.approvals(limit, readNumber(query.after));
    return { requests: page.map(approvalDocument), ...nextOf(page, limit, ({ id }) => id) };
  });

  app.post('/v1/enrolment/requests/decide', async (request, reply) => {
    const fields = new Fields(request.body);
    const decision = fields.oneOf('decision', ['approved', 'denied'] as const);
    const id = fields.integer('id', 1, lastId);
    return done(reply, await desk.decide(id, decision, fields.text('by', longestDecider)));
  });

  app.get('/v1/enrolment/policies', async () => ({
    policies: (await desk.policies()).map(policyDocument),
  }));

  app.post('/v1/enrolment/policies', async (request, reply) =>
    done(reply, await desk.savePolicy(...readPolicy(request.body))),
  );
}

function done(reply: FastifyReply, refusal: Refusal<string> | undefined): object {
  return refusal === undefined ? {} : sendRefusal(reply, refusal);
}

/** With what allows it. `approval` of the body says whether a person decides about requests. */
function readPolicy(body: unknown): readonly [ProfilePolicy, Uint8Array | undefined] {
  const fields = new Fields(body);
  const kind = fields.oneOf('afterExpiry', ['never', 'within', 'approval'] as const);
  const policy: ProfilePolicy = {
    profile: fields.text('profile', 64),
    approval: fields.oneOf('approval', ['none', 'first', 'every'] as const),
    afterExpiry:
      kind === 'within' ? { kind, days: fields.integer('days', 1, maximumDays) } : { kind },
  };
  return [policy, readApproval(fields, 'request')];
}

function policyDocument({ profile, approval, afterExpiry }: ProfilePolicy): object {
  const days = afterExpiry.kind === 'within' ? { days: afterExpiry.days } : {};
  return { profile, approval, afterExpiry: afterExpiry.kind, ...days };
}

function secretDocument(secret: SecretRecord): object {
  return {
    id: secret.id,
    deviceId: secret.deviceId,
    product: secret.product,
    profile: secret.profile,
    createdMs: secret.createdMs,
    expiresMs: secret.expiresMs,
    keyIdentifier: hexOrNull(secret.keyIdentifier),
    spentOn: hexOrNull(secret.spentOn),
    voidedMs: secret.voidedMs ?? null,
  };
}

function approvalDocument(approval: ApprovalRecord): object {
  return {
    id: approval.id,
    deviceId: approval.deviceId,
    keyIdentifier: toHex(approval.keyIdentifier),
    profile: approval.profile,
    cause: approval.cause,
    requestedMs: approval.requestedMs,
  };
}

function hexOrNull(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : toHex(bytes);
}
