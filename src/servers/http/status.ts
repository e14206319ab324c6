/**
 * The door where anybody asks for the status of certificates: lists, a responder, and the certificates of
 * the authorities. Plain HTTP, since everything here is signed, and a client that had to verify a
 * certificate to learn about certificates would never begin (RFC 5280 §8).
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../trust/ports/clock.ts';
import type { SignedAnswer } from '../../trust/ports/statusAuthority.ts';
import type { Answers, DoorAnswer } from '../../trust/status/answers.ts';
import type { PublishedLists } from '../../trust/status/publishedLists.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { maximumRequestBytes } from '../../wire/ocsp/request.ts';
import { encodeUnsuccessful, type Unsuccessful } from '../../wire/ocsp/response.ts';
import { installProblems, routerProblem, sendProblem } from './problem.ts';

export interface StatusRoutesOptions {
  readonly answers: Pick<Answers, 'kept' | 'answer'>;
  readonly lists: Pick<PublishedLists, 'list'>;
  /** DER of an authority's certificate, by its name. */
  readonly certificate: (authority: string) => Promise<Uint8Array | undefined>;
  readonly clock: Clock;
  readonly onRefusal: (code: string) => void;
}

export interface StatusDoorOptions extends StatusRoutesOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

export interface StatusDoor {
  readonly port: number;
  close(): Promise<void>;
}

const statusLimits = {
  connections: 10_000,
  headerBytes: 8 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveMs: 15_000,
  requestsPerConnection: 10_000,
} as const;

const types = {
  request: 'application/ocsp-request',
  response: 'application/ocsp-response',
  list: 'application/pkix-crl',
  certificate: 'application/pkix-cert',
} as const;

/** Others may keep a list so long: it bounds how late they learn of a revocation. */
const listMaxAgeS = 300;
const certificateMaxAgeS = 86_400;

/** Rejects with the system's error when the port is taken. */
export async function openStatusDoor(options: StatusDoorOptions): Promise<StatusDoor> {
  const app = statusApp(options);
  await app.listen({ host: options.host, port: options.port });
  return { port: portOf(app.server.address()), close: () => app.close() };
}

/** The door before it is opened. */
export function statusApp(options: StatusRoutesOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: maximumRequestBytes,
    requestTimeout: statusLimits.requestTimeoutMs,
    keepAliveTimeout: statusLimits.keepAliveMs,
    maxRequestsPerSocket: statusLimits.requestsPerConnection,
    forceCloseConnections: true,
    http: {
      maxHeaderSize: statusLimits.headerBytes,
      headersTimeout: statusLimits.headersTimeoutMs,
    },
    // A request of 4,096 bytes in base64, with every character escaped, is longer than headers may be.
    routerOptions: { maxParamLength: statusLimits.headerBytes },
    frameworkErrors: routerProblem(options.onRefusal, (reply, problem) =>
      sendProblem(keptByNobody(reply), problem),
    ),
    clientErrorHandler: (error, socket) => {
      // A client that was only rude in going.
      if (error.code !== 'ECONNRESET') options.onRefusal('http-malformed');
      socket.destroy();
    },
  });
  app.server.maxConnections = statusLimits.connections;
  // RFC 9919 §7.2: what is not authoritative must not be kept by anybody.
  app.addHook('onSend', async (_request, reply) => {
    if (reply.statusCode >= 400) void keptByNobody(reply);
  });
  installProblems(app, options.onRefusal);
  statusRoutes(app, options);
  return app;
}

