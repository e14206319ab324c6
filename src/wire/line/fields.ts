/** Bounds and field readers that every message between station and authority shares. */
import { CborReader } from '../cbor/reader.ts';

/** First member of every signed payload: a signature over one kind never passes for another. */
export const messageTypes = {
  ticket: 1,
  openRequest: 2,
  openAnswer: 3,
  endorseRequest: 4,
  endorseAnswer: 5,
  report: 6,
  reportAnswer: 7,
  closeRequest: 8,
  closeAnswer: 9,
  refusal: 10,
} as const;

export type MessageType = keyof typeof messageTypes;

/** Bytes unless the name says otherwise. */
export const lineLimits = {
  unitsPerRequest: 100,
  message: 1_048_576,
  ticket: 1024,
  uid: 64,
  csr: 2048,
  evidence: 4096,
  certificate: 4096,
  certificatesInList: 8,
  serverIdentity: 1024,
  nameCharacters: 64,
  codeCharacters: 40,
  reasonCharacters: 400,
} as const;

/** Tells an answer from a refusal in its place; throws a `MalformedError` for anything else. */
export function messageTypeOf(payload: Uint8Array): MessageType {
  const reader = new CborReader(payload);
  reader.array();
  const start = reader.offset;
  return typeNames[reader.unsigned()] ?? reader.fail('unknown message type', start);
}

/** Head of a message: an array of exactly `members` whose first is the type. */
export function readHead(reader: CborReader, type: MessageType, members: number): void {
  const start = reader.offset;
  if (reader.array() !== members) reader.fail(`${type} has ${members} members`, start);
  const typeOffset = reader.offset;
  if (reader.unsigned() !== messageTypes[type]) reader.fail(`not a ${type}`, typeOffset);
}

export function readArrayOf(reader: CborReader, members: number, what: string): void {
  const start = reader.offset;
  if (reader.array() !== members) reader.fail(`${what} has ${members} members`, start);
}

/** A copy, so that a stored field does not keep the whole message alive. */
export function readBytes(
  reader: CborReader,
  what: string,
  minimum: number,
  maximum: number,
): Uint8Array {
  const start = reader.offset;
  const value = reader.bytes();
  if (value.length < minimum || value.length > maximum) {
    reader.fail(`${what} has ${minimum} to ${maximum} bytes`, start);
  }
  return value.slice();
}

/** Names and codes: visible ASCII without space, so that they can stand in logs and file names. */
export function readName(reader: CborReader, what: string, maximum: number): string {
  const start = reader.offset;
  const value = reader.text();
  if (!isName(value, maximum)) {
    reader.fail(`${what} has 1 to ${maximum} letters, digits, dots, dashes or underscores`, start);
  }
  return value;
}

export function isName(value: string, maximum = 64): boolean {
  return value.length <= maximum && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value);
}

/** Free text of a chip or a person on one line; control characters could rewrite a terminal or a log line. */
export function readLine(
  reader: CborReader,
  what: string,
  maximum: number = lineLimits.reasonCharacters,
): string {
  const start = reader.offset;
  const value = reader.text();
  if (value.length > maximum || /[\p{Cc}\u2028\u2029]/u.test(value)) {
    reader.fail(`${what} has at most ${maximum} printable characters`, start);
  }
  return value;
}

/** Uncompressed P-256 point (SEC 1 §2.3.3). Whether it lies on the curve is judged where it is used. */
export function readPoint(reader: CborReader, what: string): Uint8Array {
  const start = reader.offset;
  const point = readBytes(reader, what, 65, 65);
  if (point[0] !== 4) reader.fail(`${what} is an uncompressed point`, start);
  return point;
}

export function readList<Item>(
  reader: CborReader,
  what: string,
  minimum: number,
  maximum: number,
  readItem: () => Item,
): Item[] {
  const start = reader.offset;
  const count = reader.array();
  if (count < minimum || count > maximum) {
    reader.fail(`${what} has ${minimum} to ${maximum} entries`, start);
  }
  return Array.from({ length: count }, readItem);
}

export function readCertificates(reader: CborReader, what: string): Uint8Array[] {
  return readList(reader, what, 1, lineLimits.certificatesInList, () =>
    readBytes(reader, what, 1, lineLimits.certificate),
  );
}

const typeNames: ReadonlyArray<MessageType | undefined> = [
  undefined,
  'ticket',
  'openRequest',
  'openAnswer',
  'endorseRequest',
  'endorseAnswer',
  'report',
  'reportAnswer',
  'closeRequest',
  'closeAnswer',
  'refusal',
];
