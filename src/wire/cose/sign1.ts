/**
 * COSE_Sign1 (RFC 9052 §4.2 to §4.4). Whoever holds the key signs: `prepareSign1` gives the bytes to be
 * signed, `finish` takes the signature. Whether a signer may be believed is not decided here.
 */
import { empty } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto, PublicKey } from '../crypto/crypto.ts';
import { signatureAlgorithmOf } from './algorithms.ts';
import {
  canonicalProtected,
  encodeHeaders,
  encodeProtected,
  type HeaderFields,
  type Headers,
  type Label,
  parseProtected,
  readHeaders,
  refuseUnknownCritical,
} from './headers.ts';

export const sign1Tag = 18;

export interface Sign1 {
  /** Content of the protected byte string as it was received. */
  readonly protectedBytes: Uint8Array;
  readonly protectedHeaders: Headers;
  readonly unprotectedHeaders: Headers;
  /** `undefined` when the content is detached (nil). */
  readonly payload: Uint8Array | undefined;
  readonly signature: Uint8Array;
}

export interface Sign1Draft {
  readonly protected: HeaderFields;
  readonly unprotected?: HeaderFields;
  readonly payload: Uint8Array;
  /** What both sides know without sending it; none by default. */
  readonly externalAad?: Uint8Array;
  /** The payload travels elsewhere: nil is written in its place. */
  readonly detached?: boolean;
  /** Whether tag 18 goes in front. Default: no. */
  readonly tagged?: boolean;
}

/** A message that lacks its signature. `finish` may be called once. */
export class UnsignedSign1 {
  readonly toBeSigned: Uint8Array;
  readonly #protectedBytes: Uint8Array;
  readonly #draft: Sign1Draft;
  #spent = false;

  constructor(draft: Sign1Draft) {
    this.#draft = draft;
    this.#protectedBytes = encodeProtected(draft.protected);
    this.toBeSigned = sigStructure(this.#protectedBytes, draft.externalAad ?? empty, draft.payload);
  }

  /** ECDSA signatures are r‖s (RFC 9053 §2.1), as `fixedSignature` of wire/der makes them from DER. */
  finish(signature: Uint8Array): Uint8Array {
    if (this.#spent) throw new TypeError('this COSE_Sign1 was finished before');
    this.#spent = true;
    const { unprotected, payload, detached, tagged } = this.#draft;
    const message = cbor.array(
      cbor.bytes(this.#protectedBytes),
      encodeHeaders(unprotected ?? {}),
      detached === true ? cbor.nullItem : cbor.bytes(payload),
      cbor.bytes(signature),
    );
    return tagged === true ? cbor.tag(sign1Tag, message) : message;
  }
}

export function prepareSign1(draft: Sign1Draft): UnsignedSign1 {
  return new UnsignedSign1(draft);
}

/** RFC 9052 §4.4. `protectedBytes` is the content of the byte string, empty when there are no headers. */
export function sigStructure(
  protectedBytes: Uint8Array,
  externalAad: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  return cbor.array(
    context,
    cbor.bytes(canonicalProtected(protectedBytes)),
    cbor.bytes(externalAad),
    cbor.bytes(payload),
  );
}

/**
 * Tagged with 18 or untagged. `understood` lists the critical headers that the caller will act on; any
 * other makes an `UnsupportedError`. Byte strings are views of the input.
 */
export function parseSign1(bytes: Uint8Array, understood: readonly Label[] = []): Sign1 {
  const reader = new CborReader(bytes);
  const message = readSign1(reader, understood);
  reader.end();
  return message;
}

export function readSign1(reader: CborReader, understood: readonly Label[] = []): Sign1 {
  const start = reader.offset;
  if (reader.peek() === 'tag' && reader.tag() !== sign1Tag) reader.fail('tag 18 expected', start);
  if (reader.array() !== 4) reader.fail('COSE_Sign1 has four members', start);
  const protectedBytes = reader.bytes();
  const protectedHeaders = parseProtected(protectedBytes);
  const unprotectedStart = reader.offset;
  const unprotectedHeaders = readHeaders(reader);
  // RFC 9052 §3.1: crit stands in the protected map only; §3: no label in both maps.
  if (unprotectedHeaders.critical.length > 0) reader.fail('crit unprotected', unprotectedStart);
  for (const label of unprotectedHeaders.items.keys()) {
    if (protectedHeaders.items.has(label)) reader.fail('label given twice', unprotectedStart);
  }
  refuseUnknownCritical(protectedHeaders, understood);
  const payload = reader.takeNull() ? undefined : reader.bytes();
  const signature = reader.bytes();
  return { protectedBytes, protectedHeaders, unprotectedHeaders, payload, signature };
}

/** The bytes that the signature of a received message covers. */
export function sign1ToBeSigned(
  message: Sign1,
  options: { readonly externalAad?: Uint8Array; readonly detachedPayload?: Uint8Array } = {},
): Uint8Array {
  if (message.payload !== undefined && options.detachedPayload !== undefined) {
    throw new TypeError('the message has a payload of its own');
  }
  const payload = message.payload ?? options.detachedPayload;
  if (payload === undefined) throw new TypeError('the detached payload is missing');
  return sigStructure(message.protectedBytes, options.externalAad ?? empty, payload);
}

/**
 * Whether the signature is right under this key with the algorithm that the *protected* header names; an
 * algorithm that is absent, unprotected or unknown is never right.
 */
export function verifySign1(
  crypto: Crypto,
  publicKey: PublicKey,
  message: Sign1,
  options: { readonly externalAad?: Uint8Array; readonly detachedPayload?: Uint8Array } = {},
): boolean {
  const number = message.protectedHeaders.algorithm;
  const algorithm = number === undefined ? undefined : signatureAlgorithmOf(number);
  if (algorithm === undefined) return false;
  const toBeSigned = sign1ToBeSigned(message, options);
  return crypto.verify(publicKey, algorithm, toBeSigned, message.signature);
}

const context = cbor.text('Signature1');
