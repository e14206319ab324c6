/**
 * Health for whoever runs this server: plain HTTP, for the machine itself or a network of its operators.
 * `/livez`: the process answers. `/readyz`: it can do what it is for, part by part. `/metrics`: Prometheus.
 */
import fastify from 'fastify';
import type { Metrics } from './metrics.ts';
import { installProblems, routerProblem } from './problem.ts';
import { portOf } from '../tls/door.ts';

/** Resolves when the part does its work; rejects, or takes too long, when it does not. */
export type HealthCheck = () => Promise<unknown>;

export interface HealthOptions {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly checks: Readonly<Record<string, HealthCheck>>;
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  /** Default 2 s; a prober waits little longer. */
  readonly patienceMs?: number;
  /** Hears why a part is not well; the door tells which part alone. */
  readonly onUnwell: (part: string, error: unknown) => void;
}

export interface HealthDoor {
  readonly port: number;
  close(): Promise<void>;
}

const limits = { bodyBytes: 1, connections: 100, requestTimeoutMs: 5_000 } as const;
const usualPatienceMs = 2_000;

/** Rejects with the system's error when the port is taken. */
export async function openHealthDoor(options: HealthOptions): Promise<HealthDoor> {
  const app = fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    forceCloseConnections: true,
    frameworkErrors: routerProblem(() => undefined),
  });
  app.server.maxConnections = limits.connections;
  installProblems(app, () => undefined);
  app.addHook('onSend', async (_request, reply, payload) => {
    void reply.header('cache-control', 'no-store');
    return payload;
  });
  app.get('/livez', () => ({ live: true }));
  app.get('/readyz', async (_request, reply) => {
    const parts = await Promise.all(
      Object.entries(options.checks).map(
        async ([name, check]) => [name, await isWell(name, check, options)] as const,
      ),
    );
    const ready = parts.every(([, well]) => well);
    return reply.code(ready ? 200 : 503).send({ ready, parts: Object.fromEntries(parts) });
  });
  app.get('/metrics', async (_request, reply) =>
    reply.type(options.metrics.contentType).send(await options.metrics.text()),
  );
  await app.listen({ host: options.host, port: options.port });
  return { port: portOf(app.server.address()), close: () => app.close() };
}

async function isWell(
  name: string,
  check: HealthCheck,
  { patienceMs = usualPatienceMs, onUnwell }: HealthOptions,
): Promise<boolean> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('no answer in time')), patienceMs);
  try {
    await Promise.race([check(), late]);
    return true;
  } catch (error) {
    onUnwell(name, error);
    return false;
  } finally {
    clearTimeout(timer);
  }
}
