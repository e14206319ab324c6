/** Requests of a device to one server: bounded in size and time, over one kept connection an identity. */
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { DeviceFault } from '../../../device/ports/faults.ts';
import type { DeviceCredential, ServerAnswer } from '../../../device/ports/server.ts';
import { type TlsMaterial, tlsOptions } from '../tls/client.ts';

export interface HttpsServerAddress {
  /** Also the name that the server's certificate must carry. */
  readonly host: string;
  readonly port: number;
}

export interface HttpsRequest {
  readonly credential: DeviceCredential;
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly accept?: string;
  readonly body?: { readonly type: string; readonly bytes: Uint8Array };
}

/** Largest body that a device reads. */
const maximumBodyBytes = 262_144;
const timeoutMs = 30_000;
/** RFC 9110 §10.2.3 allows any time; a device asks again within a day. */
const longestPauseMs = 86_400_000;
const usualPauseMs = 5_000;

export class HttpsClient {
  readonly #address: HttpsServerAddress;
  readonly #material: TlsMaterial;
  /** The connection of one identity is not another's: a change of certificate opens a new one. */
  readonly #agents = new Map<
    DeviceCredential,
    { readonly certificate: string; readonly agent: Agent }
  >();

  constructor(address: HttpsServerAddress, material: TlsMaterial) {
    this.#address = address;
    this.#material = material;
  }

  /** Rejects with a `DeviceFault` when there is no answer. */
  async send(wanted: HttpsRequest): Promise<ServerAnswer> {
    const agent = await this.#agentFor(wanted.credential);
    try {
      const response = await this.#ask(wanted, agent);
      return await answerOf(response);
    } catch (cause) {
      const { host, port } = this.#address;
      const problem = `no answer of ${host}:${port}: ${reasonOf(cause)}`;
      throw new DeviceFault(problem, { retryable: true, cause });
    }
  }

  close(): void {
    for (const { agent } of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  async #agentFor(credential: DeviceCredential): Promise<Agent> {
    const options = await tlsOptions(this.#material, credential);
    const certificate = `${String(options.cert)}${String(options.ca)}`;
    const known = this.#agents.get(credential);
    if (known?.certificate === certificate) return known.agent;
    known?.agent.destroy();
    const agent = new Agent({ ...options, keepAlive: true, maxSockets: 1, timeout: timeoutMs });
    this.#agents.set(credential, { certificate, agent });
    return agent;
  }

  #ask(wanted: HttpsRequest, agent: Agent): Promise<IncomingMessage> {
    const { method, path, accept, body } = wanted;
    return new Promise((resolve, reject) => {
      const request = httpsRequest({
        ...this.#address,
        method,
        path,
        agent,
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          ...(accept === undefined ? {} : { accept }),
          ...(body === undefined
            ? {}
            : { 'content-type': body.type, 'content-length': body.bytes.length }),
        },
      });
      request.once('response', resolve);
      request.once('error', reject);
      request.end(body?.bytes);
    });
  }
}

async function answerOf(response: IncomingMessage): Promise<ServerAnswer> {
  const status = response.statusCode ?? 0;
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response) {
    if (!(part instanceof Uint8Array)) throw new TypeError('the body is not bytes');
    length += part.length;
    if (length > maximumBodyBytes) {
      response.destroy();
      throw new Error(`body above ${maximumBodyBytes} bytes`);
    }
    parts.push(part);
  }
  if (status === 202 || status === 429 || status === 503) {
    return { kind: 'later', retryAfterMs: pauseOf(response.headers['retry-after']) };
  }
  if (status < 200 || status > 299) return { kind: 'refused', status };
  return { kind: 'answer', body: new Uint8Array(Buffer.concat(parts)) };
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function pauseOf(header: string | undefined): number {
  if (header === undefined) return usualPauseMs;
  const askedMs = /^\d{1,9}$/.test(header)
    ? Number(header) * 1000
    : Date.parse(header) - Date.now();
  return Number.isNaN(askedMs) ? usualPauseMs : Math.min(Math.max(askedMs, 0), longestPauseMs);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : 'unknown';
}
