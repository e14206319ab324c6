/** The CoAP message over UDP (RFC 7252 §3): header, token, options, payload. */
import { empty } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { emptyCode } from './codes.ts';
import type { CoapOption } from './options.ts';

export type MessageType = 'CON' | 'NON' | 'ACK' | 'RST';

/** What the request/response layer sees; OSCORE protects this and nothing below it. */
export interface CoapContent {
  readonly code: number;
  /** In the order of their numbers; equal numbers in the order of the message. */
  readonly options: readonly CoapOption[];
  /** Empty when there is none: CoAP has no payload of no bytes. */
  readonly payload: Uint8Array;
}

export interface CoapMessage extends CoapContent {
  readonly type: MessageType;
  readonly messageId: number;
  /** 0 to 8 bytes. */
  readonly token: Uint8Array;
}

/** What can be said of a datagram whose rest is broken, so that it can be rejected (RFC 7252 §4.2). */
export interface MessageHead {
  readonly type: MessageType;
  readonly code: number;
  readonly messageId: number;
}

export const maximumTokenBytes = 8;

/**
 * Values are views of the input. A version that is not 1 is an `UnsupportedError`: RFC 7252 §3 has it
 * silently ignored, other faults of a confirmable message are rejected.
 */
export function parseMessage(bytes: Uint8Array): CoapMessage {
  const head = parseHead(bytes);
  if (head === undefined) fail(bytes.length, 'header incomplete');
  const tokenLength = (bytes[0] ?? 0) & 15;
  if (head.code === emptyCode) {
    // RFC 7252 §4.1: an Empty message has its four bytes and nothing else.
    if (tokenLength > 0) fail(0, 'Empty message with a token');
    if (bytes.length > headerBytes) fail(headerBytes, 'bytes after an Empty message');
    return { ...head, token: empty, options: [], payload: empty };
  }
  // RFC 7252 §4.2: classes 1, 6 and 7 are reserved (7 is signalling, which UDP has not).
  const codeClass = head.code >> 5;
  if (codeClass === 1 || codeClass > 5) fail(1, 'reserved code class');
  if (tokenLength > maximumTokenBytes) fail(0, 'token length reserved');
  const optionsStart = headerBytes + tokenLength;
  if (bytes.length < optionsStart) fail(bytes.length, 'token incomplete');
  const token = bytes.subarray(headerBytes, optionsStart);
  return { ...head, token, ...parseOptions(bytes, optionsStart) };
}

/** `undefined` when not even the header is there. Throws an `UnsupportedError` for another version. */
export function parseHead(bytes: Uint8Array): MessageHead | undefined {
  const [first, code, high, low] = bytes;
  if (first === undefined || code === undefined || high === undefined || low === undefined) {
    return undefined;
  }
  if (first >> 6 !== 1) throw new UnsupportedError('coap', `version ${first >> 6}`);
  const type = messageTypes[(first >> 4) & 3] ?? 'CON';
  return { type, code, messageId: (high << 8) | low };
}

export function encodeMessage(message: CoapMessage): Uint8Array {
  const { type, code, messageId, token } = message;
  if (token.length > maximumTokenBytes) throw new TypeError('a token has at most 8 bytes');
  if (code === emptyCode && (token.length > 0 || message.payload.length > 0)) {
    throw new TypeError('Empty message with content');
  }
  const bytes = encodeContent(message, headerBytes + token.length);
  bytes[0] = 0x40 | (messageTypes.indexOf(type) << 4) | token.length;
  bytes[1] = code;
  bytes[2] = messageId >> 8;
  bytes[3] = messageId & 255;
  bytes.set(token, headerBytes);
  return bytes;
}

