/** The door of a witness (C2SP tlog-witness). Submissions count by their signatures, so that anybody may knock. */
import type { FastifyInstance } from 'fastify';
import type { WitnessRefusalCode, WitnessTarget } from '../../trust/ports/witness.ts';

const maximumBytes = 32_768;

export interface WitnessDoorOptions {
  readonly witness: WitnessTarget;
  readonly onRefusal: (code: WitnessRefusalCode, reason: string) => void;
}

export function witnessRoutes(
  app: FastifyInstance,
  { witness, onRefusal }: WitnessDoorOptions,
): void {
  // Whatever type is claimed: the specification names none.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.post('/add-checkpoint', { bodyLimit: maximumBytes }, async (request, reply) => {
    const { body } = request;
    const bytes = body instanceof Uint8Array ? new Uint8Array(body) : new Uint8Array(0);
    const answer = await witness.submit(bytes);
    switch (answer.kind) {
      case 'accepted':
        return reply.type('text/plain; charset=utf-8').send(answer.cosignatures);
      case 'conflict':
        if (answer.otherRoot) onRefusal('inconsistent', `another tree of ${answer.size} leaves`);
        return reply.code(409).type('text/x.tlog.size').send(`${answer.size}\n`);
      case 'refused':
        onRefusal(answer.code, answer.reason);
        return reply.code(statusOf[answer.code]).type('text/plain; charset=utf-8').send('');
    }
  });
}

const statusOf: Readonly<Record<WitnessRefusalCode, number>> = {
  malformed: 400,
  'bad-signature': 403,
  'unknown-log': 404,
  inconsistent: 422,
};
