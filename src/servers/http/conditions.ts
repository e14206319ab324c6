/** Conditional requests of the API (RFC 9110 §13): reads that changed nothing, acts on what one has seen. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import { sendProblem } from './problem.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The act looks at If-Match. */
    readonly conditional?: boolean;
  }
}

/**
 * Before the routes: a condition that an act would not look at is no condition, and whoever set it has to
 * know before anything is done.
 */
export function refuseOtherConditions(
  app: FastifyInstance,
  onRefusal: (code: string) => void,
): void {
  app.addHook('onRequest', async (request, reply) => {
    const isAct = request.method !== 'GET' && request.method !== 'HEAD';
    if (!isAct || request.headers['if-match'] === undefined) return undefined;
    if (request.is404 || request.routeOptions.config.conditional === true) return undefined;
    onRefusal('no-condition');
    return sendProblem(reply, {
      status: 400,
      code: 'no-condition',
      detail: 'this act changes nothing that has an ETag, and looks at no If-Match',
    });
  });
}

/** Strong: equal tags are equal documents, member for member. */
export function tagOf(document: object): string {
  const digest = createHash('sha256').update(JSON.stringify(document)).digest();
  return `"${digest.subarray(0, 16).toString('base64url')}"`;
}

/** The document, or 304 when the reader has it. What is behind a certificate is nobody else's to keep. */
export function sendCurrent<Document extends object>(
  request: FastifyRequest,
  reply: FastifyReply,
  document: Document,
): Document | FastifyReply {
  const tag = tagOf(document);
  void reply.header('etag', tag).header('cache-control', 'private, no-cache');
  // RFC 9110 §13.1.2: compared weakly, and about reads alone: the answer to an act is always whole.
  const known = request.method === 'GET' ? request.headers['if-none-match'] : undefined;
  return known !== undefined && names(known.replaceAll('W/', ''), tag)
    ? reply.code(304).send()
    : document;
}

/**
 * Whether an act on `document` may go on; otherwise the refusal has been sent. Between this look and the
 * act somebody else may act: each act is safe by itself, the condition is for a person's second thoughts.
 */
export function isAsSeen(
  request: FastifyRequest,
  reply: FastifyReply,
  document: object,
  onRefusal: (code: string) => void,
): boolean {
  const seen = request.headers['if-match'];
  // RFC 9110 §13.1.1: compared strongly, so that a weak tag never matches.
  if (seen === undefined || names(seen, tagOf(document))) return true;
  onRefusal('changed');
  void sendProblem(reply, {
    status: 412,
    code: 'changed',
    detail: 'it is no longer what If-Match names; read it again and decide anew',
  });
  return false;
}

function names(list: string, tag: string): boolean {
  return list.trim() === '*' || list.split(',').some((one) => one.trim() === tag);
}
