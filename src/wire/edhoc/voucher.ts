/**
 * Vouchers of ELA, lightweight authorization with EDHOC (draft-ietf-lake-authz): an enrolment server W tells
 * a device U, through the authenticator V that it does not know yet, that V may be trusted. Formats and
 * protection only; who gets a voucher is policy.
 */
import { empty } from '../bytes/bytes.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { Secret } from '../crypto/crypto.ts';
import type { EadItem } from './ead.ts';
import { additionalData, type Algorithms, kdf } from './schedule.ts';
import { aeadOf } from './suites.ts';

/** Not assigned and not suggested by the draft: whoever uses ELA agrees on them. */
export interface VoucherCodePoints {
  readonly voucherInfoLabel: number;
  readonly voucherLabel: number;
  readonly accessDeniedCode: number;
}

/** What U asks with: EAD_3 of the initiator, EAD_2 where U is the responder. */
export interface VoucherInfo {
  /** Where V finds W: a URI or a domain name. */
  readonly locationOfW: string;
  /** An ephemeral public key for the curve of the suite, used once; x alone on NIST curves. */
  readonly ephemeralKey: Uint8Array;
}

export const maximumLocationLength = 255;

export function voucherInfoItem(codePoints: VoucherCodePoints, info: VoucherInfo): EadItem {
  const value = cbor.sequence(cbor.text(info.locationOfW), cbor.bytes(info.ephemeralKey));
  return { label: codePoints.voucherInfoLabel, critical: true, value };
}

/** Throws a `MalformedError`. */
export function parseVoucherInfo(value: Uint8Array): VoucherInfo {
  const reader = new CborReader(value);
  const locationOfW = reader.text();
  if (locationOfW.length > maximumLocationLength) reader.fail('LOC_W is too long', 0);
  const ephemeralKey = reader.bytes();
  reader.end();
  return { locationOfW, ephemeralKey };
}

/** What V sends to W over a connection on which W has verified V's key. */
export interface VoucherRequest {
  readonly suite: number;
  readonly ephemeralKey: Uint8Array;
  /** H( H(message_1), message_2 ) of the handshake between U and V. */
  readonly h12: Uint8Array;
  /** The whole header map. */
  readonly idCredI: Uint8Array;
  /** Whether W should send CRED_U too. */
  readonly fetchCredU: boolean;
}

export function encodeVoucherRequest(request: VoucherRequest): Uint8Array {
  return cbor.array(
    cbor.integer(request.suite),
    cbor.bytes(request.ephemeralKey),
    cbor.bytes(request.h12),
    cbor.bytes(request.idCredI),
    cbor.boolean(request.fetchCredU),
  );
}

/** Throws a `MalformedError`. */
export function parseVoucherRequest(bytes: Uint8Array): VoucherRequest {
  const reader = new CborReader(bytes);
  if (reader.array() !== 5) reader.fail('a voucher request has five members', 0);
  const request = {
    suite: reader.integer(),
    ephemeralKey: reader.bytes(),
    h12: reader.bytes(),
    idCredI: reader.bytes(),
    fetchCredU: reader.boolean(),
  };
  reader.end();
  return request;
}

export interface VoucherResponse {
  readonly voucher?: Uint8Array;
  readonly credU?: Uint8Array;
}

export function encodeVoucherResponse({ voucher, credU }: VoucherResponse): Uint8Array {
  const members = [voucher, credU].filter((member) => member !== undefined);
  return cbor.array(...members.map(cbor.bytes));
}

/**
 * Both members are optional byte strings, so one alone could be either: the voucher, unless the caller's
 * application has none. Throws a `MalformedError`.
 */
export function parseVoucherResponse(
  bytes: Uint8Array,
  options: { readonly hasVoucher?: boolean } = {},
): VoucherResponse {
  const reader = new CborReader(bytes);
  const count = reader.array();
  if (count > 2) reader.fail('a voucher response has at most two members', 0);
  const members = Array.from({ length: count }, () => reader.bytes());
  reader.end();
  const [first, second] = members;
  if (first === undefined) return {};
  if (second !== undefined) return { voucher: first, credU: second };
  return (options.hasVoucher ?? true) ? { voucher: first } : { credU: first };
}

/** What a voucher is bound to. */
export interface VoucherBinding {
  readonly h12: Uint8Array;
  /** The whole header map. */
  readonly idCredI: Uint8Array;
  readonly credV: Uint8Array;
}

/**
 * W's share: the ciphertext. `sharedSecret` is the x-coordinate of the agreement between the ephemeral key
 * of U, used for one voucher or rejection only, and the static key of W.
 */
