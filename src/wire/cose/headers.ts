/** COSE header maps (RFC 9052 §3): labels, a writer and a strict reader. What they mean is policy of others. */
import { empty } from '../bytes/bytes.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import * as headerLabels from './headerLabels.ts';

export { headerLabels };

/** A label is an integer or a text (RFC 9052 §1.5). */
export type Label = number | string;

export interface Headers {
  /** Number of the COSE Algorithms registry. */
  readonly algorithm?: number;
  readonly kid?: Uint8Array;
  /** CoAP content format or media type. */
  readonly contentType?: number | string;
  /** Labels that the receiver has to understand. */
  readonly critical: readonly Label[];
  /** Every entry, those above included: the value as an encoded item. */
  readonly items: ReadonlyMap<Label, Uint8Array>;
}

export interface HeaderFields {
  readonly algorithm?: number;
  readonly kid?: Uint8Array;
  readonly contentType?: number | string;
  readonly critical?: readonly Label[];
  /** Further entries; values are encoded items. */
  readonly others?: ReadonlyArray<readonly [Label, Uint8Array]>;
}

/** The encoded map. */
export function encodeHeaders(fields: HeaderFields): Uint8Array {
  const entries: Array<readonly [Label, Uint8Array]> = [...(fields.others ?? [])];
  const { algorithm, kid, contentType, critical } = fields;
  if (algorithm !== undefined) entries.push([headerLabels.algorithm, cbor.integer(algorithm)]);
  if (critical !== undefined) {
    entries.push([headerLabels.critical, cbor.array(...critical.map(encodeLabel))]);
  }
  if (contentType !== undefined) {
    entries.push([headerLabels.contentType, encodeLabel(contentType)]);
  }
  if (kid !== undefined) entries.push([headerLabels.kid, cbor.bytes(kid)]);
  if (new Set(entries.map(([label]) => label)).size !== entries.length) {
    throw new TypeError('a header label is given twice');
  }
  return cbor.map(...entries.map(([label, item]) => [encodeLabel(label), item] as const));
}

/**
 * The content of the `protected` byte string. RFC 9052 §3: an empty map is written as no bytes at all,
 * and §4.4 puts no bytes into the Sig_structure whichever of the two forms was received.
 */
export function encodeProtected(fields: HeaderFields): Uint8Array {
  return canonicalProtected(encodeHeaders(fields));
}

export function canonicalProtected(bytes: Uint8Array): Uint8Array {
  return bytes.length === 1 && bytes[0] === 0xa0 ? empty : bytes;
}

/** Reads one map from where the reader stands. Refuses a label given twice (RFC 9052 §3). */
export function readHeaders(reader: CborReader): Headers {
  const fields: { -readonly [Key in keyof Headers]: Headers[Key] } = {
    critical: [],
    items: new Map(),
  };
  fields.items = readLabelled(reader, (label) => {
    switch (label) {
      case headerLabels.algorithm:
        if (reader.peek() === 'text') throw new UnsupportedError('cose', 'an algorithm by name');
        fields.algorithm = reader.integer();
        return;
      case headerLabels.critical:
        fields.critical = readCritical(reader);
        return;
      case headerLabels.contentType:
        fields.contentType = reader.peek() === 'text' ? reader.text() : reader.unsigned(0xffff);
        return;
      case headerLabels.kid:
        fields.kid = reader.bytes();
        return;
      default:
        reader.skip();
    }
  });
  return fields;
}

/** The content of a `protected` byte string; errors count from its own start. */
export function parseProtected(bytes: Uint8Array): Headers {
  if (bytes.length === 0) return { critical: [], items: new Map() };
  const reader = new CborReader(bytes);
  const headers = readHeaders(reader);
  reader.end();
  // RFC 9052 §3.1: a label named in `crit` that is not in the same map makes the message invalid.
  if (!headers.critical.every((label) => headers.items.has(label))) {
    reader.fail('crit names a label that is not protected', 0);
  }
  return headers;
}

/**
 * RFC 9052 §3.1: a critical label that is not understood is a fatal error. Labels 0 to 7 are understood
 * by everybody.
 */
export function refuseUnknownCritical(headers: Headers, understood: readonly Label[]): void {
  for (const label of headers.critical) {
    const common = typeof label === 'number' && label >= 0 && label <= 7;
    if (!common && !understood.includes(label)) {
      throw new UnsupportedError('cose', `critical header ${label}`);
    }
  }
}

/**
 * Reads a map with integer or text labels: `readValue` is called with the reader at the value and has to
 * read exactly that item. Returns the values as they were encoded.
 */
export function readLabelled(
  reader: CborReader,
  readValue: (label: Label) => void,
): Map<Label, Uint8Array> {
  const items = new Map<Label, Uint8Array>();
  for (let count = reader.map(); count > 0; count--) {
    const start = reader.offset;
    const label = readLabel(reader);
    if (items.has(label)) reader.fail('label given twice', start);
    const valueStart = reader.offset;
    readValue(label);
    items.set(label, reader.since(valueStart));
  }
  return items;
}

export function encodeLabel(label: Label): Uint8Array {
  return typeof label === 'number' ? cbor.integer(label) : cbor.text(label);
}

function readLabel(reader: CborReader): Label {
  return reader.peek() === 'text' ? reader.text() : reader.integer();
}

function readCritical(reader: CborReader): readonly Label[] {
  const start = reader.offset;
  const count = reader.array();
  if (count === 0) reader.fail('crit is empty', start);
  return Array.from({ length: count }, () => readLabel(reader));
}
