/** The provisioner's local door: tokens with which programs read the API. */
import type { FastifyInstance } from 'fastify';
import { isRefusal } from '../../trust/ports/faults.ts';
import type { TokenRecord } from '../../trust/ports/tokenStore.ts';
import { maximumTokenMs, type ReadTokens } from '../../trust/registry/readTokens.ts';
import { sendRefusal } from '../http/problem.ts';
import { Fields } from './fields.ts';

export function tokenRoutes(
  app: FastifyInstance,
  tokens: Pick<ReadTokens, 'create' | 'tokens' | 'revoke'>,
): void {
  app.get('/v1/tokens', async () => ({ tokens: (await tokens.tokens()).map(tokenDocument) }));

  app.post('/v1/tokens', async (request, reply) => {
    const fields = new Fields(request.body);
    const lifetimeMs = fields.integer('lifetimeMs', 1, maximumTokenMs);
    const created = await tokens.create(fields.text('holder', 64), lifetimeMs);
    if (isRefusal(created)) return sendRefusal(reply, created);
    return { ...tokenDocument(created), token: created.token };
  });

  app.post('/v1/tokens/revoke', async (request, reply) => {
    const refusal = await tokens.revoke(
      new Fields(request.body).integer('id', 1, Number.MAX_SAFE_INTEGER),
    );
    return refusal === undefined ? {} : sendRefusal(reply, refusal);
  });
}

function tokenDocument({ id, holder, createdMs, expiresMs, revokedMs }: TokenRecord): object {
  return { id, holder, createdMs, expiresMs, revokedMs: revokedMs ?? null };
}
