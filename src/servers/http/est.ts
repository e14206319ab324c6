/**
 * EST over HTTPS (RFC 7030, RFC 8951) at the door of devices. Decisions are `trust/enrolment`'s; here they
 * become statuses and plain text, which is what EST has for errors (RFC 7030 §4.2.3).
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { csrAttributesOf } from '../../trust/enrolment/csrAttributes.ts';
import {
  type Enrolment,
  type EnrolmentOutcome,
  type EnrolmentPolicy,
  type EnrolmentRefusalCode,
  type SentRequest,
} from '../../trust/enrolment/enrolment.ts';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import { decodeBody, encodeBody, type Framing, maximumBodyBytes } from '../../wire/est/body.ts';
import { encodeCertsOnly } from '../../wire/est/certsOnly.ts';
import { type EstOperation, parseEstPath } from '../../wire/est/path.ts';
import { challenge, secretOf } from './credentials.ts';
import { type Problem, problemOf } from './problem.ts';

/** What a label of the URI chooses; the empty label is what comes without one. */
export interface EstService extends EnrolmentPolicy {
  readonly framing: Framing;
}

export interface EstOptions {
  readonly enrolment: Enrolment;
  /** By label; `''` is the server's own choice and has to be there (RFC 7030 §3.2.2). */
  readonly services: Pick<ReadonlyMap<string, EstService>, 'get'>;
  /** `undefined` where the door let somebody in without a certificate. */
  readonly peerOf: (request: FastifyRequest) => VerifiedPeer | undefined;
  /** tls-exporter or tls-unique of the request's connection; `undefined` where it has none. */
  readonly channelBindingOf: (request: FastifyRequest) => Uint8Array | undefined;
  /** A peer that showed a certificate was given these, DER. */
  readonly onTold?: (peer: VerifiedPeer, certificates: readonly Uint8Array[]) => void;
  readonly onRefusal: (code: string) => void;
  readonly onEnrolled: (deviceId: string) => void;
}

const certsOnlyType = 'application/pkcs7-mime; smime-type=certs-only';
const requestType = 'application/pkcs10';

export const estPrefix = '/.well-known/est/';

/** As EST has errors. */
export function sendInPlainText(reply: FastifyReply, problem: Problem): FastifyReply {
  const { status, detail = 'the server has a problem', retryAfterS } = problem;
  if (retryAfterS !== undefined) void reply.header('retry-after', String(retryAfterS));
  return sendText(reply, status, detail);
}

/** Stable codes beside those of `trust/enrolment`, for the metrics. */
type EstRefusal = 'no-such-path' | 'wrong-method' | 'not-offered' | 'no-credentials' | 'wrong-type';

/** Adds `/.well-known/est/...` to a door. */
export function estRoutes(app: FastifyInstance, options: EstOptions): void {
  if (options.services.get('') === undefined)
    throw new TypeError('EST needs a service without a label');
  void app.register(async (est) => {
    est.removeAllContentTypeParsers();
    est.addContentTypeParser(
      '*',
      { parseAs: 'buffer', bodyLimit: maximumBodyBytes },
      (_request, body, done) => done(null, body),
    );
    est.setErrorHandler((error, _request, reply) => {
      const problem = problemOf(error);
      options.onRefusal(problem.code);
      return sendInPlainText(reply, problem);
    });
    est.all(`${estPrefix}*`, (request, reply) => answer(options, request, reply));
  });
}

