/**
 * Block-wise transfer, the server's side (RFC 7959): request bodies are put together before anybody sees
 * them, long response bodies are handed out in blocks. What is kept is bounded in number, size and time.
 */
import { concat, empty } from '../bytes/bytes.ts';
import { toHex } from '../bytes/hex.ts';
import {
  type Block,
  blockSizeWithin,
  decodeBlock,
  encodeBlock,
  largestBlockBytes,
} from './block.ts';
import { isSuccess, methods, responses } from './codes.ts';
import type { CoapContent } from './message.ts';
import {
  type CoapOption,
  encodeUint,
  findOption,
  findUint,
  hasOption,
  isNoCacheKey,
  opaque,
  optionNumbers,
  uint,
  withoutOptions,
} from './options.ts';

export interface BlockwiseServerConfig {
  /** Longest request body; a longer one is answered with 4.13. */
  readonly maximumBodyBytes: number;
  /** Bodies that are kept at a time, of requests and of responses each; the oldest goes first. */
  readonly maximumTransfers: number;
  /** How long a body waits for its next block. */
  readonly lifetimeMs: number;
  /** Largest block of responses, and of requests that we ask for. Default: 1024. */
  readonly sizeBytes?: number;
}

export type BlockwiseOutcome =
  /** The whole request; its response goes through `respond` with the ticket. */
  | { readonly kind: 'request'; readonly request: CoapContent; readonly ticket: BlockwiseTicket }
  /** A block that needs nobody's attention: send this. */
  | { readonly kind: 'response'; readonly response: CoapContent };

/** What the response to a request has to say about blocks. */
export interface BlockwiseTicket {
  readonly key: string;
  readonly block1: Block | undefined;
  readonly block2: Block | undefined;
  readonly isSafe: boolean;
}

interface Body {
  readonly parts: Uint8Array[];
  lengthBytes: number;
  expiresAtMs: number;
}

interface KeptResponse {
  readonly response: CoapContent;
  readonly expiresAtMs: number;
}

export class BlockwiseServer {
  readonly #config: BlockwiseServerConfig;
  readonly #sizeBytes: number;
  /** In the order of their last use. */
  readonly #uploads = new Map<string, Body>();
  readonly #downloads = new Map<string, KeptResponse>();
  #nextETag = 1;

  constructor(config: BlockwiseServerConfig) {
    this.#config = config;
    this.#sizeBytes = blockSizeWithin(config.sizeBytes ?? largestBlockBytes);
  }

