/**
 * Errors become HTTP here and only here: problem documents (RFC 9457) with a stable `code`. A peer learns
 * what it did wrong; of our own troubles it learns that they are ours.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { STATUS_CODES } from 'node:http';
import { EnvironmentError, type Refusal } from '../../trust/ports/faults.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';

export interface Problem {
  readonly status: number;
  /** Stable: programs may switch on it. */
  readonly code: string;
  readonly detail?: string;
  readonly retryAfterS?: number;
}

/** Statuses of the refusals of `trust`; what is not listed is 403. */
const refusalStatus: Readonly<Record<string, number>> = {
  'unknown-device': 404,
  'unknown-certificate': 404,
  'unknown-name': 404,
  'unknown-route': 404,
  'unknown-case': 404,
  unknown: 404,
  malformed: 400,
  'too-many': 413,
  duplicate: 409,
  taken: 409,
  unreachable: 503,
};

/** Media type of RFC 9457 §3. */
export const problemType = 'application/problem+json';

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  const { status, retryAfterS } = problem;
  if (retryAfterS !== undefined) void reply.header('retry-after', String(retryAfterS));
  return reply.code(status).type(problemType).send(problemText(problem));
}

export function problemText({ status, code, detail }: Problem): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
  });
}

export function sendRefusal(reply: FastifyReply, refusal: Refusal<string>): FastifyReply {
  return sendProblem(reply, problemOfRefusal(refusal));
}

export function problemOfRefusal({ refused, reason }: Refusal<string>): Problem {
  return { status: refusalStatus[refused] ?? 403, code: refused, detail: reason };
}

/**
 * Whatever a handler throws, and every path that is not there. `onProblem` counts. With `troubles` whoever asks
 * is told of our own troubles too: the same user, on this machine.
 */
export function installProblems(
  app: FastifyInstance,
  onProblem: (code: string) => void,
  { troubles = false }: { readonly troubles?: boolean } = {},
): void {
  app.setErrorHandler((error: unknown, _request: FastifyRequest, reply: FastifyReply) => {
    const told = troubles && error instanceof EnvironmentError ? { detail: error.message } : {};
    const problem = { ...problemOf(error), ...told };
    onProblem(problem.code);
    return sendProblem(reply, problem);
  });
  app.setNotFoundHandler((_request, reply) => {
    onProblem('unknown-route');
    return sendProblem(reply, { status: 404, code: 'unknown-route' });
  });
}

/**
 * For `frameworkErrors`: what the router refuses before any route and hook, such as a path that is not
 * URL-encoded. `send` says it in another form.
 */
export function routerProblem(
  onProblem: (code: string) => void,
  send: (reply: FastifyReply, problem: Problem, request: FastifyRequest) => unknown = sendProblem,
): (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => void {
  return (error, request, reply) => {
    const problem = problemOf(error);
    onProblem(problem.code);
    send(reply, problem, request);
  };
}

export function problemOf(error: unknown): Problem {
  if (error instanceof MalformedError) {
    return { status: 400, code: 'malformed', detail: error.message };
  }
  if (error instanceof UnsupportedError) {
    return { status: 400, code: 'unsupported', detail: error.message };
  }
  if (error instanceof EnvironmentError) {
    return error.retryable
      ? { status: 503, code: 'unavailable', retryAfterS: 5 }
      : { status: 500, code: 'unavailable' };
  }
  if (isRequestError(error) && error.statusCode === 429) {
    return { status: 429, code: 'too-many-requests', detail: error.message };
  }
  // What Fastify itself found in the request: too large, no such media type, not JSON.
  if (isRequestError(error)) {
    return { status: error.statusCode, code: 'bad-request', detail: error.message };
  }
  return { status: 500, code: 'internal' };
}

function isRequestError(error: unknown): error is FastifyError & { statusCode: number } {
  if (!(error instanceof Error) || !('statusCode' in error)) return false;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}
