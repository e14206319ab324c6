/** The API described (OpenAPI 3.1) and bounded: what holds for every route of it. */
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import { Ajv } from 'ajv';
import type { FastifyInstance, FastifyRequest, RouteShorthandOptions } from 'fastify';
import { actHeaders, problems } from './apiSchemas.ts';
import { type Admission, audienceOf } from './callers.ts';

/** Requests of one caller, acts and reads together. */
export interface RateLimit {
  readonly requests: number;
  readonly everyMs: number;
}

export const apiRate: RateLimit = { requests: 1_200, everyMs: 60_000 };

/**
 * Judges requests by their schemas. Texts of a query become the numbers that they are; in a body a number
 * is a number, and what has no name in the schema is refused rather than dropped.
 */
export function judgeBySchema(app: FastifyInstance): void {
  const strict = new Ajv({ coerceTypes: false, useDefaults: true, allErrors: false });
  const fromText = new Ajv({ coerceTypes: true, useDefaults: true, allErrors: false });
  app.setValidatorCompiler<object>(({ schema, httpPart }) =>
    (httpPart === 'querystring' ? fromText : strict).compile(schema),
  );
}

export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Birthmark',
        version: '1',
        description:
          'Devices, their certificates and their telemetry, and the authority behind them. Programs show a ' +
          'certificate (`birthmark application enrol`); operators sign the connection with their key. ' +
          'Errors are problem documents (RFC 9457) with a stable `code`. Acts that list no If-Match refuse it.',
      },
      tags: [
        { name: 'devices', description: 'Devices, what they said, and orders about many' },
        { name: 'certificates', description: 'Single certificates of anybody' },
        { name: 'authorities', description: 'Who issues what, until when, and the lists' },
        {
          name: 'enrolment',
          description: 'Who may enrol besides devices with an identity of ours',
        },
        { name: 'clients', description: 'Programs, people and stations that come to this server' },
        { name: 'orders', description: 'What is to be personalized' },
        { name: 'approvals', description: 'Operators, and what takes two of them' },
        { name: 'log', description: 'The audit log of the authority' },
      ],
    },
  });
}

/** The plugin's types know no mutual TLS, which OpenAPI 3.1 has; so it is added to what it made. */
export function descriptionOf(app: FastifyInstance): object {
  const document = app.swagger();
  const certificate = { type: 'mutualTLS', description: 'a certificate of the server authority' };
  const token = { type: 'http', scheme: 'bearer', description: 'birthmark token: GET alone' };
  const operator = { type: 'http', scheme: 'concealed', description: 'RFC 9729, by an operator' };
  return {
    ...document,
    components: { ...componentsOf(document), securitySchemes: { certificate, token, operator } },
  };
}

function componentsOf(document: object): object {
  return 'components' in document && typeof document.components === 'object'
    ? (document.components ?? {})
    : {};
}

export async function limitRate(
  app: FastifyInstance,
  { requests, everyMs }: RateLimit,
  callerOf: (request: FastifyRequest) => string,
): Promise<void> {
  await app.register(rateLimit, {
    max: requests,
    timeWindow: everyMs,
    keyGenerator: callerOf,
    // The headers of draft-ietf-httpapi-ratelimit-headers, on answers and on refusals.
    enableDraftSpec: true,
  });
}

interface RouteParts {
  readonly params?: object;
  readonly querystring?: object;
  readonly body?: object;
  /** Schema of a JSON document, or the media type of other content. */
  readonly answer: object | string;
  readonly may?: Admission;
  /** The act looks at If-Match. */
  readonly conditional?: boolean;
  readonly bodyLimit?: number;
  /** The answer holds a secret: it is kept for no repeat. */
  readonly isToldOnce?: boolean;
}

/** A route with a body is an act, and safe to send again. */
export function described(
  operationId: string,
  tag: string,
  summary: string,
  { answer, may, bodyLimit, conditional = false, isToldOnce = false, ...request }: RouteParts,
): RouteShorthandOptions {
  const content =
    typeof answer === 'string'
      ? { content: { [answer]: { schema: { type: 'string', contentMediaType: answer } } } }
      : answer;
  return {
    schema: {
      operationId,
      tags: [tag],
      summary,
      ...(may === undefined ? {} : { description: `For ${audienceOf(may)}.` }),
      ...request,
      ...('body' in request ? { headers: actHeaders(conditional) } : {}),
      response: { 200: { description: summary, ...content }, ...problems },
    },
    config: { isToldOnce, conditional, ...(may === undefined ? {} : { may }) },
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
  };
}
