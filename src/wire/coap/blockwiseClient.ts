/**
 * Block-wise transfer, the client's side (RFC 7959): a request body that goes out in blocks (Block1) and a
 * response body that is fetched in blocks (Block2). Works on contents, so that it serves below OSCORE
 * (outer blocks) as well as above it (inner blocks, RFC 8613 §4.1.3.4).
 */
import { concat, equal } from '../bytes/bytes.ts';
import { type Block, decodeBlock, encodeBlock, largestBlockBytes } from './block.ts';
import { isSuccess, methods, responses } from './codes.ts';
import type { CoapContent } from './message.ts';
import {
  type CoapOption,
  findOption,
  findUint,
  opaque,
  optionNumbers,
  uint,
  withoutOptions,
} from './options.ts';

export interface BlockwiseOptions {
  /** Largest block to send and to ask for; a server may want smaller ones. Default: 1024. */
  readonly sizeBytes?: number;
  /** Longest response body that is put together (RFC 8613 §4.1.3.4.2: MAX_UNFRAGMENTED_SIZE). */
  readonly maximumBodyBytes: number;
  /** Tells concurrent uploads to one resource apart (RFC 9175 §3); without it there may be one only. */
  readonly requestTag?: Uint8Array;
  /** Whether the first block says how long the body is: a hint of up to five bytes. Default: yes. */
  readonly announceSize?: boolean;
}

export type BlockwiseRefusalCode =
  /** The response body is longer than the limit. */
  | 'body-too-long'
  /** A block that does not follow the last one, or of a wrong length. */
  | 'block-mismatch'
  /** The representation changed between two blocks: start again. */
  | 'changed';

export type BlockwiseStep =
  | { readonly kind: 'send'; readonly request: CoapContent }
  /** The response with its whole body and without Block options. */
  | { readonly kind: 'done'; readonly response: CoapContent }
  | { readonly kind: 'refused'; readonly refused: BlockwiseRefusalCode };

/** One request with its response: send `first`, give in every response, send what comes out. */
export class BlockwiseRequest {
  /** The request, or its first block. */
  readonly first: CoapContent;
  readonly #request: CoapContent;
  readonly #options: BlockwiseOptions;
  readonly #isUpload: boolean;
  #uploadSizeBytes: number;
  /** Bytes of the request body up to the end of the block that was sent last. */
  #uploadedBytes = 0;
  #download: Download | undefined;
  #isOver = false;

  constructor(request: CoapContent, options: BlockwiseOptions) {
    this.#request = request;
    this.#options = options;
    this.#uploadSizeBytes = options.sizeBytes ?? largestBlockBytes;
    this.#isUpload = request.payload.length > this.#uploadSizeBytes;
    this.first = this.#isUpload ? this.#uploadBlock(0) : this.#wholeRequest();
  }

  /** Throws a `TypeError` once the transfer is over. */
  onResponse(response: CoapContent): BlockwiseStep {
    if (this.#isOver) throw new TypeError('this transfer is over');
    const step = this.#judge(response);
    this.#isOver = step.kind !== 'send';
    return step;
  }

  #judge(response: CoapContent): BlockwiseStep {
    const block1 = blockOf(response, optionNumbers.block1);
    if (this.#isUpload && this.#download === undefined && block1 !== undefined) {
      const next = this.#continueUpload(response, block1);
      if (next !== undefined) return next;
    }
    return this.#continueDownload(response);
  }

