/** The API described (OpenAPI 3.1) and bounded: what holds for every route of it. */
import rateLimit from '@fastify/rate-limit';
import swagger from '@fastify/swagger';
import { Ajv } from 'ajv';
import type { FastifyInstance, FastifyRequest } from 'fastify';

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
          'Devices, their certificates and their telemetry. Callers show a certificate of an application ' +
          'or operator (`birthmark application enrol`). Errors are problem documents (RFC 9457) with a ' +
          'stable `code`.',
      },
      tags: [
        { name: 'devices', description: 'Devices and what they said' },
        { name: 'certificates', description: 'Single certificates of anybody' },
      ],
    },
  });
}

/** The plugin's types know no mutual TLS, which OpenAPI 3.1 has; so it is added to what it made. */
export function descriptionOf(app: FastifyInstance): object {
  const document = app.swagger();
  const certificate = { type: 'mutualTLS', description: 'a certificate of the server authority' };
  const token = { type: 'http', scheme: 'bearer', description: 'birthmark token: GET alone' };
  return {
    ...document,
    components: { ...componentsOf(document), securitySchemes: { certificate, token } },
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