async function answer(
  options: EstOptions,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const no = (code: EstRefusal, status: number, text: string): FastifyReply => {
    options.onRefusal(code);
    return sendText(reply, status, text);
  };
  const [path = ''] = request.url.split('?');
  const target = parseEstPath(path);
  const service = target === undefined ? undefined : options.services.get(target.label ?? '');
  if (target === undefined || service === undefined) {
    return no('no-such-path', 404, 'no EST service at this path');
  }
  const { operation } = target;
  // RFC 7030 §3.2.2: optional, and not offered. A key that was made elsewhere is no key of an element.
  if (operation === 'fullcmc' || operation === 'serverkeygen') {
    return no('not-offered', 501, `${operation} is not offered`);
  }
  const method = methods[operation];
  if (request.method !== method) {
    void reply.header('allow', method);
    return no('wrong-method', 405, `${operation} takes ${method}`);
  }
  switch (operation) {
    case 'cacerts': {
      const certificates = service.caCertificates();
      const peer = options.peerOf(request);
      if (peer !== undefined) options.onTold?.(peer, certificates);
      return sendCertificates(reply, service, certificates);
    }
    case 'csrattrs':
      return reply
        .type('application/csrattrs')
        .send(Buffer.from(encodeBody(csrAttributesOf(service), service.framing)));
    case 'simpleenroll':
    case 'simplereenroll': {
      const peer = options.peerOf(request);
      const secret = secretOf(request.headers.authorization);
      if (peer === undefined && (secret === undefined || operation === 'simplereenroll')) {
        void reply.header('www-authenticate', challenge);
        return no('no-credentials', 401, 'a device certificate or a one-time secret is needed');
      }
      if (mediaType(request) !== requestType)
        return no('wrong-type', 415, `${requestType} expected`);
      const sent = sentRequest(options, request);
      // RFC 7030 §3.2.3: HTTP authentication is for who has no certificate; one that is shown decides.
      const outcome =
        peer === undefined
          ? await options.enrolment.enrollWithSecret(secret ?? '', sent, service)
          : await enrol(options, operation, peer, service, sent);
      return sendOutcome(options, reply, service, outcome);
    }
  }
}

const methods: Readonly<Record<Exclude<EstOperation, 'fullcmc' | 'serverkeygen'>, string>> = {
  cacerts: 'GET',
  csrattrs: 'GET',
  simpleenroll: 'POST',
  simplereenroll: 'POST',
};

function enrol(
  { enrolment }: EstOptions,
  operation: 'simpleenroll' | 'simplereenroll',
  peer: VerifiedPeer,
  service: EstService,
  sent: SentRequest,
): Promise<EnrolmentOutcome> {
  return operation === 'simpleenroll'
    ? enrolment.simpleEnroll(peer, sent, service)
    : enrolment.simpleReenroll(peer, sent, service);
}

function sentRequest({ channelBindingOf }: EstOptions, request: FastifyRequest): SentRequest {
  const { body } = request;
  const bytes = body instanceof Uint8Array ? new Uint8Array(body) : new Uint8Array(0);
  return { der: decodeBody(bytes), channelBinding: () => channelBindingOf(request) };
}

function sendOutcome(
  { onRefusal, onEnrolled }: EstOptions,
  reply: FastifyReply,
  service: EstService,
  outcome: EnrolmentOutcome,
): FastifyReply {
  if (isRefusal(outcome)) {
    onRefusal(outcome.refused);
    if (outcome.refused === 'bad-secret') void reply.header('www-authenticate', challenge);
    return sendText(reply, statuses[outcome.refused], outcome.reason);
  }
  if ('retryAfterS' in outcome) {
    // RFC 7030 §4.2.3: the client sends the same request again.
    void reply.header('retry-after', String(outcome.retryAfterS));
    return sendText(reply, 202, 'accepted; ask again later');
  }
  onEnrolled(outcome.deviceId);
  // RFC 7030 §4.2.3: only the certificate that was issued.
  return sendCertificates(reply, service, [outcome.certificate]);
}

const statuses: Readonly<Record<EnrolmentRefusalCode, number>> = {
  'bad-proof': 400,
  'pop-linking': 400,
  'subject-mismatch': 400,
  rejected: 400,
  'bad-secret': 401,
  'wrong-identity': 403,
  'unknown-device': 403,
  'not-released': 403,
  held: 403,
  revoked: 403,
  'enrolled-already': 409,
  'key-taken': 409,
  taken: 409,
};

function sendCertificates(
  reply: FastifyReply,
  { framing }: EstService,
  certificates: readonly Uint8Array[],
): FastifyReply {
  const body = encodeBody(encodeCertsOnly(certificates), framing);
  return reply.type(certsOnlyType).send(Buffer.from(body));
}

function sendText(reply: FastifyReply, status: number, text: string): FastifyReply {
  return reply.code(status).type('text/plain; charset=utf-8').send(`${text}\n`);
}

function mediaType(request: FastifyRequest): string {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  return type.trim().toLowerCase();
}
