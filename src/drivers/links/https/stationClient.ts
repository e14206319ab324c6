/** The station's way to its authority: CBOR over HTTPS to the provisioner, which only relays it. */
import type { IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { LineStep, LineTransport } from '../../../trust/ports/lineTransport.ts';
import { lineLimits } from '../../../wire/line/fields.ts';
import { pinnedOptions, type TlsIdentity } from '../tls/client.ts';

export interface StationAddress {
  /** Also the name that the server's certificate must carry. */
  readonly host: string;
  readonly port: number;
}

const mediaType = 'application/cbor';
const timeoutMs = 60_000;
/** As many as a station has requests under way. */
const maximumSockets = 4;

export class StationClient implements LineTransport {
  readonly #address: StationAddress;
  readonly #agent: Agent;

  /** `anchors`: DER certificates of the authority that certifies servers. */
  constructor(address: StationAddress, identity: TlsIdentity, anchors: readonly Uint8Array[]) {
    this.#address = address;
    this.#agent = new Agent({
      ...pinnedOptions(identity, anchors),
      keepAlive: true,
      maxSockets: maximumSockets,
    });
  }

  async post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
    try {
      return await bodyOf(await this.#send(step, message));
    } catch (cause) {
      if (cause instanceof EnvironmentError) throw cause;
      const { host, port } = this.#address;
      const problem = `no answer of ${host}:${port}: ${reasonOf(cause)}`;
      throw new EnvironmentError(problem, { retryable: isPassing(cause), cause });
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(step: LineStep, message: Uint8Array): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        ...this.#address,
        method: 'POST',
        path: `/line/v1/${step}`,
        agent: this.#agent,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          accept: mediaType,
          'content-type': mediaType,
          'content-length': message.length,
        },
      });
      request.once('response', resolve);
      request.once('error', reject);
      request.end(message);
    });
  }
}

async function bodyOf(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response) {
    if (!(part instanceof Uint8Array)) throw new TypeError('the body is not bytes');
    length += part.length;
    if (length > lineLimits.message) {
      response.destroy();
      throw new EnvironmentError(`the answer is longer than ${lineLimits.message} bytes`, {
        retryable: false,
      });
    }
    parts.push(part);
  }
  const status = response.statusCode ?? 0;
  if (status !== 200) throw refusalOf(status);
  if (response.headers['content-type']?.split(';')[0]?.trim() !== mediaType) {
    throw new EnvironmentError(`the answer is not ${mediaType}`, { retryable: false });
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** What the authority decides comes in a signed 200; another status is the relay's own. */
function refusalOf(status: number): EnvironmentError {
  if (status === 401 || status === 403) {
    const problem = `the server does not let this station in (status ${status})`;
    return new EnvironmentError(problem, { retryable: false });
  }
  const retryable = status === 408 || status === 429 || status >= 500;
  return new EnvironmentError(`the server answers with status ${status}`, { retryable });
}

/** Failures of network and server that pass; a certificate that is not the server's does not. */
const passing: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'ABORT_ERR',
]);

function isPassing(cause: unknown): boolean {
  if (!(cause instanceof Error)) return false;
  if (cause.name === 'TimeoutError' || cause.name === 'AbortError') return true;
  return 'code' in cause && typeof cause.code === 'string' && passing.has(cause.code);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'unknown';
}
