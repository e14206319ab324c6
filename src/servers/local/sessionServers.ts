/** The authority's local door: credentials of session servers, and what is said of them. */
import type { FastifyInstance } from 'fastify';
import { isRefusal } from '../../trust/ports/faults.ts';
import type {
  FloorDesk,
  SessionServerAuthority,
} from '../../trust/ports/sessionServerAuthority.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { maximumGeneration } from '../../wire/x509/serverGeneration.ts';
import { sendRefusal } from '../http/problem.ts';
import { Fields } from './fields.ts';

const prefix = '/v1/session-servers';

export function sessionServerRoutes(
  app: FastifyInstance,
  servers: SessionServerAuthority & FloorDesk,
): void {
  app.post(`${prefix}/proof`, async () => ({ challenge: toBase64(await servers.openProof()) }));

  app.post(`${prefix}/credentials`, async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await servers.issueSessionServer({
      name: fields.text('name', 64),
      request: fields.base64('request'),
      form: fields.oneOf('form', ['native', 'der']),
      ...(fields.has('challenge') ? { challenge: fields.base64('challenge') } : {}),
    });
    if (isRefusal(outcome)) return sendRefusal(reply, outcome);
    return { ...outcome, certificate: toBase64(outcome.certificate) };
  });

  app.post(`${prefix}/standing`, (request) =>
    servers.standing(new Fields(request.body).base64('certificate')),
  );

  app.post(`${prefix}/word`, async (request, reply) => {
    const fields = new Fields(request.body);
    const word = await servers.vouch(fields.base64('certificate'), fields.base64('message1Hash'));
    return isRefusal(word) ? sendRefusal(reply, word) : { word: toBase64(word) };
  });

  app.get(`${prefix}/generations`, async () => {
    const { credentials, ...present } = await servers.generations();
    const listed = credentials.map((one) => ({ ...one, sha256: toHex(one.sha256) }));
    return { ...present, credentials: listed };
  });

  app.put(`${prefix}/floor`, async (request, reply) => {
    const floor = new Fields(request.body).integer('floor', 0, maximumGeneration);
    const outcome = await servers.raiseFloor(floor);
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : outcome;
  });
}