  /** Throws nothing: a request whose Block options are wrong gets a response that says so. */
  onRequest(peer: string, request: CoapContent, nowMs: number): BlockwiseOutcome {
    expire(this.#uploads, nowMs);
    expire(this.#downloads, nowMs);
    const block1 = blockOf(request, optionNumbers.block1);
    const block2 = blockOf(request, optionNumbers.block2);
    // RFC 7959 §2.2: the reserved size exponent, or a value that is too long.
    if (block1 === 'malformed' || block2 === 'malformed') return answer(responses.badRequest);
    const key = keyOf(peer, request);
    const isSafe = request.code === methods.get || request.code === methods.fetch;
    const ticket = { key, block1, block2, isSafe };
    if (block1 !== undefined) return this.#onUpload(request, block1, ticket, nowMs);
    if (block2 !== undefined && block2.number > 0) {
      const kept = this.#downloads.get(key);
      if (kept !== undefined) {
        return { kind: 'response', response: this.#slice(kept.response, ticket, block2) };
      }
      // Nothing is kept: what is safe may be asked again, what is not must not be done again (§2.4).
      if (!isSafe) return answer(responses.requestEntityIncomplete);
    }
    return { kind: 'request', request: withoutBlocks(request), ticket };
  }

  /** The response, or the block of it that was asked for; what is left is kept for later requests. */
  respond(ticket: BlockwiseTicket, response: CoapContent, nowMs: number): CoapContent {
    const asked = ticket.block2;
    // RFC 7959 §2.3: who sends small blocks, and says nothing about those of the response, has small frames.
    const wanted = asked?.sizeBytes ?? ticket.block1?.sizeBytes ?? largestBlockBytes;
    const sizeBytes = Math.min(wanted, this.#sizeBytes);
    const first = { number: asked?.number ?? 0, more: false, sizeBytes };
    const isPart = response.payload.length > sizeBytes || first.number > 0;
    if (!isSuccess(response.code) || !isPart) return withBlock1(response, ticket.block1);
    const identified = hasOption(response.options, optionNumbers.eTag)
      ? response
      : withOption(response, opaque(optionNumbers.eTag, encodeUint(this.#takeETag())));
    keep(this.#downloads, ticket.key, this.#config.maximumTransfers, {
      response: identified,
      expiresAtMs: nowMs + this.#config.lifetimeMs,
    });
    return this.#slice(identified, ticket, first);
  }

  #onUpload(
    request: CoapContent,
    block: Block,
    ticket: BlockwiseTicket,
    nowMs: number,
  ): BlockwiseOutcome {
    const { key } = ticket;
    const { maximumBodyBytes, maximumTransfers, lifetimeMs } = this.#config;
    const announced = findUint(request.options, optionNumbers.size1) ?? 0;
    const body: Body | undefined =
      block.number === 0 ? { parts: [], lengthBytes: 0, expiresAtMs: 0 } : this.#uploads.get(key);
    this.#uploads.delete(key);
    // RFC 7959 §2.9.2: a block is missing before this one.
    if (body === undefined || block.number * block.sizeBytes !== body.lengthBytes) {
      return answer(responses.requestEntityIncomplete, block1Option(block));
    }
    const { payload } = request;
    const isFull = payload.length === block.sizeBytes;
    if (block.more ? !isFull : payload.length > block.sizeBytes) {
      return answer(responses.badRequest);
    }
    if (Math.max(announced, body.lengthBytes + payload.length) > maximumBodyBytes) {
      // §2.9.3: with the size that would be taken.
      const size = uint(optionNumbers.size1, maximumBodyBytes);
      return answer(responses.requestEntityTooLarge, size);
    }
    body.parts.push(payload.slice());
    body.lengthBytes += payload.length;
    if (!block.more) {
      const whole = { ...withoutBlocks(request), payload: concat(...body.parts) };
      return { kind: 'request', request: whole, ticket };
    }
    body.expiresAtMs = nowMs + lifetimeMs;
    keep(this.#uploads, key, maximumTransfers, body);
    const sizeBytes = Math.min(block.sizeBytes, this.#sizeBytes);
    return answer(responses.continue, block1Option({ ...block, sizeBytes }));
  }

  #slice(whole: CoapContent, ticket: BlockwiseTicket, asked: Block): CoapContent {
    const sizeBytes = Math.min(asked.sizeBytes, this.#sizeBytes);
    const start = asked.number * asked.sizeBytes;
    if (start >= whole.payload.length && start > 0) {
      return { code: responses.badRequest, options: [], payload: empty };
    }
    const end = Math.min(start + sizeBytes, whole.payload.length);
    const more = end < whole.payload.length;
    const block = { number: start / sizeBytes, more, sizeBytes };
    const option = opaque(optionNumbers.block2, encodeBlock(block));
    const size = start === 0 ? [uint(optionNumbers.size2, whole.payload.length)] : [];
    const part = {
      ...whole,
      options: [...whole.options, option, ...size],
      payload: whole.payload.subarray(start, end),
    };
    if (!more) this.#downloads.delete(ticket.key);
    return withBlock1(part, ticket.block1);
  }

  #takeETag(): number {
    const eTag = this.#nextETag;
    this.#nextETag = eTag === 0xffff_ffff ? 1 : eTag + 1;
    return eTag;
  }
}

/**
 * Requests belong together when peer, method and the options of the cache key agree (RFC 7959 §2.4, §2.5;
 * RFC 9175 §3: Request-Tag is one of them), and for FETCH the body as well (RFC 8132 §2).
 */
function keyOf(peer: string, request: CoapContent): string {
  const { block1, block2, observe } = optionNumbers;
  let key = `${peer}|${request.code}`;
  for (const { number, value } of request.options) {
    if (number === block1 || number === block2 || number === observe || isNoCacheKey(number)) {
      continue;
    }
    key += `|${number}=${toHex(value)}`;
  }
  const isWhole = !hasOption(request.options, block1) && request.payload.length > 0;
  return request.code === methods.fetch && isWhole ? `${key}|${toHex(request.payload)}` : key;
}

function blockOf({ options }: CoapContent, number: number): Block | 'malformed' | undefined {
  const value = findOption(options, number);
  return value === undefined ? undefined : (decodeBlock(value) ?? 'malformed');
}

function answer(code: number, ...options: readonly CoapOption[]): BlockwiseOutcome {
  return { kind: 'response', response: { code, options, payload: empty } };
}

function block1Option(block: Block): CoapOption {
  return opaque(optionNumbers.block1, encodeBlock(block));
}

/** RFC 7959 §2.3: the last response names the last block. */
function withBlock1(response: CoapContent, block: Block | undefined): CoapContent {
  return block === undefined
    ? response
    : withOption(response, block1Option({ ...block, more: false }));
}

function withOption(content: CoapContent, option: CoapOption): CoapContent {
  return { ...content, options: [...content.options, option] };
}

function withoutBlocks(request: CoapContent): CoapContent {
  const { block1, block2, size1, requestTag } = optionNumbers;
  const options = withoutOptions(request.options, block1, block2, size1, requestTag);
  return { ...request, options };
}

function keep<Kept>(map: Map<string, Kept>, key: string, maximum: number, value: Kept): void {
  map.delete(key);
  const [oldest] = map.keys();
  if (oldest !== undefined && map.size >= maximum) map.delete(oldest);
  map.set(key, value);
}

/** The oldest stand first, all with the same lifetime. */
function expire(map: Map<string, { readonly expiresAtMs: number }>, nowMs: number): void {
  for (const [key, { expiresAtMs }] of map) {
    if (expiresAtMs > nowMs) return;
    map.delete(key);
  }
}
