/** The authority's local door: profiles. */
import type { FastifyInstance } from 'fastify';
import { isRefusal } from '../../trust/ports/faults.ts';
import type { ProfileDesk, ProfileView } from '../../trust/ports/profileDesk.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { readApproval } from './authorityFields.ts';
import { Fields } from './fields.ts';
import { sendRefusal } from '../http/problem.ts';

const maximumProfileBytes = 65_536;

export function profileRoutes(app: FastifyInstance, desk: ProfileDesk): void {
  app.get('/v1/profiles', async () => ({ profiles: (await desk.profiles()).map(documentOf) }));

  app.post('/v1/profiles', { bodyLimit: maximumProfileBytes }, async (request, reply) => {
    const fields = new Fields(request.body);
    const outcome = await desk.addProfile(fields.value('profile'), readApproval(fields));
    return isRefusal(outcome) ? sendRefusal(reply, outcome) : documentOf(outcome);
  });
}

function documentOf({ sha256, ...view }: ProfileView): object {
  return { ...view, sha256: toHex(sha256) };
}
