/** A resource that is here, asked for by a method that it does not have (RFC 9110 §15.5.6). */
import type { FastifyInstance } from 'fastify';
import { sendProblem } from './problem.ts';

const judged = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** To be called before the routes; what it gives refuses the methods that they left out. */
export function watchMethods(app: FastifyInstance, onRefusal: (code: string) => void): () => void {
  const methodsOf = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ routePath, method }) => {
    const methods = methodsOf.get(routePath) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsOf.set(routePath, methods);
  });
  return () => {
    for (const [url, methods] of methodsOf) {
      const allow = [...methods].join(', ');
      app.route({
        method: judged.filter((method) => !methods.has(method)),
        url,
        schema: { hide: true },
        handler: async (_request, reply) => {
          onRefusal('wrong-method');
          void reply.header('allow', allow);
          return sendProblem(reply, { status: 405, code: 'wrong-method' });
        },
      });
    }
  };
}
