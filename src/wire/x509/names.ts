/** Distinguished names: read, written, compared (RFC 5280 §7.1) and shown (RFC 4514). */
import { equal } from '../bytes/bytes.ts';
import { toHex } from '../bytes/hex.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import type { Name, NameAttribute } from './model.ts';

export const attributeTypes = {
  commonName: '2.5.4.3',
  surname: '2.5.4.4',
  /** X520SerialNumber: the device's identifier in IEEE 802.1AR, not the certificate's serial number. */
  serialNumber: '2.5.4.5',
  countryName: '2.5.4.6',
  localityName: '2.5.4.7',
  stateOrProvinceName: '2.5.4.8',
  streetAddress: '2.5.4.9',
  organizationName: '2.5.4.10',
  organizationalUnitName: '2.5.4.11',
  title: '2.5.4.12',
  domainComponent: '0.9.2342.19200300.100.1.25',
  userId: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
  /** Matter Core Specification §6.1.1: four upper-case hexadecimal digits each. */
  matterVendorId: '1.3.6.1.4.1.37244.2.1',
  matterProductId: '1.3.6.1.4.1.37244.2.2',
} as const;

export type AttributeTypeName = keyof typeof attributeTypes;

/** One part of a name to write: `['commonName', 'Root']`, or a dotted type for any other. */
export type NamePart = readonly [type: AttributeTypeName | `${number}.${string}`, text: string];

/** Real names have a dozen parts of one attribute each; more would only cost time to compare. */
const maximumRdns = 32;
const maximumAttributes = 8;

export function readName(reader: DerReader): Name {
  const { value: rdns, der: encoding } = reader.recorded((content) =>
    content.sequenceOf((name) => {
      const start = name.offset;
      const attributes = name.setOf(readAttribute);
      if (attributes.length === 0) name.fail('empty RelativeDistinguishedName', start);
      if (attributes.length > maximumAttributes) name.fail('too many attributes', start);
      return attributes;
    }),
  );
  if (rdns.length > maximumRdns) reader.fail('too many RelativeDistinguishedNames');
  return { der: encoding, rdns };
}

export function parseName(encoding: Uint8Array): Name {
  return readDer(encoding, readName);
}

/** A name of one attribute per RDN, most significant first. */
export function name(...parts: readonly NamePart[]): Name {
  return parseName(encodeName(...parts));
}

/** DER of such a name. */
export function encodeName(...parts: readonly NamePart[]): Uint8Array {
  return der.sequence(...parts.map(encodeRdn));
}

/** The subject of a device certificate after IEEE 802.1AR: who stands behind it, and its serial number. */
export function encodeDeviceName(organization: string, serialNumber: string): Uint8Array {
  return encodeName(['organizationName', organization], ['serialNumber', serialNumber]);
}

/** Text of the first attribute of that type; `undefined` when there is none or it is no text. */
export function attributeText(name: Name, type: AttributeTypeName): string | undefined {
  const wanted = attributeTypes[type];
  for (const rdn of name.rdns) {
    for (const attribute of rdn) if (attribute.type === wanted) return valueText(attribute);
  }
  return undefined;
}

export function isEmptyName(name: Name): boolean {
  return name.rdns.length === 0;
}

/**
 * RFC 5280 §7.1: the same types in the same order, texts compared without case and with runs of white
 * space as one blank. A match means nothing by itself: only the signature binds a certificate to its issuer.
 */
export function sameName(left: Name, right: Name): boolean {
  if (equal(left.der, right.der)) return true;
  return startsWithName(left, right) && left.rdns.length === right.rdns.length;
}

/** Whether the first RDNs of `name` are those of `prefix`: being in a subtree (RFC 5280 §4.2.1.10). */
export function startsWithName(name: Name, prefix: Name): boolean {
  return prefix.rdns.every((rdn, index) => {
    const other = name.rdns[index];
    return (
      other !== undefined &&
      other.length === rdn.length &&
      // Attributes of one RDN have no order that matters.
      rdn.every((attribute) => other.some((candidate) => sameAttribute(attribute, candidate)))
    );
  });
}