  /** `undefined` when the response is the final one of the upload. */
  #continueUpload(response: CoapContent, block: Block): BlockwiseStep | undefined {
    const total = this.#request.payload.length;
    const sizeBytes = Math.min(block.sizeBytes, this.#uploadSizeBytes);
    const isSmaller = sizeBytes < this.#uploadSizeBytes;
    // RFC 7959 §2.9.3: 4.13 with a smaller size in it asks for smaller blocks, from the start.
    if (response.code === responses.requestEntityTooLarge && isSmaller && block.number === 0) {
      this.#uploadSizeBytes = sizeBytes;
      this.#uploadedBytes = 0;
      return { kind: 'send', request: this.#uploadBlock(0) };
    }
    if (!isSuccess(response.code) || this.#uploadedBytes >= total) return undefined;
    const sentNumber = Math.ceil(this.#uploadedBytes / this.#uploadSizeBytes) - 1;
    if (block.number !== sentNumber) return refused('block-mismatch');
    // RFC 7959 §2.3: the server's size may be smaller; the numbers go on in its units.
    this.#uploadSizeBytes = sizeBytes;
    return { kind: 'send', request: this.#uploadBlock(this.#uploadedBytes / sizeBytes) };
  }

  #uploadBlock(number: number): CoapContent {
    const { payload, options, code } = this.#request;
    const start = number * this.#uploadSizeBytes;
    const end = Math.min(start + this.#uploadSizeBytes, payload.length);
    this.#uploadedBytes = end;
    const block = { number, more: end < payload.length, sizeBytes: this.#uploadSizeBytes };
    const added: CoapOption[] = [opaque(optionNumbers.block1, encodeBlock(block))];
    // RFC 7959 §4: the size is a hint for the first block.
    const announces = this.#options.announceSize ?? true;
    if (number === 0 && announces) added.push(uint(optionNumbers.size1, payload.length));
    const { requestTag } = this.#options;
    if (requestTag !== undefined) added.push(opaque(optionNumbers.requestTag, requestTag));
    return { code, options: [...options, ...added], payload: payload.subarray(start, end) };
  }

  #wholeRequest(): CoapContent {
    const { sizeBytes } = this.#options;
    // RFC 7959 §2.4: asking for a size at once spares the first, larger block.
    if (sizeBytes === undefined || sizeBytes === largestBlockBytes) return this.#request;
    return withBlock2(this.#request, { number: 0, more: false, sizeBytes });
  }

  #continueDownload(response: CoapContent): BlockwiseStep {
    const block = blockOf(response, optionNumbers.block2);
    if (block === undefined || !isSuccess(response.code)) return done(response, response.payload);
    this.#download ??= new Download(response, this.#options.maximumBodyBytes);
    const problem = this.#download.add(response, block);
    if (problem !== undefined) return refused(problem);
    if (!block.more) return done(this.#download.first, this.#download.body());
    const { number, sizeBytes } = block;
    const next = { number: number + 1, more: false, sizeBytes };
    return { kind: 'send', request: withBlock2(followUp(this.#request, this.#isUpload), next) };
  }
}

/** A response body that grows block by block. */
class Download {
  readonly first: CoapContent;
  readonly #maximumBytes: number;
  readonly #eTag: Uint8Array | undefined;
  readonly #parts: Uint8Array[] = [];
  #lengthBytes = 0;

  constructor(first: CoapContent, maximumBytes: number) {
    this.first = first;
    this.#maximumBytes = maximumBytes;
    this.#eTag = findOption(first.options, optionNumbers.eTag);
  }

  add(response: CoapContent, block: Block): BlockwiseRefusalCode | undefined {
    const { payload, options } = response;
    const announced = findUint(options, optionNumbers.size2) ?? 0;
    const lengthBytes = this.#lengthBytes + payload.length;
    if (Math.max(announced, lengthBytes) > this.#maximumBytes) return 'body-too-long';
    // RFC 7959 §2.4: blocks of different representations must not be put together.
    const eTag = findOption(options, optionNumbers.eTag);
    if (!sameValue(eTag, this.#eTag) || response.code !== this.first.code) return 'changed';
    if (block.number * block.sizeBytes !== this.#lengthBytes) return 'block-mismatch';
    const isFull = payload.length === block.sizeBytes;
    if (block.more ? !isFull : payload.length > block.sizeBytes) return 'block-mismatch';
    this.#parts.push(payload);
    this.#lengthBytes = lengthBytes;
    return undefined;
  }

  body(): Uint8Array {
    return concat(...this.#parts);
  }
}

/** The request for further blocks (RFC 7959 §2.4): no Block1, no Observe (§2.6), no body. */
function followUp(request: CoapContent, wasUploaded: boolean): CoapContent {
  const { block1, size1, observe } = optionNumbers;
  const options = withoutOptions(request.options, block1, size1, observe);
  // RFC 8132 §2: the body of a FETCH says what is fetched, so that each request needs it.
  const keepsBody = request.code === methods.fetch && !wasUploaded;
  return { ...request, options, payload: keepsBody ? request.payload : new Uint8Array(0) };
}

function withBlock2(request: CoapContent, block: Block): CoapContent {
  const others = withoutOptions(request.options, optionNumbers.block2);
  const option = opaque(optionNumbers.block2, encodeBlock(block));
  return { ...request, options: [...others, option] };
}

function blockOf({ options }: CoapContent, number: number): Block | undefined {
  const value = findOption(options, number);
  return value === undefined ? undefined : decodeBlock(value);
}

function done(response: CoapContent, payload: Uint8Array): BlockwiseStep {
  const { block1, block2, size2 } = optionNumbers;
  const options = withoutOptions(response.options, block1, block2, size2);
  return { kind: 'done', response: { ...response, options, payload } };
}

function refused(code: BlockwiseRefusalCode): BlockwiseStep {
  return { kind: 'refused', refused: code };
}

function sameValue(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}
