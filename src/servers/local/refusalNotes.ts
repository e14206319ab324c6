/** Whatever a local door answers no to goes to the security log too, by the problem documents it sends. */
import type { FastifyInstance } from 'fastify';
import type { SecurityLog } from '../../trust/ports/securityLog.ts';

/** Before the routes. */
export function noteRefusals(app: FastifyInstance, security: SecurityLog): void {
  app.addHook('onSend', async (request, reply, payload) => {
    if (reply.statusCode >= 400 && typeof payload === 'string') {
      // The pattern of the route: what stands in its place is the caller's text.
      const subject = `${request.method} ${request.routeOptions.url ?? 'elsewhere'}`;
      security.note({ door: 'local', subject, ...problemIn(payload) });
    }
    return payload;
  });
}

function problemIn(payload: string): { readonly code: string; readonly reason?: string } {
  const problem: unknown = JSON.parse(payload);
  const member = (name: string): string | undefined => {
    const value: unknown =
      typeof problem === 'object' && problem !== null ? Reflect.get(problem, name) : undefined;
    return typeof value === 'string' ? value : undefined;
  };
  const reason = member('detail');
  return { code: member('code') ?? 'unknown', ...(reason === undefined ? {} : { reason }) };
}
