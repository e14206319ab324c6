/** The API of applications and operators: devices and certificates, the authority behind them, metrics. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { AnswerStore } from '../../trust/ports/answerStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import {
  apiRate,
  describeApi,
  descriptionOf,
  judgeBySchema,
  limitRate,
  type RateLimit,
} from './apiDescription.ts';
import { type AuthorityApiOptions, authorityApi } from './authorityApi.ts';
import { callerOf } from './callers.ts';
import { type ClientActs, clientRoutes } from './clients.ts';
import { refuseOtherConditions } from './conditions.ts';
import type { Metrics } from './metrics.ts';
import { watchMethods } from './otherMethods.ts';
import { keepAnswers } from './repeats.ts';
import { type ResourceOptions, resourceRoutes } from './resources.ts';

export interface ApiOptions extends ResourceOptions, AuthorityApiOptions {
  readonly clients: ClientActs;
  readonly answers: AnswerStore;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly rate?: RateLimit | undefined;
}

export const apiPrefix = '/api/v1';

/** Behind `admitCallers`. */
export function apiRoutes(app: FastifyInstance, options: ApiOptions): void {
  const idOf = (request: FastifyRequest): string => callerOf(request).id;
  app.register(
    async (api) => {
      judgeBySchema(api);
      await describeApi(api);
      await limitRate(api, options.rate ?? apiRate, idOf);
      keepAnswers(api, { ...options, callerOf: idOf });
      refuseOtherConditions(api, options.onRefusal);
      const refuseOtherMethods = watchMethods(api, options.onRefusal);
      resourceRoutes(api, { ...options, isLimited: (request) => callerOf(request).isLimited });
      authorityApi(api, options);
      clientRoutes(api, options.clients, options.onRefusal);
      api.get('/openapi.json', { schema: { hide: true } }, () => descriptionOf(api));
      refuseOtherMethods();
    },
    { prefix: apiPrefix },
  );
  app.get('/metrics', async (_request, reply) =>
    reply.type(options.metrics.contentType).send(await options.metrics.text()),
  );
}
