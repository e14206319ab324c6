/** Requests of a session whose bodies are longer than a message: inner blocks (RFC 8613 §4.1.3.4.1). */
import { BlockwiseRequest } from '../../wire/coap/blockwiseClient.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { DeviceFault } from '../ports/faults.ts';

/** One request under the session's keys and its authentic response. Rejects with a `DeviceFault`. */
export type SessionExchange = (request: CoapContent) => Promise<CoapContent>;

export interface TransferOptions {
  /** Largest block that fits a message of this path. */
  readonly blockBytes: number;
  readonly maximumBodyBytes: number;
}

/** The whole response. Rejects with a retryable `DeviceFault` when the transfer has to begin anew. */
export async function transfer(
  exchange: SessionExchange,
  request: CoapContent,
  { blockBytes, maximumBodyBytes }: TransferOptions,
): Promise<CoapContent> {
  // The size in the first block is a hint, and on a radio five bytes are a third of a block.
  const options = { sizeBytes: blockBytes, maximumBodyBytes, announceSize: false };
  const blockwise = new BlockwiseRequest(request, options);
  let next = blockwise.first;
  for (;;) {
    const step = blockwise.onResponse(await exchange(next));
    if (step.kind === 'done') return step.response;
    if (step.kind === 'refused') {
      throw new DeviceFault(`the transfer broke off: ${step.refused}`, { retryable: true });
    }
    next = step.request;
  }
}
