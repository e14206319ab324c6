/** Extensions made of general names (§3.3): alternative names and name constraints. */
import { concat } from '../bytes/bytes.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import * as x509 from '../x509/extensions.ts';
import type { GeneralName } from '../x509/generalNames.ts';
import { unsupported, type ValueCodec } from './extensionValues.ts';
import { encodeGeneralName, readAscii, readGeneralNames } from './generalNames.ts';
import type { C509Type } from './names.ts';

/** A DNS name alone stands as text. */
export const alternativeName: ValueCodec = {
  encode: (value, type) => {
    const names = x509.decodeSubjectAltName(value);
    const [only] = names;
    if (names.length === 1 && only?.kind === 'dNSName') return cbor.text(only.text);
    return flat(names, type);
  },
  decode: (reader, type) => {
    if (reader.peek() === 'text') {
      return x509.subjectAltName([{ kind: 'dNSName', text: readAscii(reader) }]).value;
    }
    const start = reader.offset;
    const names = readGeneralNames(reader, reader.array(), type);
    if (names.length === 1 && names[0]?.kind === 'dNSName') {
      reader.fail('a DNS name alone is text', start);
    }
    return x509.subjectAltName(names).value;
  },
};

/** Addresses with the length of their prefix in one octet, instead of a mask as long as they are. */
export const nameConstraints: ValueCodec = {
  encode: (value, type) => {
    const { permitted, excluded } = x509.decodeNameConstraints(value);
    const subtrees = (names: readonly GeneralName[]): Uint8Array =>
      names.length === 0 ? cbor.nullItem : flat(names.map(withPrefix), type);
    return cbor.array(subtrees(permitted), subtrees(excluded));
  },
  decode: (reader, type) => {
    const start = reader.offset;
    if (reader.array() !== 2) reader.fail('permitted and excluded subtrees expected', start);
    const subtrees = (): readonly GeneralName[] => {
      if (reader.takeNull()) return [];
      return readGeneralNames(reader, reader.array(), type).map((name) => withMask(name, reader));
    };
    const permitted = subtrees();
    const excluded = subtrees();
    if (permitted.length + excluded.length === 0) reader.fail('empty name constraints', start);
    return x509.nameConstraints({ permitted, excluded }).value;
  },
};

function flat(names: readonly GeneralName[], type: C509Type): Uint8Array {
  return cbor.array(...names.flatMap((name) => encodeGeneralName(name, type)));
}

function withPrefix(name: GeneralName): GeneralName {
  if (name.kind !== 'iPAddress') return name;
  const width = name.address.length / 2;
  const mask = name.address.subarray(width);
  const prefix = prefixLength(mask);
  if ((width !== 4 && width !== 16) || prefix === undefined) {
    throw unsupported('a constraint that is no address block');
  }
  return {
    kind: 'iPAddress',
    address: concat(name.address.subarray(0, width), Uint8Array.of(prefix)),
  };
}

function withMask(name: GeneralName, reader: CborReader): GeneralName {
  if (name.kind !== 'iPAddress') return name;
  const width = name.address.length - 1;
  const prefix = name.address[width] ?? 0;
  if ((width !== 4 && width !== 16) || prefix > width * 8) {
    reader.fail('an address block has 5 or 17 octets');
  }
  const mask = Uint8Array.from({ length: width }, (_, octet) => {
    const bits = Math.min(8, Math.max(0, prefix - octet * 8));
    return (0xff00 >> bits) & 255;
  });
  return { kind: 'iPAddress', address: concat(name.address.subarray(0, width), mask) };
}

/** Ones and then zeros only; `undefined` for another mask. */
function prefixLength(mask: Uint8Array): number | undefined {
  const bits = Array.from(mask, (octet) => octet.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}