export function sealVoucher(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  binding: VoucherBinding,
  opaqueInfo?: Uint8Array,
): Uint8Array {
  const plaintext = opaqueInfo === undefined ? empty : cbor.bytes(opaqueInfo);
  return seal(algorithms, sharedSecret, voucherAad(binding), plaintext);
}

export function voucherItem(codePoints: VoucherCodePoints, voucher: Uint8Array): EadItem {
  return { label: codePoints.voucherLabel, critical: true, value: voucher };
}

/**
 * U's share: `undefined` when W did not authorize this V for this handshake. Throws a `MalformedError` when
 * an authentic voucher is not of its form.
 */
export function openVoucher(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  binding: VoucherBinding,
  voucher: Uint8Array,
): { readonly opaqueInfo: Uint8Array | undefined } | undefined {
  const plaintext = open(algorithms, sharedSecret, voucherAad(binding), voucher);
  if (plaintext === undefined) return undefined;
  if (plaintext.length === 0) return { opaqueInfo: undefined };
  return { opaqueInfo: parseOneString(plaintext) };
}

/** REJECT_INFO of type 1: what W tells U about a refusal, such as authenticators that would do. */
export function sealRejectInfo(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  h12: Uint8Array,
  opaqueInfo: Uint8Array,
): Uint8Array {
  return seal(algorithms, sharedSecret, cbor.bytes(h12), cbor.bytes(opaqueInfo));
}

/** `undefined` when it is not from W, or not about this handshake. */
export function openRejectInfo(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  h12: Uint8Array,
  rejectInfo: Uint8Array,
): Uint8Array | undefined {
  const plaintext = open(algorithms, sharedSecret, cbor.bytes(h12), rejectInfo);
  return plaintext === undefined ? undefined : parseOneString(plaintext);
}

/** The EDHOC error "Access denied". Without REJECT_INFO the type is 0, with it 1. */
export function encodeAccessDenied(
  codePoints: VoucherCodePoints,
  rejectInfo?: Uint8Array,
): Uint8Array {
  const content =
    rejectInfo === undefined
      ? cbor.integer(0)
      : cbor.sequence(cbor.integer(1), cbor.bytes(rejectInfo));
  return cbor.sequence(cbor.integer(codePoints.accessDeniedCode), content);
}

/**
 * Reads an error message with that code; `undefined` when it has another. Its ERR_INFO is a sequence, where
 * RFC 9528 §6 has one item: states take it for malformed, so that it has to be looked for before. Like every
 * error it is not authenticated; REJECT_INFO is. Throws a `MalformedError`.
 */
export function parseAccessDenied(
  codePoints: VoucherCodePoints,
  message: Uint8Array,
): { readonly rejectType: number; readonly rejectInfo?: Uint8Array } | undefined {
  const reader = new CborReader(message);
  if (reader.peek() !== 'unsigned' && reader.peek() !== 'negative') return undefined;
  if (reader.integer() !== codePoints.accessDeniedCode) return undefined;
  const rejectType = reader.integer();
  if (reader.atEnd) return { rejectType };
  const rejectInfo = reader.bytes();
  reader.end();
  return { rejectType, rejectInfo };
}

/** << H_12: bstr, ID_CRED_I: bstr, CRED_V: bstr >>. */
function voucherAad({ h12, idCredI, credV }: VoucherBinding): Uint8Array {
  return cbor.sequence(cbor.bytes(h12), cbor.bytes(idCredI), cbor.bytes(credV));
}

function seal(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  externalAad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const { key, nonce } = keysOf(algorithms, sharedSecret);
  return algorithms.crypto.seal(key, nonce, additionalData(externalAad), plaintext);
}

function open(
  algorithms: Algorithms,
  sharedSecret: Uint8Array | Secret,
  externalAad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const { key, nonce } = keysOf(algorithms, sharedSecret);
  return algorithms.crypto.open(key, nonce, additionalData(externalAad), ciphertext);
}

/** PRK = EDHOC_Extract( h'', IKM ), K = EDHOC_Expand( PRK, 2 ), IV = EDHOC_Expand( PRK, 3 ). */
function keysOf(algorithms: Algorithms, sharedSecret: Uint8Array | Secret) {
  const { crypto, suite } = algorithms;
  const { keyBytes, nonceBytes } = aeadOf(suite);
  const prk = crypto.hkdfExtract(suite.hash, empty, sharedSecret);
  const key = crypto.aeadKey(suite.aead, kdf(algorithms, prk, 2, empty, keyBytes));
  return { key, nonce: kdf(algorithms, prk, 3, empty, nonceBytes) };
}

function parseOneString(plaintext: Uint8Array): Uint8Array {
  const reader = new CborReader(plaintext);
  const content = reader.bytes();
  reader.end();
  return content;
}
