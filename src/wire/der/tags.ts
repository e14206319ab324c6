/** Identifier octets of DER (X.690 §8.1.2) that X.509 and its companions use. Constructed ones carry 0x20. */

export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n]` around primitive content: `[n] IMPLICIT` of a primitive type. */
export function contextPrimitive(number: number): number {
  return 0x80 | tagNumber(number);
}

/** `[n]` around elements: `[n] EXPLICIT`, or `[n] IMPLICIT` of a SEQUENCE or SET. */
export function contextConstructed(number: number): number {
  return 0xa0 | tagNumber(number);
}

function tagNumber(number: number): number {
  if (Number.isInteger(number) && number >= 0 && number <= 30) return number;
  throw new TypeError(`${number} is no tag number of the single octet form`);
}

const names: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [tags.boolean, 'BOOLEAN'],
  [tags.integer, 'INTEGER'],
  [tags.bitString, 'BIT STRING'],
  [tags.octetString, 'OCTET STRING'],
  [tags.null, 'NULL'],
  [tags.oid, 'OBJECT IDENTIFIER'],
  [tags.enumerated, 'ENUMERATED'],
  [tags.utf8String, 'UTF8String'],
  [tags.numericString, 'NumericString'],
  [tags.printableString, 'PrintableString'],
  [tags.teletexString, 'TeletexString'],
  [tags.ia5String, 'IA5String'],
  [tags.utcTime, 'UTCTime'],
  [tags.generalizedTime, 'GeneralizedTime'],
  [tags.visibleString, 'VisibleString'],
  [tags.universalString, 'UniversalString'],
  [tags.bmpString, 'BMPString'],
  [tags.sequence, 'SEQUENCE'],
  [tags.set, 'SET'],
]);

/** For error texts: `SEQUENCE`, `[0]`, `tag 0x4d`. */
export function tagName(tag: number): string {
  const name = names.get(tag);
  if (name !== undefined) return name;
  return tag >> 6 === 2 ? `[${tag & 31}]` : `tag 0x${tag.toString(16).padStart(2, '0')}`;
}
