/**
 * Who comes to the API, the broker and the station door: certificates of programs, people and stations, and
 * tokens that read. The same routes at the API and at the local door.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { actRules } from '../../trust/approvals/acts.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { StationEnrolment } from '../../trust/ports/authority.ts';
import type { TokenRecord } from '../../trust/ports/tokenStore.ts';
import { maximumTokenMs, type ReadTokens } from '../../trust/registry/readTokens.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { readApproval } from '../local/authorityFields.ts';
import { Fields } from '../local/fields.ts';
import { described } from './apiDescription.ts';
import { approval, closed, limit, name, next, query, type Schema, timeMs } from './apiSchemas.ts';
import { base64, sent } from './authoritySchemas.ts';
import { nextOf } from './pages.ts';
import { sendRefusal } from './problem.ts';

const clientKinds = ['application', 'operator'] as const;

/** DER: the chain of the new certificate, leaf first, and the authorities by which the client knows us. */
export interface EnrolledClient {
  readonly chain: readonly Uint8Array[];
  readonly serverAnchors: readonly Uint8Array[];
  readonly roots: readonly Uint8Array[];
}

export interface ClientActs {
  readonly tokens: Pick<ReadTokens, 'create' | 'tokens' | 'revoke'>;
  readonly enrolApplication: (
    name: string,
    kind: (typeof clientKinds)[number],
    request: Uint8Array,
  ) => Promise<EnrolledClient | Refusal<string>>;
  readonly enrolStation: (
    name: string,
    request: Uint8Array,
    approval: Uint8Array | undefined,
  ) => Promise<StationEnrolment | Refusal<string>>;
}

const text = { type: 'string' } as const;
const number = { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } as const;
const certificates = (description: string): Schema => ({
  type: 'array',
  items: base64('DER'),
  description,
});
const token = {
  id: number,
  holder: { ...text, description: 'of the program that has it, for people' },
  createdMs: timeMs('made'),
  expiresMs: timeMs('opens nothing after'),
  revokedMs: timeMs('revoked since'),
};
const schemas = {
  tokenPage: closed(
    {
      tokens: { type: 'array', items: closed(token) },
      next: next('`before` of the next page', 'integer'),
    },
    ['tokens'],
  ),
  newToken: closed({
    holder: name,
    lifetimeMs: { type: 'integer', minimum: 1, maximum: maximumTokenMs },
  }),
  createdToken: closed({
    ...token,
    token: { ...text, description: 'told this once; a hash of it is kept' },
  }),
  newClient: closed({
    name,
    kind: { type: 'string', enum: clientKinds },
    request: sent('PKCS#10, DER', 8_192),
  }),
  client: closed({
    chain: certificates('the new certificate first'),
    serverAnchors: certificates('by which this server is known'),
    roots: certificates('for programs that take nothing but a root'),
  }),
  newStation: closed({ name, request: sent('PKCS#10, DER', 8_192), approval }, ['name', 'request']),
  station: closed({
    chain: certificates('the new certificate first'),
    serverAnchors: certificates('by which this server is known'),
    orderKeySpki: base64('public key that tickets and answers are signed with'),
  }),
} as const;

/** Who lets people in lets programs in. */
const admins = { roles: actRules['operator.add'].requesters };
const stations = { roles: actRules['station.enrol'].requesters };
const production = { roles: actRules['status.mass'].requesters };

export function clientRoutes(
  app: FastifyInstance,
  acts: ClientActs,
  onRefusal: (code: string) => void,
): void {
  const no = (reply: FastifyReply, refusal: Refusal<string>): FastifyReply => {
    onRefusal(refusal.refused);
    return sendRefusal(reply, refusal);
  };
  tokenRoutes(app, acts, no);
  app.post(
    '/applications',
    described('enrolApplication', 'clients', 'Certify a key, and let its holder in at once', {
      body: schemas.newClient,
      answer: schemas.client,
      may: admins,
    }),
    async ({ body }, reply) => {
      const fields = new Fields(body);
      const kind = fields.oneOf('kind', clientKinds);
      const request = fields.base64('request');
      const outcome = await acts.enrolApplication(fields.text('name', 64), kind, request);
      if (isRefusal(outcome)) return no(reply, outcome);
      const { chain, serverAnchors, roots } = outcome;
      return {
        chain: chain.map(toBase64),
        serverAnchors: serverAnchors.map(toBase64),
        roots: roots.map(toBase64),
      };
    },
  );

  app.post(
    '/stations/enrol',
    described('enrolStation', 'clients', 'Certify the key of a station, and let it in at once', {
      body: schemas.newStation,
      answer: schemas.station,
      may: stations,
    }),
    async ({ body }, reply) => {
      const fields = new Fields(body);
      const request = fields.base64('request');
      const outcome = await acts.enrolStation(
        fields.text('name', 64),
        request,
        readApproval(fields),
      );
      if (isRefusal(outcome)) return no(reply, outcome);
      const { chain, serverAnchors, orderKeySpki } = outcome;
      return {
        chain: chain.map(toBase64),
        serverAnchors: serverAnchors.map(toBase64),
        orderKeySpki: toBase64(orderKeySpki),
      };
    },
  );
}

function tokenRoutes(
  app: FastifyInstance,
  { tokens }: ClientActs,
  no: (reply: FastifyReply, refusal: Refusal<string>) => FastifyReply,
): void {
  app.get<{ Querystring: { readonly limit: number; readonly before?: number } }>(
    '/tokens',
    described('listTokens', 'clients', 'Tokens, newest first, without what is secret', {
      querystring: query({ limit, before: { ...number, description: 'tokens older than this' } }),
      answer: schemas.tokenPage,
      may: 'staff',
    }),
    async ({ query: asked }) => {
      const page = await tokens.tokens(asked.limit, asked.before);
      return { tokens: page.map(tokenDocument), ...nextOf(page, asked.limit, ({ id }) => id) };
    },
  );

  app.post<{ Body: { readonly holder: string; readonly lifetimeMs: number } }>(
    '/tokens',
    described('createToken', 'clients', 'Make a token with which a program reads', {
      body: schemas.newToken,
      answer: schemas.createdToken,
      may: admins,
      isToldOnce: true,
    }),
    async ({ body }, reply) => {
      const created = await tokens.create(body.holder, body.lifetimeMs);
      if (isRefusal(created)) return no(reply, created);
      return { ...tokenDocument(created), token: created.token };
    },
  );

  app.post<{ Body: { readonly id: number } }>(
    '/tokens/revoke',
    described('revokeToken', 'clients', 'End a token at once', {
      body: closed({ id: number }),
      answer: closed({}),
      may: production,
    }),
    async ({ body }, reply) => {
      const refusal = await tokens.revoke(body.id);
      return refusal === undefined ? {} : no(reply, refusal);
    },
  );
}

function tokenDocument({ id, holder, createdMs, expiresMs, revokedMs }: TokenRecord): object {
  return { id, holder, createdMs, expiresMs, revokedMs: revokedMs ?? null };
}
