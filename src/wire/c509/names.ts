/**
 * Distinguished names (§3.1.4): attributes as pairs in one array, text shortened where its form allows,
 * a lone common name without anything around it.
 */
import { concat } from '../bytes/bytes.ts';
import { parseHex, toHex } from '../bytes/hex.ts';
import { UnsupportedError } from '../bytes/malformed.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import type { Name, NameAttribute } from '../x509/model.ts';
import { oidItem, readOid } from './oids.ts';
import { rdnAttributes } from './registries.ts';

/** 2: signed as CBOR. 3: X.509 in another encoding, signed as DER. */
export type C509Type = 2 | 3;

const commonName = 1;
const macAddressTag = 48;
/** emailAddress and domainComponent have no other type in X.509. */
const alwaysIa5: ReadonlySet<number> = new Set([0, 22]);
/** serialNumber, countryName, dnQualifier: what X.509 has for them in a certificate signed as CBOR. */
const alwaysPrintable: ReadonlySet<number> = new Set([3, 4, 16]);

/** CBOR item of a name. Throws an `UnsupportedError` for what no C509 name can say. */
export function encodeName(name: Name, type: C509Type): Uint8Array {
  const pairs = name.rdns.map((attributes) => {
    const [attribute, ...others] = attributes;
    if (attribute === undefined || others.length > 0) {
      throw new UnsupportedError('c509', 'a name part with several attributes');
    }
    return encodeAttribute(attribute, type);
  });
  const [only] = pairs;
  if (pairs.length === 1 && only?.[0]?.[0] === commonName) return only[1];
  return cbor.array(...pairs.flat());
}

/** DER of Name. */
export function readName(reader: CborReader, type: C509Type): Uint8Array {
  if (reader.peek() !== 'array') {
    return der.sequence(readTextValue(reader, commonName, type));
  }
  const start = reader.offset;
  const count = reader.array();
  if (count % 2 !== 0) reader.fail('an attribute without value', start);
  const rdns: Uint8Array[] = [];
  for (let pair = 0; pair < count / 2; pair++) rdns.push(readAttribute(reader, type));
  return der.sequence(...rdns);
}

/** SpecialText: hexadecimal text as bytes, an EUI-64 as a tagged MAC address, else text. */
export function specialText(text: string): Uint8Array {
  if (text.length >= 2 && text.length % 2 === 0 && /^[0-9a-f]*$/.test(text)) {
    return cbor.bytes(parseHex(text) ?? utf8(text));
  }
  const address = eui64(text);
  return address === undefined ? cbor.text(text) : cbor.tag(macAddressTag, cbor.bytes(address));
}

/** The text that a SpecialText stands for. */
export function readText(reader: CborReader): string {
  const start = reader.offset;
  const major = reader.peek();
  if (major === 'text') return reader.text();
  if (major === 'bytes') {
    const bytes = reader.bytes();
    return bytes.length > 0 ? toHex(bytes) : reader.fail('empty byte string as text', start);
  }
  if (reader.tag() !== macAddressTag) reader.fail('tag 48 expected', start);
  const address = reader.bytes();
  if (address.length === 8) return eui64Text(address);
  if (address.length !== 6) return reader.fail('MAC address of 6 or 8 bytes expected', start);
  return eui64Text(concat(address.subarray(0, 3), fffe, address.subarray(3)));
}

const fffe = Uint8Array.of(0xff, 0xfe);

/** 8 bytes, or 6 where the middle is FF-FE; `undefined` for other text. */
function eui64(text: string): Uint8Array | undefined {
  if (!/^[0-9A-F]{2}(-[0-9A-F]{2}){7}$/.test(text)) return undefined;
  const address = parseHex(text.replaceAll('-', ''));
  if (address?.[3] !== 0xff || address[4] !== 0xfe) return address;
  return concat(address.subarray(0, 3), address.subarray(5));
}

function eui64Text(address: Uint8Array): string {
  return Array.from(address, (byte) => toHex(Uint8Array.of(byte)).toUpperCase()).join('-');
}

function encodeAttribute(attribute: NameAttribute, type: C509Type): [Uint8Array, Uint8Array] {
  const known = rdnAttributes.valueOf.get(attribute.type);
  const sign = known === undefined ? undefined : signOf(known, attribute.tag, type);
  const text = fromUtf8(attribute.value);
  if (known !== undefined && sign !== undefined && text !== undefined) {
    return [cbor.integer(sign * known), specialText(text)];
  }
  if (unreadableStrings.has(attribute.tag)) {
    throw new UnsupportedError('c509', 'a name in TeletexString, UniversalString or BMPString');
  }
  const value = der.element(attribute.tag, attribute.value);
  return [oidItem(attribute.type), cbor.bytes(value)];
}

/** §3.1.4: these have no C509 encoding. */
const unreadableStrings: ReadonlySet<number> = new Set([
  tags.teletexString,
  tags.universalString,
  tags.bmpString,
]);

/** The sign says which string type X.509 has; `undefined` when neither sign would. */
function signOf(attribute: number, tag: number, type: C509Type): 1 | -1 | undefined {
  if (alwaysIa5.has(attribute)) return tag === tags.ia5String ? 1 : undefined;
  if (tag === tags.utf8String) return 1;
  if (tag !== tags.printableString) return undefined;
  // A certificate signed as CBOR has no string types to keep.
  return type === 2 ? 1 : -1;
}

function readAttribute(reader: CborReader, type: C509Type): Uint8Array {
  const start = reader.offset;
  if (reader.peek() === 'bytes') {
    const oid = readOid(reader);
    return rdn(
      oid,
      readDer(reader.bytes(), (value) => value.element()),
    );
  }
  const value = reader.integer();
  if (value >= 0) return readTextValue(reader, value, type);
  const attribute = -value;
  const oid = rdnAttributes.oidOf.get(attribute);
  if (oid === undefined || type === 2 || alwaysIa5.has(attribute)) {
    return reader.fail(`attribute ${value} is not registered`, start);
  }
  return rdn(oid, der.element(tags.printableString, utf8(readText(reader))));
}

/** The value of a non-negative attribute, in the string type that X.509 has for it. */
function readTextValue(reader: CborReader, attribute: number, type: C509Type): Uint8Array {
  const start = reader.offset;
  const oid = rdnAttributes.oidOf.get(attribute);
  if (oid === undefined) return reader.fail(`attribute ${attribute} is not registered`, start);
  const text = readText(reader);
  const value = utf8(text);
  if (alwaysIa5.has(attribute)) {
    if (value.length !== text.length) reader.fail('characters outside IA5String', start);
    return rdn(oid, der.element(tags.ia5String, value));
  }
  if (type === 3 || !alwaysPrintable.has(attribute)) return rdn(oid, der.utf8String(text));
  if (!der.isPrintable(text)) reader.fail('characters outside PrintableString', start);
  return rdn(oid, der.element(tags.printableString, value));
}

function rdn(oid: string, value: Uint8Array): Uint8Array {
  return der.setOf(der.sequence(der.oid(oid), value));
}
