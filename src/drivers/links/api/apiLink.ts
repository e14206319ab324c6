/** The API of a server elsewhere, as a link: the same paths and documents as at its own sockets. */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import { TLSSocket } from 'node:tls';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Signer } from '../../../trust/ports/keys.ts';
import type { Link, LinkRequest, LinkResponse } from '../../../trust/ports/link.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import {
  concealedContext,
  concealedExporter,
  encodeConcealed,
  splitExport,
} from '../../../wire/http/concealed.ts';
import { p256Point } from '../../../wire/x509/spki.ts';

/** Who calls: an operator by name and key, or a certificate with its key. */
export type ApiCredential =
  | { readonly kind: 'operator'; readonly name: string; readonly signer: Signer }
  | {
      readonly kind: 'certificate';
      /** PEM: the key opened, the certificate with its chain. */
      readonly key: string | Buffer;
      readonly certificate: string | Buffer;
    };

type Operator = Extract<ApiCredential, { readonly kind: 'operator' }>;

export interface ApiLinkOptions {
  /** `https://host:port`. */
  readonly server: URL;
  /** PEM of the authorities by which the server is known; `undefined`: those of the system. */
  readonly anchors: () => Promise<string | undefined>;
  /** Both are asked once, before the first request. */
  readonly credential: () => Promise<ApiCredential>;
}

const timeoutMs = 60_000;
const apiPrefix = '/api';

export class ApiLink implements Link {
  readonly #options: ApiLinkOptions;
  readonly #authorizations = new WeakMap<TLSSocket, Promise<string>>();
  #opened: Promise<{ readonly credential: ApiCredential; readonly agent: Agent }> | undefined;

  constructor(options: ApiLinkOptions) {
    this.#options = options;
  }

  async send(asked: LinkRequest): Promise<LinkResponse> {
    const key = randomUUID();
    try {
      return await this.#exchange(asked, key);
    } catch (error) {
      if (!(error instanceof EnvironmentError) || !error.retryable) throw error;
      // Whether the act was done is unknown; with the same key its answer comes, and nothing is done twice.
      return this.#exchange(asked, key);
    }
  }

  async #exchange(
    { method, path, contentType, body }: LinkRequest,
    key: string,
  ): Promise<LinkResponse> {
    this.#opened ??= this.#open();
    const { credential, agent } = await this.#opened;
    const { hostname, port } = this.#options.server;
    const headers =
      body === undefined
        ? {}
        : {
            'content-type': contentType,
            'content-length': Buffer.byteLength(body),
            'idempotency-key': key,
          };
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#unreachable(error));
      const outgoing = request({
        // Node's own resolver takes an IPv6 address without its brackets.
        host: hostname.replace(/^\[(.*)\]$/, '$1'),
        port: port === '' ? 443 : Number(port),
        path: `${apiPrefix}${path}`,
        method,
        headers,
        agent,
      });
      outgoing.setTimeout(timeoutMs, () => {
        outgoing.destroy(new Error(`no answer within ${timeoutMs} ms`));
      });
      outgoing.on('error', fail);
      outgoing.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          const joined = Buffer.concat(chunks);
          resolve({ status: response.statusCode ?? 0, body: new Uint8Array(joined) });
        });
      });
      if (credential.kind === 'certificate') {
        outgoing.end(body);
        return;
      }
      outgoing.on('socket', (socket) => {
        if (!(socket instanceof TLSSocket)) return;
        const go = async (): Promise<void> => {
          outgoing.setHeader('authorization', await this.#authorize(socket, credential));
          outgoing.end(body);
        };
        const begin = (): void => void go().catch(fail);
        // The signature is over the connection, which has to be there first.
        if (this.#authorizations.has(socket)) begin();
        else socket.once('secureConnect', begin);
      });
    });
  }

  close(): void {
    this.#opened?.then(
      ({ agent }) => agent.destroy(),
      () => undefined,
    );
  }

  async #open(): Promise<{ readonly credential: ApiCredential; readonly agent: Agent }> {
    const anchors = await this.#options.anchors();
    const credential = await this.#options.credential();
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      minVersion: 'TLSv1.3',
      // What to pin is the authority of servers, which is no root.
      ...(anchors === undefined ? {} : { ca: anchors, allowPartialTrustChain: true }),
      ...(credential.kind === 'certificate'
        ? { key: credential.key, cert: credential.certificate }
        : {}),
    });
    return { credential, agent };
  }

  #authorize(socket: TLSSocket, operator: Operator): Promise<string> {
    const known = this.#authorizations.get(socket) ?? this.#sign(socket, operator);
    this.#authorizations.set(socket, known);
    return known;
  }

  /** RFC 9729 §3. */
  async #sign(socket: TLSSocket, { name, signer }: Operator): Promise<string> {
    const { hostname: host, port } = this.#options.server;
    const keyId = utf8(name);
    const publicKey = p256Point(signer.publicKeySpki);
    const target = { keyId, publicKey, host, port: port === '' ? 443 : Number(port) };
    const { label, lengthBytes } = concealedExporter;
    const context = Buffer.from(concealedContext(target));
    const exported = new Uint8Array(socket.exportKeyingMaterial(lengthBytes, label, context));
    const { toBeSigned, verification } = splitExport(exported);
    const signature = await signer.sign(toBeSigned);
    return encodeConcealed({ keyId, publicKey, verification, signature });
  }

  #unreachable(error: Error): Error {
    if (error instanceof EnvironmentError) return error;
    const code = 'code' in error ? String(error.code) : '';
    return new EnvironmentError(
      `${this.#options.server.origin} cannot be reached: ${error.message}`,
      // A certificate that is wrong now is wrong again.
      { retryable: /^E[A-Z]+$/.test(code), cause: error },
    );
  }
}