/** RFC 4514: least significant part first, special characters escaped, unreadable values as `#hex`. */
export function printName(name: Name): string {
  return name.rdns
    .map((rdn) => rdn.map(printAttribute).join('+'))
    .reverse()
    .join(',');
}

/** Text of an attribute value; `undefined` for a type that is no string or octets that are not of its alphabet. */
export function valueText(attribute: NameAttribute): string | undefined {
  switch (attribute.tag) {
    case tags.utf8String:
      return fromUtf8(attribute.value);
    case tags.bmpString:
      return ucs2Text(attribute.value);
    case tags.printableString:
    case tags.ia5String:
    case tags.numericString:
    case tags.visibleString:
      // Foreign certificates put `&`, `@` and `_` into PrintableString: shown, and nothing more.
      return attribute.value.every((octet) => octet < 0x80) ? fromUtf8(attribute.value) : undefined;
    default:
      return undefined;
  }
}

function readAttribute(reader: DerReader): NameAttribute {
  return reader.sequence((content) => {
    const type = content.oid();
    const { tag, content: value } = content.any();
    return { type, tag, value };
  });
}

function encodeRdn([type, text]: NamePart): Uint8Array {
  return der.setOf(der.sequence(der.oid(dottedType(type)), encodeValue(type, text)));
}

function dottedType(type: NamePart[0]): string {
  return isTypeName(type) ? attributeTypes[type] : type;
}

function isTypeName(type: string): type is AttributeTypeName {
  return Object.hasOwn(attributeTypes, type);
}

/** RFC 5280 Appendix A.1 gives some attributes one string type only; the others are UTF8String. */
function encodeValue(type: NamePart[0], text: string): Uint8Array {
  if (type === 'serialNumber' || type === 'countryName') return der.printableString(text);
  if (type === 'domainComponent' || type === 'emailAddress') return der.ia5String(text);
  return der.utf8String(text);
}

function sameAttribute(left: NameAttribute, right: NameAttribute): boolean {
  if (left.type !== right.type) return false;
  if (left.tag === right.tag && equal(left.value, right.value)) return true;
  const [leftText, rightText] = [valueText(left), valueText(right)];
  if (leftText === undefined || rightText === undefined) return false;
  return folded(leftText) === folded(rightText);
}

function folded(text: string): string {
  return text.normalize('NFKC').toLowerCase().replaceAll(/\s+/g, ' ').trim();
}

const shortNames: ReadonlyMap<string, string> = new Map([
  [attributeTypes.commonName, 'CN'],
  [attributeTypes.localityName, 'L'],
  [attributeTypes.stateOrProvinceName, 'ST'],
  [attributeTypes.organizationName, 'O'],
  [attributeTypes.organizationalUnitName, 'OU'],
  [attributeTypes.countryName, 'C'],
  [attributeTypes.streetAddress, 'STREET'],
  [attributeTypes.domainComponent, 'DC'],
  [attributeTypes.userId, 'UID'],
  // Not in RFC 4514 §3's table, but everyone's word for the attribute that names a device.
  [attributeTypes.serialNumber, 'serialNumber'],
]);

function printAttribute(attribute: NameAttribute): string {
  const type = shortNames.get(attribute.type) ?? attribute.type;
  const text = valueText(attribute);
  if (text !== undefined) return `${type}=${escaped(text)}`;
  return `${type}=#${toHex(der.element(attribute.tag, attribute.value))}`;
}

/** RFC 4514 §2.4; control characters too, since the text ends up on terminals and in logs. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\\"+,;<>]/g, String.raw`\$&`)
    .replace(/^[ #]/, String.raw`\$&`)
    .replace(/ $/, String.raw`\ `)
    .replaceAll(/\p{Cc}/gu, (control) => toHex(utf8(control)).replaceAll(/../g, String.raw`\$&`));
}

function ucs2Text(octets: Uint8Array): string | undefined {
  if (octets.length % 2 !== 0) return undefined;
  let text = '';
  for (let index = 0; index < octets.length; index += 2) {
    const unit = ((octets[index] ?? 0) << 8) | (octets[index + 1] ?? 0);
    // BMPString holds code points of the basic plane, never halves of others.
    if (unit >= 0xd800 && unit <= 0xdfff) return undefined;
    text += String.fromCharCode(unit);
  }
  return text;
}
