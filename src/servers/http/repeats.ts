/**
 * Acts that a client may send again (draft-ietf-httpapi-idempotency-key-header): the first answer to a key
 * is kept, durably and before it leaves, and given again. A crash between the act and the keeping leaves
 * an act that is done once more by the repeat; acts of this API find then that nothing is left to do, but
 * for those that make a secret: there is one more then that nobody has been told. Secrets are not kept: the
 * repeat hears what was made, and may take it back.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { createHash } from 'node:crypto';
import type { AnswerStore, KeptAnswer } from '../../trust/ports/answerStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { type Problem, problemText, problemType, sendProblem } from './problem.ts';

export interface RepeatOptions {
  readonly answers: AnswerStore;
  readonly clock: Clock;
  readonly callerOf: (request: FastifyRequest) => string;
  readonly onRefusal: (code: string) => void;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The answer holds a secret, and the number of what was made. */
    readonly isToldOnce?: boolean;
  }
}

interface Asked {
  readonly caller: string;
  readonly key: string;
  readonly fingerprint: Uint8Array;
}

const keepForMs = 86_400_000;
const maximumKey = 64;

export function keepAnswers(app: FastifyInstance, options: RepeatOptions): void {
  const { answers, clock, callerOf, onRefusal } = options;
  const refuse = (reply: FastifyReply, problem: Problem): FastifyReply => {
    onRefusal(problem.code);
    return sendProblem(reply, problem);
  };
  const asked = new WeakMap<FastifyRequest, Asked>();
  /** Answers of this moment: a client that repeats before it was answered waits, and asks again. */
  const underWay = new Set<string>();

  app.addHook('preHandler', async (request, reply) => {
    const header = request.headers['idempotency-key'];
    if (header === undefined || request.method !== 'POST') return undefined;
    const key = readKey(header);
    if (key === undefined) {
      return refuse(reply, {
        status: 400,
        code: 'bad-request',
        detail: `Idempotency-Key is a text of 1 to ${maximumKey} visible characters`,
      });
    }
    const question: Asked = { caller: callerOf(request), key, fingerprint: fingerprintOf(request) };
    if (underWay.has(nameOf(question))) {
      return refuse(reply, { status: 409, code: 'under-way', retryAfterS: 1 });
    }
    // Before the look: an answer that is kept meanwhile would be seen by nobody.
    underWay.add(nameOf(question));
    const kept = await answers.answer(question.caller, key).catch((error: unknown) => {
      underWay.delete(nameOf(question));
      throw error;
    });
    if (kept !== undefined) {
      underWay.delete(nameOf(question));
      return equal(question.fingerprint, kept.fingerprint)
        ? repeat(reply, kept)
        : refuse(reply, keyReused);
    }
    asked.set(request, question);
    return undefined;
  });

  // Runs for every answer, also one that nobody waits for any more.
  app.addHook('onSend', async (request, reply, payload) => {
    const { isToldOnce } = request.routeOptions.config;
    if (isToldOnce === true) void reply.header('cache-control', 'no-store');
    const question = asked.get(request);
    if (question === undefined) return payload;
    try {
      // What failed on our side may be tried again with the same key.
      if (reply.statusCode < 500 && typeof payload === 'string') {
        const nowMs = clock.nowMs();
        const answer =
          isToldOnce === true && reply.statusCode === 200
            ? withoutSecret(payload)
            : {
                status: reply.statusCode,
                type: String(reply.getHeader('content-type')),
                body: payload,
              };
        const kept = { ...answer, fingerprint: question.fingerprint, keptMs: nowMs };
        await answers.keep(question.caller, question.key, kept, nowMs - keepForMs);
      }
    } finally {
      underWay.delete(nameOf(question));
    }
    return payload;
  });
}

const keyReused: Problem = {
  status: 422,
  code: 'key-reused',
  detail: 'this Idempotency-Key stands for another request; take a new one',
};

/** In place of an answer with a secret. */
function withoutSecret(payload: string): Pick<KeptAnswer, 'status' | 'type' | 'body'> {
  const made: unknown = JSON.parse(payload);
  const id: unknown = typeof made === 'object' && made !== null ? Reflect.get(made, 'id') : '';
  const status = 409;
  const detail = `number ${String(id)} was made and told: take it back if it was lost, and ask with a new key`;
  return { status, type: problemType, body: problemText({ status, code: 'told-once', detail }) };
}

function repeat(reply: FastifyReply, kept: KeptAnswer): FastifyReply {
  return reply
    .code(kept.status)
    .type(kept.type)
    .header('idempotency-replayed', 'true')
    .send(kept.body);
}

/** The draft asks for a structured string, in quotes; clients of the field leave them away. */
function readKey(header: string | readonly string[]): string | undefined {
  if (typeof header !== 'string') return undefined;
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  return key.length <= maximumKey && /^[!#-[\]-~]+$/.test(key) ? key : undefined;
}

function fingerprintOf(request: FastifyRequest): Uint8Array {
  const question = [request.method, request.url, request.headers['if-match'], request.body];
  return createHash('sha256').update(JSON.stringify(question)).digest();
}

function nameOf({ caller, key }: Asked): string {
  return `${caller} ${key}`;
}
