/** HTTP over a socket of this machine: one request, one answer, and whose fault it was when there is none. */
import { Agent, request } from 'node:http';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Link, LinkRequest, LinkResponse } from '../../../trust/ports/link.ts';

/** Where a client finds its process: the path of a socket, or a link that is there already. */
export type Reach = string | Link;

/** `name` is who is to be reached, for messages. */
export function linkTo(reach: Reach, name: string): Link {
  return typeof reach === 'string' ? new LocalClient(reach, name) : reach;
}

export class LocalClient implements Link {
  readonly #socketPath: string;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });

  /** `name` is who is to be reached, for messages. */
  constructor(socketPath: string, name: string, timeoutMs = 60_000) {
    this.#socketPath = socketPath;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with a retryable `EnvironmentError`; whether the request was carried out is then unknown. */
  send({ method, path, contentType, body }: LinkRequest): Promise<LinkResponse> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(this.#unreachable(error));
      };
      const headers =
        body === undefined
          ? {}
          : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) };
      const outgoing = request(
        { socketPath: this.#socketPath, method, path, headers, agent: this.#agent },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', fail);
          response.on('end', () => {
            const joined = Buffer.concat(chunks);
            resolve({ status: response.statusCode ?? 0, body: new Uint8Array(joined) });
          });
        },
      );
      outgoing.setTimeout(this.#timeoutMs, () => {
        outgoing.destroy(new Error(`no answer within ${this.#timeoutMs} ms`));
      });
      outgoing.on('error', fail);
      outgoing.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #unreachable(error: Error): EnvironmentError {
    return new EnvironmentError(`the ${this.#name} cannot be reached: ${error.message}`, {
      retryable: true,
      cause: error,
    });
  }
}
