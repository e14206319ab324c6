/** The authority's local door: the status of certificates, for whoever answers for it on the network. */
import type { FastifyInstance } from 'fastify';
import type { StatusAuthority } from '../../trust/ports/statusAuthority.ts';
import type { UnitSelection } from '../../trust/ports/statusStore.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { maximumRequestBytes } from '../../wire/ocsp/request.ts';
import { sendProblem } from '../http/problem.ts';
import { Fields } from './fields.ts';

const requestType = 'application/ocsp-request';

export function statusRoutes(app: FastifyInstance, status: StatusAuthority): void {
  app.addContentTypeParser(requestType, { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );

  app.post<{ Params: { authority: string } }>(
    '/v1/ocsp/:authority',
    { bodyLimit: maximumRequestBytes },
    async (request, reply) => {
      if (!(request.body instanceof Uint8Array)) {
        return sendProblem(reply, { status: 415, code: 'wrong-media-type' });
      }
      const answer = await status.ocsp(request.params.authority, new Uint8Array(request.body));
      if (typeof answer === 'string') return { unsuccessful: answer };
      const { der, thisUpdateMs, nextUpdateMs, holders } = answer;
      return { answer: toBase64(der), thisUpdateMs, nextUpdateMs, holders };
    },
  );

  app.get<{ Params: { authority: string } }>(
    '/v1/authorities/:authority/certificate',
    async (request, reply) => {
      const der = await status.certificate(request.params.authority);
      return der === undefined
        ? sendProblem(reply, {
            status: 404,
            code: 'unknown-authority',
            detail: 'No such authority.',
          })
        : reply.type('application/pkix-cert').send(Buffer.from(der));
    },
  );

  app.get('/v1/lists', async (_request, _reply) => ({ lists: await status.lists() }));

  app.get<{ Params: { authority: string; shard: string } }>(
    '/v1/lists/:authority/:shard',
    async (request, reply) => {
      const { authority, shard } = request.params;
      const known = /^(?:0|[1-9]\d{0,3})$/.test(shard);
      const der = known ? await status.list({ authority, shard: Number(shard) }) : undefined;
      return der === undefined
        ? sendProblem(reply, { status: 404, code: 'unknown-list', detail: 'No such list.' })
        : reply.type('application/pkix-crl').send(Buffer.from(der));
    },
  );

  app.post('/v1/status/news', (request) => {
    const fields = new Fields(request.body);
    if (!fields.has('change')) return status.statusNews(undefined);
    const count = (name: string): number => fields.integer(name, 0, Number.MAX_SAFE_INTEGER);
    return status.statusNews({ change: count('change'), publication: count('publication') });
  });

  app.post('/v1/status/devices', async (request, _reply) => {
    const fields = new Fields(request.body);
    const after = fields.optionalText('after', 40);
    const { deviceIds, next } = await status.devicesOf(readSelection(fields), after);
    return { deviceIds, ...(next === undefined ? {} : { next }) };
  });

  app.post('/v1/status/known', async (request, _reply) => ({
    known: await status.isKnown(readSelection(new Fields(request.body))),
  }));
}

export function readSelection(fields: Fields): UnitSelection {
  const by = fields.oneOf('by', ['batch', 'product', 'station', 'family']);
  const name = fields.text('name', 64);
  if (by !== 'family') return { by, name };
  return { by, name, firmware: fields.optionalText('firmware', 64) };
}
