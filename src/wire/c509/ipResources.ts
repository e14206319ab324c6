/**
 * Address blocks and numbers of autonomous systems (RFC 3779, RFC 8360; §3.3). Short addresses are
 * integers, each as its difference from the one before, which is why they need more than 53 bits.
 */
import { concat } from '../bytes/bytes.ts';
import { fromHex, toHex } from '../bytes/hex.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import { unsupported, type ValueCodec } from './extensionValues.ts';

/** Each value as unused bits‖octets of the BIT STRING. */
type Addresses = ReadonlyArray<readonly [prefixOrLeast: Uint8Array, most?: Uint8Array]>;

/** Longest unused bits‖octets that is written as an integer. */
const maximumIntegerBytes = 8;

export const ipAddressBlocks: ValueCodec = {
  encode: (value) => {
    const families = readDer(value, (reader) => reader.sequenceOf(encodeFamily));
    if (families.length === 0) throw unsupported('no address family');
    return cbor.array(...families.flat());
  },
  decode: (reader) => {
    const start = reader.offset;
    const count = reader.array();
    if (count === 0 || count % 3 !== 0) reader.fail('families of addresses expected', start);
    return der.sequence(...Array.from({ length: count / 3 }, () => decodeFamily(reader)));
  },
};

export const asIdentifiers: ValueCodec = {
  encode: (value) =>
    readDer(value, (reader) =>
      reader.sequence((content) =>
        // Routing domain identifiers would follow as [1].
        content.constructed(contextConstructed(0), (choice) => {
          if (!choice.isNext(tags.null)) return encodeAsNumbers(choice);
          choice.null();
          return cbor.nullItem;
        }),
      ),
    ),
  decode: (reader) =>
    der.sequence(der.explicit(0, reader.takeNull() ? der.nullElement : decodeAsNumbers(reader))),
};

function encodeFamily(reader: DerReader): Uint8Array[] {
  return reader.sequence((family) => {
    const [high = 0, low = 0, safi, ...more] = family.octetString();
    if (more.length > 0) throw unsupported('an address family of that length');
    const heads = [
      cbor.integer(high * 256 + low),
      safi === undefined ? cbor.nullItem : cbor.integer(safi),
    ];
    if (family.isNext(tags.null)) {
      family.null();
      return [...heads, cbor.nullItem];
    }
    const addresses = family.sequenceOf(readAddress);
    if (addresses.length === 0) throw unsupported('a family without addresses');
    return [...heads, encodeAddresses(addresses)];
  });
}

function readAddress(reader: DerReader): readonly [Uint8Array, Uint8Array?] {
  if (reader.isNext(tags.bitString)) return [reader.content(tags.bitString)];
  return reader.sequence((range) => [range.content(tags.bitString), range.content(tags.bitString)]);
}

function encodeAddresses(addresses: Addresses): Uint8Array {
  const short = addresses
    .flat()
    .every((address) => address === undefined || address.length <= maximumIntegerBytes);
  let previous = 0n;
  const item = (address: Uint8Array): Uint8Array => {
    if (!short) return cbor.bytes(address);
    const number = numberOf(address);
    const difference = number - previous;
    previous = number;
    return cbor.bigInteger(difference);
  };
  return cbor.array(
    ...addresses.map(([least, most]) =>
      most === undefined ? item(least) : cbor.array(item(least), item(most)),
    ),
  );
}

/** (unused bits + 1)‖octets, big-endian; the addition keeps the first octet from vanishing. */
function numberOf(address: Uint8Array): bigint {
  const [unusedBits = 0] = address;
  return BigInt(`0x${toHex(Uint8Array.of(unusedBits + 1))}${toHex(address.subarray(1))}`);
}

function decodeFamily(reader: CborReader): Uint8Array {
  const afi = reader.unsigned(0xffff);
  const safi = reader.takeNull() ? [] : [reader.unsigned(255)];
  const family = der.octetString(Uint8Array.of(afi >> 8, afi & 255, ...safi));
  return der.sequence(family, reader.takeNull() ? der.nullElement : decodeAddresses(reader));
}

function decodeAddresses(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const count = reader.array();
  if (count === 0) reader.fail('a family without addresses', start);
  let previous = 0n;
  const address = (): Uint8Array => {
    const at = reader.offset;
    if (reader.peek() === 'bytes') {
      const content = reader.bytes();
      if ((content[0] ?? 8) > 7) reader.fail('not an address', at);
      return der.element(tags.bitString, content);
    }
    previous += reader.bigInteger();
    return addressOf(previous) ?? reader.fail('not an address', at);
  };
  return der.sequence(
    ...Array.from({ length: count }, () => {
      if (reader.peek() !== 'array') return address();
      const at = reader.offset;
      if (reader.array() !== 2) reader.fail('least and greatest address expected', at);
      return der.sequence(address(), address());
    }),
  );
}

function addressOf(number: bigint): Uint8Array | undefined {
  if (number <= 0n || number >= 1n << 64n) return undefined;
  const digits = number.toString(16);
  const bytes = fromHex(digits.length % 2 === 0 ? digits : `0${digits}`);
  const [first = 0] = bytes;
  if (first > 8) return undefined;
  return der.element(tags.bitString, concat(Uint8Array.of(first - 1), bytes.subarray(1)));
}

function encodeAsNumbers(reader: DerReader): Uint8Array {
  let previous = 0;
  const item = (number: number): Uint8Array => {
    const difference = number - previous;
    // RFC 3779 §3.2.3.4 sorts them; a falling one has no unsigned difference.
    if (difference < 0) throw unsupported('numbers of autonomous systems out of order');
    previous = number;
    return cbor.integer(difference);
  };
  const items = reader.sequenceOf((entry) =>
    entry.isNext(tags.integer)
      ? item(entry.unsigned())
      : entry.sequence((range) => cbor.array(item(range.unsigned()), item(range.unsigned()))),
  );
  if (items.length === 0) throw unsupported('no number of an autonomous system');
  return cbor.array(...items);
}

function decodeAsNumbers(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const count = reader.array();
  if (count === 0) reader.fail('no number of an autonomous system', start);
  let previous = 0;
  const number = (): Uint8Array => {
    const at = reader.offset;
    previous += reader.unsigned();
    if (!Number.isSafeInteger(previous)) reader.fail('number too large', at);
    return der.integer(previous);
  };
  return der.sequence(
    ...Array.from({ length: count }, () => {
      if (reader.peek() !== 'array') return number();
      const at = reader.offset;
      if (reader.array() !== 2) reader.fail('least and greatest number expected', at);
      return der.sequence(number(), number());
    }),
  );
}