function statusRoutes(app: FastifyInstance, options: StatusRoutesOptions): void {
  // Nothing else is read here, JSON neither.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(types.request, { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  app.post<{ Params: { authority: string } }>('/ocsp/:authority', async (request, reply) => {
    if (!(request.body instanceof Uint8Array)) {
      options.onRefusal('wrong-media-type');
      return sendProblem(reply, { status: 415, code: 'wrong-media-type' });
    }
    const text = toBase64(new Uint8Array(request.body));
    return sendAnswer(options, reply, await answerTo(options, request.params.authority, text));
  });

  app.get<{ Params: { authority: string; '*': string } }>(
    '/ocsp/:authority/*',
    async (request, reply) => {
      // RFC 6960 A.1: base64, URL-encoded. Some clients leave it as it is, and a plus becomes a blank.
      const text = request.params['*'].replaceAll(' ', '+');
      const answer = await answerTo(options, request.params.authority, text);
      if (typeof answer !== 'string' && isKnown(request, headersOf(answer.answer).etag)) {
        return sendUnchanged(reply, headersOf(answer.answer), maxAgeOf(options, answer));
      }
      return sendAnswer(options, reply, answer);
    },
  );

  app.get<{ Params: { authority: string; file: string } }>(
    '/crl/:authority/:file',
    async (request, reply) => {
      const shard = /^(0|[1-9]\d{0,3})\.crl$/.exec(request.params.file)?.[1];
      const { authority } = request.params;
      const list =
        shard === undefined
          ? undefined
          : await options.lists.list({ authority, shard: Number(shard) });
      if (list === undefined) return unknown(options, reply);
      const leftS = Math.floor((list.nextUpdateMs - options.clock.nowMs()) / 1000);
      const maxAgeS = Math.max(0, Math.min(listMaxAgeS, leftS));
      if (isKnown(request, headersOf(list).etag)) {
        return sendUnchanged(reply, headersOf(list), maxAgeS);
      }
      return sendSigned(reply, types.list, list, maxAgeS);
    },
  );

  app.get<{ Params: { file: string } }>('/ca/:file', async (request, reply) => {
    const authority = /^([a-z][a-z0-9-]{0,39})\.cer$/.exec(request.params.file)?.[1];
    const der = authority === undefined ? undefined : await options.certificate(authority);
    if (der === undefined) return unknown(options, reply);
    return reply
      .header('cache-control', `max-age=${certificateMaxAgeS}, public`)
      .type(types.certificate)
      .send(view(der));
  });
}

/** Kept answers, which are nearly all, wait for nothing. */
function answerTo(
  { answers }: StatusRoutesOptions,
  authority: string,
  request: string,
): DoorAnswer | Promise<DoorAnswer | Unsuccessful> {
  return answers.kept(authority, request) ?? answers.answer(authority, request);
}

function sendAnswer(
  options: StatusRoutesOptions,
  reply: FastifyReply,
  answer: DoorAnswer | Unsuccessful,
): FastifyReply {
  if (typeof answer === 'string') {
    options.onRefusal(answer);
    return keptByNobody(reply)
      .type(types.response)
      .send(view(encodeUnsuccessful(answer)));
  }
  return sendSigned(reply, types.response, answer.answer, maxAgeOf(options, answer));
}

function maxAgeOf({ clock }: StatusRoutesOptions, { freshUntilMs }: DoorAnswer): number {
  return Math.max(0, Math.floor((freshUntilMs - clock.nowMs()) / 1000));
}

/** Signed bytes with their times: an answer or a list. */
type Signed = Pick<SignedAnswer, 'der' | 'thisUpdateMs' | 'nextUpdateMs'>;

interface SignedHeaders {
  readonly etag: string;
  readonly lastModified: string;
  readonly expires: string;
}

const knownHeaders = new WeakMap<Signed, SignedHeaders>();

/** RFC 9919 §7.2: the validator is the SHA-256 of the bytes, in hexadecimal. */
function headersOf(signed: Signed): SignedHeaders {
  const known = knownHeaders.get(signed);
  if (known !== undefined) return known;
  const headers = {
    etag: `"${createHash('sha256').update(signed.der).digest('hex')}"`,
    lastModified: new Date(signed.thisUpdateMs).toUTCString(),
    expires: new Date(signed.nextUpdateMs).toUTCString(),
  };
  knownHeaders.set(signed, headers);
  return headers;
}

function sendSigned(
  reply: FastifyReply,
  type: string,
  signed: Signed,
  maxAgeS: number,
): FastifyReply {
  return withHeaders(reply, headersOf(signed), maxAgeS).type(type).send(view(signed.der));
}

/** RFC 9110 §15.4.5. */
function sendUnchanged(reply: FastifyReply, headers: SignedHeaders, maxAgeS: number): FastifyReply {
  return withHeaders(reply, headers, maxAgeS).code(304).send();
}

function withHeaders(
  reply: FastifyReply,
  { etag, lastModified, expires }: SignedHeaders,
  maxAgeS: number,
): FastifyReply {
  return reply
    .header('etag', etag)
    .header('last-modified', lastModified)
    .header('expires', expires)
    .header('cache-control', `max-age=${maxAgeS}, public, no-transform, must-revalidate`);
}

/** RFC 9110 §13.1.2. */
function isKnown({ headers }: FastifyRequest, etag: string): boolean {
  const named = headers['if-none-match'];
  if (named === undefined) return false;
  return named === '*' || named.split(',').some((one) => one.trim().replace(/^W\//, '') === etag);
}

function unknown({ onRefusal }: StatusRoutesOptions, reply: FastifyReply): FastifyReply {
  onRefusal('unknown-route');
  return sendProblem(reply, { status: 404, code: 'unknown-route' });
}

function keptByNobody(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store');
}

function view({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new TypeError('no TCP address');
  return address.port;
}
