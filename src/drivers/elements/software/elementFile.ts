/**
 * The file of one software element: a line of warning, a CBOR array, an HMAC over both. Everything but
 * the private keys is in clear, so that a person can see what it is; nothing in it can be altered
 * without the folder's key.
 *
 *     body = [1, uid: bstr, model: tstr, firmware: tstr, lifecycle: 0..2,
 *             keys:         {* slot: tstr => [publicKey: bstr .size 65, sealed: bstr]},
 *             certificates: {* slot: tstr => [+ der: bstr]},
 *             data:         {* slot: tstr => bstr}]
 */
import { concat, equal } from '../../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../../wire/bytes/malformed.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import { CborReader } from '../../../wire/cbor/reader.ts';
import { array, bytes, integer, map, text } from '../../../wire/cbor/writer.ts';
import {
  type CertificateSlot,
  certificateSlots,
  type DataSlot,
  dataSlots,
  type ElementLifecycle,
  type KeySlot,
  keySlots,
} from '../../../trust/ports/element.ts';

/** First line of every file that a software element writes. */
export const warningLine = '*** SOFTWARE ELEMENT - NOT FOR PRODUCTION ***\n';

export const limits = {
  uidBytes: 64,
  nameBytes: 64,
  sealedKeyBytes: 512,
  certificateBytes: 4096,
  certificatesPerSlot: 4,
  dataBytes: 16_384,
  fileBytes: 262_144,
} as const;

export const macBytes = 32;

/** Slots of the file: those of birth, and of the keys that the device makes later. */
export type StoredKeySlot = KeySlot | 'operational' | 'operational-next';

const storedKeySlots: readonly StoredKeySlot[] = [...keySlots, 'operational', 'operational-next'];

export interface StoredKey {
  /** Uncompressed point, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** Nonce, ciphertext and tag of the PKCS#8 private key. */
  readonly sealed: Uint8Array;
}

export interface ElementRecord {
  readonly uid: Uint8Array;
  readonly model: string;
  readonly firmware: string;
  readonly lifecycle: ElementLifecycle;
  readonly keys: ReadonlyMap<StoredKeySlot, StoredKey>;
  readonly certificates: ReadonlyMap<CertificateSlot, readonly Uint8Array[]>;
  readonly data: ReadonlyMap<DataSlot, Uint8Array>;
}

export interface ParsedElementFile {
  readonly record: ElementRecord;
  /** What the HMAC covers: everything in front of it. */
  readonly covered: Uint8Array;
  readonly mac: Uint8Array;
}

/** The bytes that the HMAC covers; the file is these and the HMAC. */
export function encodeElementRecord(record: ElementRecord): Uint8Array {
  const body = array(
    integer(formatVersion),
    bytes(record.uid),
    text(record.model),
    text(record.firmware),
    integer(lifecycles.indexOf(record.lifecycle)),
    slotMap(record.keys, ({ publicKey, sealed }) => array(bytes(publicKey), bytes(sealed))),
    slotMap(record.certificates, (chain) => array(...chain.map(bytes))),
    slotMap(record.data, bytes),
  );
  return concat(warning, body);
}

/** Throws a `MalformedError` or, for a later version of the format, an `UnsupportedError`. */
export function parseElementFile(file: Uint8Array): ParsedElementFile {
  if (file.length > limits.fileBytes) fail(limits.fileBytes, 'file too large');
  if (!equal(file.subarray(0, warning.length), warning)) fail(0, 'no software element file');
  const macStart = file.length - macBytes;
  if (macStart <= warning.length) fail(file.length, 'file ends early');
  const covered = file.subarray(0, macStart);
  const record = readRecord(new CborReader(covered, warning.length));
  return { record, covered, mac: file.subarray(macStart) };
}

const formatVersion = 1;
const warning = utf8(warningLine);
const lifecycles: readonly ElementLifecycle[] = ['blank', 'personalized', 'locked'];

function slotMap<Slot extends string, Value>(
  values: ReadonlyMap<Slot, Value>,
  encode: (value: Value) => Uint8Array,
): Uint8Array {
  return map(...[...values].map(([slot, value]) => [text(slot), encode(value)] as const));
}

function readRecord(reader: CborReader): ElementRecord {
  const start = reader.offset;
  const count = reader.array();
  const version = reader.unsigned();
  if (version !== formatVersion) {
    throw new UnsupportedError('software element', `version ${version} of the file`);
  }
  if (count !== 8) reader.fail('eight fields expected', start);
  const record: ElementRecord = {
    uid: readBytes(reader, 1, limits.uidBytes),
    model: readName(reader),
    firmware: readName(reader),
    lifecycle: lifecycles[reader.unsigned(2)] ?? 'blank',
    keys: readSlots(reader, storedKeySlots, readKey),
    certificates: readSlots(reader, certificateSlots, readChain),
    data: readSlots(reader, dataSlots, (data) => readBytes(data, 0, limits.dataBytes)),
  };
  reader.end();
  return record;
}

function readKey(reader: CborReader): StoredKey {
  const start = reader.offset;
  if (reader.array() !== 2) reader.fail('a key has two fields', start);
  return {
    publicKey: readBytes(reader, 65, 65),
    sealed: readBytes(reader, 1, limits.sealedKeyBytes),
  };
}

function readChain(reader: CborReader): readonly Uint8Array[] {
  const start = reader.offset;
  const count = reader.array();
  if (count < 1 || count > limits.certificatesPerSlot) {
    reader.fail(`1 to ${limits.certificatesPerSlot} certificates expected`, start);
  }
  return Array.from({ length: count }, () => readBytes(reader, 1, limits.certificateBytes));
}

function readSlots<Slot extends string, Value>(
  reader: CborReader,
  slots: readonly Slot[],
  readValue: (reader: CborReader) => Value,
): ReadonlyMap<Slot, Value> {
  const values = new Map<Slot, Value>();
  for (let count = reader.map(); count > 0; count--) {
    const start = reader.offset;
    const name = reader.text();
    const slot = slots.find((slot) => slot === name);
    if (slot === undefined) reader.fail('unknown slot', start);
    if (values.has(slot)) reader.fail('slot twice', start);
    values.set(slot, readValue(reader));
  }
  return values;
}

function readName(reader: CborReader): string {
  const start = reader.offset;
  const name = reader.text();
  if (name.length > limits.nameBytes) reader.fail('name too long', start);
  return name;
}

/** A copy: the record outlives the buffer of the file. */
function readBytes(reader: CborReader, minimum: number, maximum: number): Uint8Array {
  const start = reader.offset;
  const value = reader.bytes();
  if (value.length < minimum || value.length > maximum) {
    reader.fail(`${value.length} bytes where ${minimum} to ${maximum} are allowed`, start);
  }
  return value.slice();
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('software element', offset, problem);
}
