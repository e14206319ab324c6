/**
 * The door of personalization stations. Bytes go to the authority and come back as they are: a request
 * carries the station's own signature and its ticket, and nothing that is said here counts there.
 */
import type { FastifyInstance } from 'fastify';
import type { LineStep, LineTransport } from '../../trust/ports/lineTransport.ts';
import { lineLimits } from '../../wire/line/fields.ts';
import { sendProblem } from './problem.ts';

export interface StationDoorOptions {
  readonly authority: LineTransport;
  readonly onRefusal: (code: string) => void;
}

const steps: readonly LineStep[] = ['open', 'endorse', 'report', 'close'];
const cborType = 'application/cbor';

export function stationRoutes(app: FastifyInstance, options: StationDoorOptions): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(cborType, { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  for (const step of steps) {
    app.post(`/line/v1/${step}`, { bodyLimit: lineLimits.message }, async (request, reply) => {
      if (!(request.body instanceof Uint8Array)) {
        options.onRefusal('wrong-media-type');
        return sendProblem(reply, { status: 415, code: 'wrong-media-type' });
      }
      const answer = await options.authority.post(step, new Uint8Array(request.body));
      return reply.type(cborType).send(Buffer.from(answer));
    });
  }
}
