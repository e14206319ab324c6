/**
 * A way to a process of the server: one request, one answer. The socket of the same machine and the API
 * over the network are both one, with the same paths and documents behind them.
 */

export interface LinkRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  /** From `/v1` or `/line/v1` on, encoded, with its query. */
  readonly path: string;
  readonly contentType?: string;
  readonly body?: Uint8Array | string;
}

export interface LinkResponse {
  readonly status: number;
  readonly body: Uint8Array;
}

export interface Link {
  /** Rejects with an `EnvironmentError` when nobody answers; whether the request was carried out is then unknown. */
  send(request: LinkRequest): Promise<LinkResponse>;
  close(): void;
}
