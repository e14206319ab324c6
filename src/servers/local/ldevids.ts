/**
 * The authority's local door: operational certificates of devices. Those that ask at once come in one
 * call, since a call costs as much as a certificate; each is answered by itself.
 */
import type { FastifyInstance } from 'fastify';
import type { LdevidOutcome, LdevidRequest } from '../../trust/ports/enrolment.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import type { SecurityLog } from '../../trust/ports/securityLog.ts';
import type { SessionLdevidRequest } from '../../trust/ports/sessionEnrolment.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { type Problem, problemOf, problemOfRefusal, sendRefusal } from '../http/problem.ts';
import { Fields } from './fields.ts';

export interface LdevidActs {
  readonly certifyDevice: (request: LdevidRequest) => Promise<LdevidOutcome>;
  readonly certifyInSession: (request: SessionLdevidRequest) => Promise<LdevidOutcome>;
}

const maximumRequests = 64;
const maximumIssuers = 5;

/** Each request that is answered no is noted by itself: the call that it came in went well. */
export function ldevidRoutes(app: FastifyInstance, acts: LdevidActs, security: SecurityLog): void {
  app.post('/v1/ldevids', async (request, _reply) => {
    const requests = new Fields(request.body).objects('requests', maximumRequests);
    const outcomes = await Promise.all(requests.map((fields) => outcomeOf(acts, fields)));
    for (const outcome of outcomes) if ('status' in outcome) note(security, outcome);
    return { outcomes };
  });

  app.post('/v1/ldevid-in-session', async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await acts.certifyInSession({
      deviceId: fields.text('deviceId', 16),
      request: fields.base64('request'),
      profile: fields.text('profile', 64),
    });
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : issuedDocument(outcome);
  });
}

function note(security: SecurityLog, { code, detail }: Problem): void {
  const subject = 'POST /v1/ldevids';
  security.note({
    door: 'local',
    subject,
    code,
    ...(detail === undefined ? {} : { reason: detail }),
  });
}

/** The certificate, when to ask again, or the problem that the request would have got alone. */
async function outcomeOf(acts: LdevidActs, fields: Fields): Promise<IssuedDocument | Problem> {
  try {
    const outcome = await acts.certifyDevice({
      deviceId: fields.text('deviceId', 16),
      authenticatedBy: fields.base64('authenticatedBy'),
      issuers: fields.base64List('issuers', maximumIssuers),
      product: fields.text('product', 64),
      request: fields.base64('request'),
      profile: fields.text('profile', 64),
    });
    return isRefusal(outcome) ? problemOfRefusal(outcome) : issuedDocument(outcome);
  } catch (error) {
    return problemOf(error);
  }
}

type IssuedDocument =
  | { readonly certificate: string; readonly beside: readonly string[] }
  | { readonly retryAfterS: number };

export function issuedDocument(
  issued: Exclude<LdevidOutcome, { readonly refused: string }>,
): IssuedDocument {
  return 'certificate' in issued
    ? { certificate: toBase64(issued.certificate), beside: issued.beside.map(toBase64) }
    : issued;
}
