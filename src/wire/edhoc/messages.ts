/** The messages and plaintexts of EDHOC as CBOR sequences (RFC 9528 §5, CDDL in Appendix C.2). Readers throw. */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type EadField, readEad } from './ead.ts';
import { encodeIdentifier, readIdentifier } from './identifiers.ts';
import { compactIdCred, readCompactIdCred } from './idCred.ts';

/** Our limits; the RFC has none. A chain by value fits (and needs RFC 9528 Appendix G beyond 8160 bytes). */
export const maximumMessageBytes = 65_535;
export const maximumSuites = 32;

export interface Message1 {
  readonly method: number;
  /** SUITES_I: the last one is selected, those before are preferred to it. Never empty. */
  readonly suites: readonly number[];
  readonly selectedSuite: number;
  readonly gX: Uint8Array;
  readonly cI: Uint8Array;
  readonly ead1: EadField;
}

export function encodeMessage1(message: {
  readonly method: number;
  readonly suites: readonly number[];
  readonly gX: Uint8Array;
  readonly cI: Uint8Array;
  readonly ead1: Uint8Array;
}): Uint8Array {
  return cbor.sequence(
    cbor.integer(message.method),
    encodeSuites(message.suites),
    cbor.bytes(message.gX),
    encodeIdentifier(message.cI),
    message.ead1,
  );
}

/** Lengths that depend on the suite are for whoever knows which suites it supports. */
export function parseMessage1(bytes: Uint8Array): Message1 {
  const reader = readerOf(bytes);
  const method = reader.integer();
  const start = reader.offset;
  const suites = readSuites(reader);
  const selectedSuite = suites.at(-1) ?? reader.fail('no cipher suite', start);
  const gX = reader.bytes();
  const cI = readIdentifier(reader);
  return { method, suites, selectedSuite, gX, cI, ead1: readEad(reader) };
}

/** message_2: one byte string, G_Y and then CIPHERTEXT_2. */
export function encodeMessage2(gY: Uint8Array, ciphertext2: Uint8Array): Uint8Array {
  return cbor.bytes(concat(gY, ciphertext2));
}

export function parseMessage2(
  bytes: Uint8Array,
  publicKeyBytes: number,
): { readonly gY: Uint8Array; readonly ciphertext2: Uint8Array } {
  const content = parseOneString(bytes);
  if (content.length <= publicKeyBytes) malformed(0, 'G_Y and CIPHERTEXT_2 expected');
  return {
    gY: content.subarray(0, publicKeyBytes),
    ciphertext2: content.subarray(publicKeyBytes),
  };
}

/** message_3 and message_4: one byte string, the ciphertext. */
export function encodeCiphertext(ciphertext: Uint8Array): Uint8Array {
  return cbor.bytes(ciphertext);
}

export function parseCiphertext(bytes: Uint8Array): Uint8Array {
  return parseOneString(bytes);
}

export interface Plaintext2 {
  readonly cR: Uint8Array;
  /** The whole header map, whichever form it had. */
  readonly idCredR: Uint8Array;
  readonly signatureOrMac2: Uint8Array;
  readonly ead2: EadField;
}

export function encodePlaintext2(fields: {
  readonly cR: Uint8Array;
  readonly idCredR: Uint8Array;
  readonly signatureOrMac2: Uint8Array;
  readonly ead2: Uint8Array;
}): Uint8Array {
  return cbor.sequence(
    encodeIdentifier(fields.cR),
    compactIdCred(fields.idCredR),
    cbor.bytes(fields.signatureOrMac2),
    fields.ead2,
  );
}

export function parsePlaintext2(bytes: Uint8Array): Plaintext2 {
  const reader = new CborReader(bytes);
  const cR = readIdentifier(reader);
  const idCredR = readCompactIdCred(reader);
  const signatureOrMac2 = reader.bytes();
  return { cR, idCredR, signatureOrMac2, ead2: readEad(reader) };
}

export interface Plaintext3 {
  readonly idCredI: Uint8Array;
  readonly signatureOrMac3: Uint8Array;
  readonly ead3: EadField;
}

export function encodePlaintext3(fields: {
  readonly idCredI: Uint8Array;
  readonly signatureOrMac3: Uint8Array;
  readonly ead3: Uint8Array;
}): Uint8Array {
  return cbor.sequence(
    compactIdCred(fields.idCredI),
    cbor.bytes(fields.signatureOrMac3),
    fields.ead3,
  );
}

export function parsePlaintext3(bytes: Uint8Array): Plaintext3 {
  const reader = new CborReader(bytes);
  const idCredI = readCompactIdCred(reader);
  const signatureOrMac3 = reader.bytes();
  return { idCredI, signatureOrMac3, ead3: readEad(reader) };
}

/** PLAINTEXT_4, and every other plaintext that is an EAD field alone. */
export function parseEadOnly(bytes: Uint8Array): EadField {
  return readEad(new CborReader(bytes));
}

/** RFC 9528 §5.2.1: a single suite is the integer itself, two or more are an array. */
export function encodeSuites(suites: readonly number[]): Uint8Array {
  const [only] = suites;
  if (only === undefined) throw new TypeError('no cipher suite');
  return suites.length === 1 ? cbor.integer(only) : cbor.array(...suites.map(cbor.integer));
}

export function readSuites(reader: CborReader): readonly number[] {
  if (reader.peek() !== 'array') return [reader.integer()];
  const start = reader.offset;
  const count = reader.array();
  if (count < 2) reader.fail('fewer than two suites', start);
  if (count > maximumSuites) reader.fail(`more than ${maximumSuites} suites`, start);
  return Array.from({ length: count }, () => reader.integer());
}

/** Whether the bytes start as an error message does, with an integer: message_2 to message_4 never do. */
export function startsWithInteger(bytes: Uint8Array): boolean {
  const [first] = bytes;
  return first !== undefined && first >> 5 <= 1;
}

function parseOneString(bytes: Uint8Array): Uint8Array {
  const reader = readerOf(bytes);
  const content = reader.bytes();
  reader.end();
  return content;
}

function readerOf(bytes: Uint8Array): CborReader {
  if (bytes.length > maximumMessageBytes) {
    malformed(maximumMessageBytes, `message longer than ${maximumMessageBytes} bytes`);
  }
  return new CborReader(bytes);
}

function malformed(offset: number, problem: string): never {
  throw new MalformedError('edhoc', offset, problem);
}
