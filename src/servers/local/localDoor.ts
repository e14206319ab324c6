/**
 * HTTP on a socket of this machine, for the processes and commands of one user: the socket's file mode is
 * the authentication. The data folder's lock is held when this opens, so that a socket file that is there
 * already is one that a crash has left.
 */
import fastify, { type FastifyInstance } from 'fastify';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { installProblems, routerProblem } from '../http/problem.ts';

export interface LocalDoorOptions {
  readonly path: string;
  readonly bodyBytes: number;
  readonly onRefusal: (code: string) => void;
  readonly routes: (app: FastifyInstance) => void;
}

export interface LocalDoor {
  close(): Promise<void>;
}

/** Rejects with an `EnvironmentError` when the socket cannot be made. */
export async function openLocalDoor(options: LocalDoorOptions): Promise<LocalDoor> {
  const app = fastify({
    logger: false,
    bodyLimit: options.bodyBytes,
    forceCloseConnections: true,
    frameworkErrors: routerProblem(options.onRefusal),
  });
  installProblems(app, options.onRefusal, { troubles: true });
  options.routes(app);
  try {
    // Nobody else may enter the folder, so that nobody connects before the mode of the socket is set.
    await mkdir(dirname(options.path), { recursive: true, mode: 0o700 });
    await rm(options.path, { force: true });
    await app.listen({ path: options.path });
    await chmod(options.path, 0o600);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new EnvironmentError(`cannot open the socket ${options.path}: ${reason}`, {
      retryable: false,
      cause,
    });
  }
  return { close: () => app.close() };
}
