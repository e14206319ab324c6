/** Certificates from a place that was allowed, over HTTP or HTTPS: one GET, nothing followed. */
import type {
  CredentialFetcher,
  FetchedResource,
  FetchRefusal,
} from '../../../trust/ports/credentialFetch.ts';
import { refuse, type Refusal } from '../../../trust/ports/faults.ts';

export interface FetchLimits {
  /** From the request to the last byte. */
  readonly timeoutMs: number;
  readonly maximumBytes: number;
}

/** A handshake waits for it; a chain of eight certificates has less. */
export const fetchLimits: FetchLimits = { timeoutMs: 5_000, maximumBytes: 32_768 };

export class HttpCredentialFetcher implements CredentialFetcher {
  readonly #limits: FetchLimits;

  constructor(limits: FetchLimits = fetchLimits) {
    this.#limits = limits;
  }

  async fetch(uri: string): Promise<FetchedResource | Refusal<FetchRefusal>> {
    try {
      const response = await fetch(uri, {
        headers: { accept: acceptedTypes },
        redirect: 'manual',
        signal: AbortSignal.timeout(this.#limits.timeoutMs),
      });
      const refusal = refusalOf(response);
      if (refusal !== undefined) {
        await response.body?.cancel();
        return refusal;
      }
      const body = await this.#bodyOf(response);
      if (body === undefined)
        return refuse('too-large', `more than ${this.#limits.maximumBytes} bytes`);
      const [mediaType = ''] = (response.headers.get('content-type') ?? '').split(';');
      return { mediaType: mediaType.trim().toLowerCase(), body };
    } catch (error) {
      const isLate = error instanceof Error && error.name === 'TimeoutError';
      return isLate
        ? refuse('too-slow', `nothing within ${this.#limits.timeoutMs} ms`)
        : refuse('unreachable', 'no answer of HTTP');
    }
  }

  /** `undefined` when it is too large: the rest is not waited for. */
  async #bodyOf(response: Response): Promise<Uint8Array | undefined> {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const piece of response.body ?? []) {
      const chunk: unknown = piece;
      if (!(chunk instanceof Uint8Array)) continue;
      length += chunk.length;
      if (length > this.#limits.maximumBytes) return undefined;
      chunks.push(chunk);
    }
    return new Uint8Array(Buffer.concat(chunks));
  }
}

const acceptedTypes = 'application/pkix-cert, application/cose-x509, application/cose-c509-cert';

function refusalOf({ status }: Response): Refusal<FetchRefusal> | undefined {
  if (status === 200) return undefined;
  return status >= 300 && status < 400
    ? refuse('redirected', `status ${status}`)
    : refuse('not-found', `status ${status}`);
}
