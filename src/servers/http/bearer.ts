/**
 * A door for peers with certificates that lets visitors read with a token (RFC 6750): GET and HEAD, and
 * nothing else whatever the route. Without a certificate and without a token nobody gets anything.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Reader } from '../../trust/registry/readTokens.ts';
import { peerOrVisitor } from './httpDoor.ts';
import { sendProblem } from './problem.ts';

export interface ReaderOptions {
  readonly verifyToken: (token: string) => Promise<Reader | undefined>;
  readonly onRefusal: (code: string) => void;
}

/** Longest token that is looked at. */
const maximumToken = 256;
const readers = new WeakMap<FastifyRequest, Reader>();

/** Before the routes of the door. */
export function admitReaders(app: FastifyInstance, options: ReaderOptions): void {
  const { verifyToken, onRefusal } = options;
  app.addHook('onRequest', async (request, reply) => {
    if (peerOrVisitor(request) !== undefined) return;
    const token = bearerOf(request.headers.authorization);
    const reader = token === undefined ? undefined : await verifyToken(token);
    if (reader === undefined) {
      onRefusal(token === undefined ? 'no-credential' : 'bad-token');
      void reply.header('www-authenticate', 'Bearer realm="birthmark"');
      return sendProblem(reply, { status: 401, code: 'unauthorized' });
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      onRefusal('token-only-reads');
      const detail = 'A token only reads: acts need a certificate.';
      return sendProblem(reply, { status: 403, code: 'token-only-reads', detail });
    }
    readers.set(request, reader);
  });
}

/** Who reads with a token; `undefined` for a peer with a certificate. */
export function readerOf(request: FastifyRequest): Reader | undefined {
  return readers.get(request);
}

function bearerOf(authorization: string | undefined): string | undefined {
  const [, token] = /^bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '') ?? [];
  return token === undefined || token.length > maximumToken ? undefined : token;
}
