/**
 * Templates of certification requests (§4.4): what a server expects a request to say. A value that is
 * there is to be used, a list is to be chosen from, `undefined` is for the client to fill in.
 */
import { UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { AlgorithmIdentifier } from '../x509/model.ts';
import {
  encodeAlgorithm,
  publicKeyAlgorithms,
  readAlgorithm,
  signatureAlgorithms,
} from './algorithms.ts';
import { asArray } from './items.ts';
import { type C509Type, readText, specialText } from './names.ts';
import { oidItem, readOid, registeredItem } from './oids.ts';
import { extensionIds, rdnAttributes, type Registry } from './registries.ts';

export interface RequestTemplate {
  readonly requestTypes: readonly C509Type[] | undefined;
  readonly signatureAlgorithms: readonly AlgorithmIdentifier[] | undefined;
  readonly subject: readonly AttributeTemplate[] | undefined;
  readonly publicKeyAlgorithms: readonly AlgorithmIdentifier[] | undefined;
  readonly extensions: readonly ExtensionTemplate[] | undefined;
}

export interface AttributeTemplate {
  /** Dotted. */
  readonly oid: string;
  readonly minimum: number;
  /** Positive, not below `minimum`. */
  readonly maximum: number;
  /** Text of a registered attribute, DER of another; `undefined` for the client to fill in. */
  readonly value: string | Uint8Array | undefined;
}

export interface ExtensionTemplate {
  /** Dotted. */
  readonly oid: string;
  readonly optional: boolean;
  /**
   * Encoded CBOR item. Of a registered extension as in a certificate (`readExtensionValue`), but parts of
   * it may be `undefined` or empty, to be filled in; of another one a byte string with DER. `undefined`
   * for the client to fill in.
   */
  readonly value: Uint8Array | undefined;
}

const templateItems = 7;
const simpleTemplate = 0;
const undefinedSimple = 23;
/** Of every list in a template. */
const maximumEntries = 64;

export function encodeRequestTemplate(template: RequestTemplate): Uint8Array {
  return cbor.array(
    cbor.integer(simpleTemplate),
    choices(template.requestTypes, (type) => cbor.integer(type)),
    choices(template.signatureAlgorithms, (one) => encodeAlgorithm(signatureAlgorithms, one)),
    template.subject === undefined
      ? cbor.undefinedItem
      : cbor.array(...template.subject.flatMap(encodeAttribute)),
    choices(template.publicKeyAlgorithms, (one) => encodeAlgorithm(publicKeyAlgorithms, one)),
    cbor.undefinedItem,
    template.extensions === undefined
      ? cbor.undefinedItem
      : cbor.array(...template.extensions.flatMap(encodeExtension)),
  );
}

/** Throws a `MalformedError` with the offset of the first fault, an `UnsupportedError` for another type. */
export function parseRequestTemplate(input: Uint8Array): RequestTemplate {
  const reader = new CborReader(asArray(input, templateItems));
  reader.array();
  const type = reader.integer();
  if (type !== simpleTemplate) throw new UnsupportedError('c509', `request template type ${type}`);
  const template: RequestTemplate = {
    requestTypes: readChoices(reader, readRequestType),
    signatureAlgorithms: readChoices(reader, () => readAlgorithm(reader, signatureAlgorithms)),
    subject: readEntries(reader, 4, () => readAttribute(reader)),
    publicKeyAlgorithms: readChoices(reader, () => readAlgorithm(reader, publicKeyAlgorithms)),
    extensions: readKey(reader) ?? readEntries(reader, 3, () => readExtension(reader)),
  };
  reader.end();
  return template;
}

function choices<Value>(
  values: readonly Value[] | undefined,
  encode: (value: Value) => Uint8Array,
): Uint8Array {
  if (values?.length === 0) throw new TypeError('a choice of nothing');
  return values === undefined ? cbor.undefinedItem : cbor.array(...values.map(encode));
}

function encodeAttribute({ oid, minimum, maximum, value }: AttributeTemplate): Uint8Array[] {
  if (maximum < 1 || maximum < minimum) throw new TypeError('an attribute that may not occur');
  const heads = [registeredItem(rdnAttributes, oid), cbor.integer(minimum), cbor.integer(maximum)];
  if (value === undefined) return [...heads, cbor.undefinedItem];
  if (rdnAttributes.valueOf.has(oid) !== (typeof value === 'string')) {
    throw new TypeError('a registered attribute has text, another one DER');
  }
  return [...heads, typeof value === 'string' ? specialText(value) : cbor.bytes(value)];
}

function encodeExtension({ oid, optional, value }: ExtensionTemplate): Uint8Array[] {
  const id = extensionIds.valueOf.get(oid);
  return [
    id === undefined ? oidItem(oid) : cbor.integer(id),
    cbor.boolean(optional),
    value ?? cbor.undefinedItem,
  ];
}

function readRequestType(reader: CborReader): C509Type {
  const start = reader.offset;
  const type = reader.integer();
  return type === 2 || type === 3 ? type : reader.fail(`type ${type} is not known`, start);
}

function readChoices<Value>(
  reader: CborReader,
  read: (reader: CborReader) => Value,
): readonly Value[] | undefined {
  const start = reader.offset;
  const values = readEntries(reader, 1, () => read(reader));
  return values?.length === 0 ? reader.fail('a choice of nothing', start) : values;
}

/** Entries of so many items each; `undefined` for the simple value of that name. */
function readEntries<Value>(
  reader: CborReader,
  itemsEach: number,
  read: () => Value,
): readonly Value[] | undefined {
  if (takeUndefined(reader)) return undefined;
  const start = reader.offset;
  const count = reader.array();
  if (count % itemsEach !== 0) reader.fail('an entry is cut short', start);
  if (count > maximumEntries * itemsEach) reader.fail(`more than ${maximumEntries} entries`, start);
  return Array.from({ length: count / itemsEach }, read);
}

/** §4.4: subjectPublicKey is always for the client to fill in. */
function readKey(reader: CborReader): undefined {
  if (!takeUndefined(reader)) reader.fail('a public key in a template');
  return undefined;
}

function readAttribute(reader: CborReader): AttributeTemplate {
  const start = reader.offset;
  const registered = reader.peek() !== 'bytes';
  const oid = registered ? readUnsignedId(reader, rdnAttributes) : readOid(reader);
  const minimum = reader.unsigned();
  const maximum = reader.unsigned();
  if (maximum < 1 || maximum < minimum) reader.fail('an attribute that may not occur', start);
  if (takeUndefined(reader)) return { oid, minimum, maximum, value: undefined };
  const value = registered ? readText(reader) : reader.bytes();
  return { oid, minimum, maximum, value };
}

function readExtension(reader: CborReader): ExtensionTemplate {
  const registered = reader.peek() !== 'bytes';
  const oid = registered ? readUnsignedId(reader, extensionIds) : readOid(reader);
  const optional = reader.boolean();
  if (takeUndefined(reader)) return { oid, optional, value: undefined };
  const start = reader.offset;
  const value = reader.item();
  if (!registered && new CborReader(value).peek() !== 'bytes') reader.fail('DER expected', start);
  return { oid, optional, value };
}

/** §4.4: nothing is critical here, and no string type is chosen. */
function readUnsignedId(reader: CborReader, registry: Registry): string {
  const start = reader.offset;
  const id = reader.unsigned();
  return registry.oidOf.get(id) ?? reader.fail(`${id} is not registered`, start);
}

function takeUndefined(reader: CborReader): boolean {
  if (reader.peek() !== 'simple') return false;
  const start = reader.offset;
  return reader.simple() === undefinedSimple || reader.fail('undefined expected', start);
}
