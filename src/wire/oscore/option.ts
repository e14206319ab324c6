/**
 * The value of the OSCORE option: the compressed COSE header (RFC 8613 §6.1), with the extension of
 * KUDOS (draft-ietf-core-oscore-key-update §4.1).
 */
import { concat, empty } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';

export interface OscoreOption {
  /** 1 to 5 bytes without leading zeros; zero is one byte. */
  readonly partialIv?: Uint8Array;
  /** At most 255 bytes. */
  readonly kidContext?: Uint8Array;
  readonly kid?: Uint8Array;
  /** Present in KUDOS messages only. */
  readonly keyUpdate?: KeyUpdateField;
}

/** Fields `x` and `nonce` of a KUDOS message. */
export interface KeyUpdateField {
  /** z: the sender has the other's nonce and uses the new context already. */
  readonly convergent: boolean;
  /** b: the sender wishes to keep observations beyond the update. */
  readonly preserveObservations: boolean;
  /** p: the sender asks for the mode without forward secrecy. */
  readonly noForwardSecrecy: boolean;
  /** 1 to 16 bytes. */
  readonly nonce: Uint8Array;
}

export function encodeOscoreOption(option: OscoreOption): Uint8Array {
  const { partialIv, kidContext, kid, keyUpdate } = option;
  const flags =
    (keyUpdate === undefined ? 0 : flagBits.extension) |
    (kidContext === undefined ? 0 : flagBits.kidContext) |
    (kid === undefined ? 0 : flagBits.kid) |
    (partialIv?.length ?? 0);
  // RFC 8613 §2: flags that are all zero are not sent; the option is empty then.
  if (flags === 0) return empty;
  if (kidContext === undefined && keyUpdate === undefined) return shortForm(flags, partialIv, kid);
  if (kidContext !== undefined && kidContext.length > 255) {
    throw new TypeError('kid context above 255 bytes');
  }
  return concat(
    keyUpdate === undefined ? Uint8Array.of(flags) : Uint8Array.of(flags, nonceFlag),
    partialIv ?? empty,
    kidContext === undefined ? empty : concat(Uint8Array.of(kidContext.length), kidContext),
    keyUpdate === undefined ? empty : concat(Uint8Array.of(encodeX(keyUpdate)), keyUpdate.nonce),
    kid ?? empty,
  );
}

/** Throws a `MalformedError`: the value decompresses to nothing (RFC 8613 §8.2 step 2). */
export function parseOscoreOption(value: Uint8Array): OscoreOption {
  const flags = value[0];
  if (flags === undefined) return {};
  if (flags === 0) fail(0, 'flags all zero');
  const { extension, reserved } = flagBits;
  if ((flags & reserved) !== 0) fail(0, 'reserved flag');
  const fields: { -readonly [Name in keyof OscoreOption]: OscoreOption[Name] } = {};
  let offset = 1;
  const isKeyUpdate = (flags & extension) !== 0;
  if (isKeyUpdate) {
    if (value[1] !== nonceFlag) fail(1, 'reserved or missing flags');
    offset = 2;
  }
  const partialIvBytes = flags & 7;
  if (partialIvBytes > 5) fail(0, 'Partial IV length reserved');
  if (partialIvBytes > 0) {
    fields.partialIv = take(value, offset, partialIvBytes);
    // RFC 8613 §5: leading zeros are removed; two forms of one number would make two AADs.
    if (partialIvBytes > 1 && value[offset] === 0) fail(offset, 'Partial IV with a leading zero');
    offset += partialIvBytes;
  }
  if ((flags & flagBits.kidContext) !== 0) {
    const length = value[offset] ?? fail(offset, 'kid context length missing');
    fields.kidContext = take(value, offset + 1, length);
    offset += 1 + length;
  }
  if (isKeyUpdate) {
    const x = value[offset] ?? fail(offset, 'x missing');
    if (x >= 0x80) fail(offset, 'reserved bit of x');
    fields.keyUpdate = parseX(x, take(value, offset + 1, (x & 15) + 1));
    offset += 2 + (x & 15);
  }
  if ((flags & flagBits.kid) !== 0) fields.kid = value.subarray(offset);
  else if (offset !== value.length) fail(offset, 'trailing bytes');
  return fields;
}

/** The byte before the nonce in a KUDOS message: 0 z b p m m m m. */
export function encodeX(field: KeyUpdateField): number {
  const { length } = field.nonce;
  if (length < 1 || length > 16) throw new TypeError('a KUDOS nonce has 1 to 16 bytes');
  return (
    (field.convergent ? xBits.convergent : 0) |
    (field.preserveObservations ? xBits.preserveObservations : 0) |
    (field.noForwardSecrecy ? xBits.noForwardSecrecy : 0) |
    (length - 1)
  );
}

/** The inverse of `encodeX`, whose length bits the nonce says again. */
export function parseX(x: number, nonce: Uint8Array): KeyUpdateField {
  return {
    convergent: (x & xBits.convergent) !== 0,
    preserveObservations: (x & xBits.preserveObservations) !== 0,
    noForwardSecrecy: (x & xBits.noForwardSecrecy) !== 0,
    nonce,
  };
}

/** Partial IV of a sequence number: the shortest form, zero as one byte (RFC 8613 §5). */
export function encodePartialIv(sequenceNumber: number): Uint8Array {
  let length = 1;
  for (let rest = sequenceNumber; rest >= 256; rest = Math.floor(rest / 256)) length += 1;
  const bytes = new Uint8Array(length);
  let rest = sequenceNumber;
  for (let index = length - 1; index >= 0; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

export function decodePartialIv(partialIv: Uint8Array): number {
  let value = 0;
  for (const byte of partialIv) value = value * 256 + byte;
  return value;
}

const flagBits = { extension: 0x80, reserved: 0x60, kidContext: 0x10, kid: 0x08 } as const;
const xBits = { convergent: 0x40, preserveObservations: 0x20, noForwardSecrecy: 0x10 } as const;
/** Least bit of the second flag byte: `x` and `nonce` follow. */
const nonceFlag = 0x01;

function shortForm(
  flags: number,
  partialIv: Uint8Array = empty,
  kid: Uint8Array = empty,
): Uint8Array {
  const value = new Uint8Array(1 + partialIv.length + kid.length);
  value[0] = flags;
  value.set(partialIv, 1);
  value.set(kid, 1 + partialIv.length);
  return value;
}

function take(value: Uint8Array, offset: number, length: number): Uint8Array {
  if (offset + length > value.length) fail(value.length, 'option value ends early');
  return value.subarray(offset, offset + length);
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('oscore', offset, problem);
}
