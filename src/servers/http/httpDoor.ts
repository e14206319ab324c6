/** An HTTP server that listens on nothing: it is fed the connections that a TLS door has admitted. */
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import { createServer } from 'node:http';
import { InvariantError } from '../../trust/ports/faults.ts';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';
import { type Connection, connectionOf } from '../tls/connection.ts';
import { estPrefix, sendInPlainText } from './est.ts';
import type { AnsweredRequest } from './metrics.ts';
import { installProblems, routerProblem, sendProblem } from './problem.ts';

export interface HttpLimits {
  readonly bodyBytes: number;
  readonly headerBytes: number;
  /** From the connection, or the end of the last request, until the headers are there; and the whole request. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How often the two are looked at. */
  readonly timeoutCheckMs: number;
  readonly keepAliveMs: number;
  readonly requestsPerConnection: number;
}

export const httpLimits: HttpLimits = {
  bodyBytes: 64 * 1024,
  headerBytes: 8 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  timeoutCheckMs: 2_000,
  keepAliveMs: 60_000,
  requestsPerConnection: 10_000,
};

export interface HttpDoorOptions {
  readonly onRefusal: (code: string) => void;
  readonly limits?: Partial<HttpLimits>;
  /** Whether peers without a certificate come in; the routes see to what they may do. */
  readonly visitors?: boolean;
  readonly onAnswered?: (answered: AnsweredRequest) => void;
  /** Adds the routes of the door. */
  readonly routes: (app: FastifyInstance) => void;
}

export interface HttpDoor {
  accept(connection: Pick<Connection, 'socket'>): void;
  close(): Promise<void>;
}

export async function openHttpDoor(options: HttpDoorOptions): Promise<HttpDoor> {
  const limits = { ...httpLimits, ...options.limits };
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    frameworkErrors: routerProblem(options.onRefusal, (reply, problem, { url }) =>
      url.startsWith(estPrefix) ? sendInPlainText(reply, problem) : sendProblem(reply, problem),
    ),
    clientErrorHandler: (_error, socket) => {
      options.onRefusal('http-malformed');
      socket.destroy();
    },
    serverFactory: (handler) =>
      createServer(
        {
          maxHeaderSize: limits.headerBytes,
          headersTimeout: limits.headersTimeoutMs,
          requestTimeout: limits.requestTimeoutMs,
          connectionsCheckingInterval: limits.timeoutCheckMs,
          keepAliveTimeout: limits.keepAliveMs,
        },
        handler,
      ),
  });
  app.server.maxRequestsPerSocket = limits.requestsPerConnection;
  installProblems(app, options.onRefusal);
  app.addHook('onRequest', async (request) => {
    // Revoked between two requests of one connection: the socket is gone, and so is the request.
    const connection =
      options.visitors === true ? connectionOf(request.raw.socket) : connectionIn(request);
    if (connection?.ended === true) throw new InvariantError('request of an ended connection');
  });
  app.addHook('onResponse', async (request, reply) => {
    options.onAnswered?.({
      method: request.method,
      route: request.routeOptions.url ?? 'none',
      status: reply.statusCode,
      ms: reply.elapsedTime,
    });
  });
  options.routes(app);
  await app.ready();
  // Starts the watch over the timeouts above, which Node begins when a server listens.
  app.server.emit('listening');
  return {
    accept: ({ socket }) => {
      app.server.emit('connection', socket);
    },
    close: () => app.close(),
  };
}

/** Who sent the request, by its certificate. */
export function peerOf(request: FastifyRequest): VerifiedPeer {
  return connectionIn(request).peer;
}

/** The same at a door of visitors: `undefined` for one who showed no certificate. */
export function peerOrVisitor(request: FastifyRequest): VerifiedPeer | undefined {
  return connectionOf(request.raw.socket)?.peer;
}

function connectionIn(request: FastifyRequest): Connection {
  const connection = connectionOf(request.raw.socket);
  if (connection === undefined) throw new InvariantError('a request came past the door');
  return connection;
}