/** Options and payload up to the end of the input: the tail of a message and of an OSCORE plaintext. */
export function parseOptions(
  bytes: Uint8Array,
  start: number,
): { readonly options: readonly CoapOption[]; readonly payload: Uint8Array } {
  const options: CoapOption[] = [];
  let offset = start;
  let number = 0;
  while (offset < bytes.length) {
    const initial = bytes[offset] ?? 0;
    if (initial === payloadMarker) {
      if (offset + 1 === bytes.length) fail(offset, 'payload marker without payload');
      return { options, payload: bytes.subarray(offset + 1) };
    }
    const deltaWidth = extensionBytes(initial >> 4, offset);
    const lengthWidth = extensionBytes(initial & 15, offset);
    const lengthOffset = offset + 1 + deltaWidth;
    const valueOffset = lengthOffset + lengthWidth;
    if (valueOffset > bytes.length) fail(bytes.length, 'option incomplete');
    number += extended(bytes, initial >> 4, offset + 1);
    if (number > maximumOptionNumber) fail(offset, 'option number above 65535');
    const end = valueOffset + extended(bytes, initial & 15, lengthOffset);
    if (end > bytes.length) fail(offset, 'option longer than the message');
    options.push({ number, value: bytes.subarray(valueOffset, end) });
    offset = end;
  }
  return { options, payload: empty };
}

/**
 * Options and payload with `headroom` bytes left free in front. Options are put in the order of their
 * numbers; equal numbers keep their order.
 */
export function encodeContent(
  content: Pick<CoapContent, 'options' | 'payload'>,
  headroom: number,
): Uint8Array {
  const options = inOrder(content.options);
  const { payload } = content;
  let length = headroom + (payload.length === 0 ? 0 : 1 + payload.length);
  let previous = 0;
  for (const { number, value } of options) {
    length += 1 + extensionOf(number - previous) + extensionOf(value.length) + value.length;
    previous = number;
  }
  const bytes = new Uint8Array(length);
  let offset = headroom;
  previous = 0;
  for (const { number, value } of options) {
    offset = writeOptionHead(bytes, offset, number - previous, value.length);
    bytes.set(value, offset);
    offset += value.length;
    previous = number;
  }
  if (payload.length > 0) {
    bytes[offset] = payloadMarker;
    bytes.set(payload, offset + 1);
  }
  return bytes;
}

const messageTypes: readonly MessageType[] = ['CON', 'NON', 'ACK', 'RST'];
const headerBytes = 4;
const payloadMarker = 0xff;
const maximumOptionNumber = 65_535;

function inOrder(options: readonly CoapOption[]): readonly CoapOption[] {
  let previous = 0;
  for (const { number, value } of options) {
    if (number > maximumOptionNumber || value.length > 65_804) {
      throw new TypeError(`option ${number} cannot be encoded`);
    }
    if (number < previous) return [...options].sort((left, right) => left.number - right.number);
    previous = number;
  }
  return options;
}

/** RFC 7252 §3.1: 13 announces one further byte, 14 two; 15 is reserved. */
function extensionBytes(nibble: number, offset: number): number {
  if (nibble === 15) fail(offset, 'option head reserved');
  return nibble < 13 ? 0 : nibble - 12;
}

function extended(bytes: Uint8Array, nibble: number, offset: number): number {
  if (nibble < 13) return nibble;
  const first = bytes[offset] ?? 0;
  return nibble === 13 ? 13 + first : 269 + first * 256 + (bytes[offset + 1] ?? 0);
}

function extensionOf(value: number): number {
  return value < 13 ? 0 : value < 269 ? 1 : 2;
}

function writeOptionHead(bytes: Uint8Array, start: number, delta: number, length: number): number {
  const deltaWidth = extensionOf(delta);
  const lengthWidth = extensionOf(length);
  const deltaNibble = deltaWidth === 0 ? delta : 12 + deltaWidth;
  const lengthNibble = lengthWidth === 0 ? length : 12 + lengthWidth;
  bytes[start] = (deltaNibble << 4) | lengthNibble;
  writeExtension(bytes, start + 1, delta, deltaWidth);
  writeExtension(bytes, start + 1 + deltaWidth, length, lengthWidth);
  return start + 1 + deltaWidth + lengthWidth;
}

function writeExtension(bytes: Uint8Array, offset: number, value: number, width: number): void {
  if (width === 1) bytes[offset] = value - 13;
  if (width === 2) {
    bytes[offset] = (value - 269) >> 8;
    bytes[offset + 1] = (value - 269) & 255;
  }
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('coap', offset, problem);
}
