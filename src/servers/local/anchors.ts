/** The provisioner's local door: how many devices were told of an authority. */
import type { FastifyInstance } from 'fastify';
import type { AnchorStore } from '../../trust/ports/anchorStore.ts';
import { Fields } from './fields.ts';

export function anchorRoutes(app: FastifyInstance, store: Pick<AnchorStore, 'countTold'>): void {
  app.post('/v1/anchors/told', async (request, _reply) => ({
    devices: await store.countTold(new Fields(request.body).hex('sha256')),
  }));
}
