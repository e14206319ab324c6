/**
 * The form in which states outlive the process: a CBOR array of version, kind and the values of the state.
 * It holds private values in clear and no protection of its own, so it goes through a sealing key before it
 * is written anywhere.
 */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';

export const stateKinds = {
  session: 0,
  awaitMessage2: 1,
  awaitMessage3: 2,
  awaitMessage4: 3,
  awaitApplication: 4,
  pskAwaitMessage2: 5,
  pskAwaitMessage3: 6,
} as const;

export type StateKind = (typeof stateKinds)[keyof typeof stateKinds];

/** Of the form, not of EDHOC. A reader of a later version has to read the earlier ones. */
const version = 1;

export function storeState(kind: StateKind, ...fields: readonly Uint8Array[]): Uint8Array {
  return cbor.array(cbor.integer(version), cbor.integer(kind), ...fields);
}

/** A reader at the first field. Throws a `MalformedError` on another kind, version or number of fields. */
export function openStored(bytes: Uint8Array, kind: StateKind, fieldCount: number): CborReader {
  const reader = new CborReader(bytes);
  if (reader.array() !== fieldCount + 2) reader.fail('not the members of this state', 0);
  if (reader.unsigned() !== version) reader.fail('a state of another version', 0);
  if (reader.unsigned() !== kind) reader.fail('a state of another kind', 0);
  return reader;
}

/** Which state the bytes hold; for stores that keep several kinds in one place. */
export function storedKind(bytes: Uint8Array): keyof typeof stateKinds {
  const reader = new CborReader(bytes);
  reader.array();
  if (reader.unsigned() !== version) reader.fail('a state of another version', 0);
  const start = reader.offset;
  const number = reader.unsigned();
  return kindNames[number] ?? reader.fail('a state of an unknown kind', start);
}

const kindNames: ReadonlyArray<keyof typeof stateKinds> = [
  'session',
  'awaitMessage2',
  'awaitMessage3',
  'awaitMessage4',
  'awaitApplication',
  'pskAwaitMessage2',
  'pskAwaitMessage3',
];
