/** Values of extensions that are small (§3.3): identifiers, bit lists, purposes, numbers. */
import { UnsupportedError } from '../bytes/malformed.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import * as x509 from '../x509/extensions.ts';
import { encodeGeneralName as derGeneralName, readGeneralName } from '../x509/generalNames.ts';
import { encodeGeneralName, readGeneralNames } from './generalNames.ts';
import type { C509Type } from './names.ts';
import { readRegistered, registeredItem } from './oids.ts';
import { readMagnitude } from './items.ts';
import { keyPurposeIds } from './registries.ts';

/** DER of an extension's value to CBOR and back. */
export interface ValueCodec {
  /** One CBOR item. Throws a `MalformedError` or `UnsupportedError` for a value that it does not cover. */
  readonly encode: (value: Uint8Array, type: C509Type) => Uint8Array;
  /** Throws a `MalformedError`. */
  readonly decode: (reader: CborReader, type: C509Type) => Uint8Array;
}

export const subjectKeyIdentifier: ValueCodec = {
  encode: (value) => cbor.bytes(x509.decodeSubjectKeyIdentifier(value)),
  decode: (reader) => x509.subjectKeyIdentifier(reader.bytes()).value,
};

/** More bits than any key usage has; what fits an integer without arithmetic of its own. */
const maximumBits = 31;

/** The first bit of the BIT STRING is the least significant of the integer. */
export const keyUsage: ValueCodec = {
  encode: (value) => {
    const positions = readDer(value, (reader) => reader.namedBits());
    if (positions.some((bit) => bit >= maximumBits)) throw unsupported('a key usage of many bits');
    return cbor.integer(positions.reduce((sum, bit) => sum + 2 ** bit, 0));
  },
  decode: (reader) => {
    const bits = reader.unsigned(2 ** maximumBits - 1);
    const positions = Array.from({ length: maximumBits }, (_, bit) => bit);
    return der.namedBits(positions.filter((bit) => ((bits >>> bit) & 1) === 1));
  },
};

/** -2: no CA. -1: CA without a path length. */
export const basicConstraints: ValueCodec = {
  encode: (value) => {
    const { ca, pathLength } = x509.decodeBasicConstraints(value);
    if (!ca && pathLength !== undefined) throw unsupported('a path length without CA');
    return cbor.integer(ca ? (pathLength ?? -1) : -2);
  },
  decode: (reader) => {
    const start = reader.offset;
    const number = reader.integer();
    if (number < -2) reader.fail('-2, -1 or a path length expected', start);
    if (number < 0) return x509.basicConstraints({ ca: number === -1 }).value;
    return x509.basicConstraints({ ca: true, pathLength: number }).value;
  },
};

/** A single purpose stands alone. */
export const extendedKeyUsage: ValueCodec = {
  encode: (value) => {
    const purposes = x509.decodeExtKeyUsage(value);
    const items = purposes.map((purpose) => registeredItem(keyPurposeIds, purpose));
    return items.length === 1 ? cbor.sequence(...items) : cbor.array(...items);
  },
  decode: (reader) => {
    const start = reader.offset;
    if (reader.peek() !== 'array') {
      return x509.extKeyUsage(readRegistered(reader, keyPurposeIds)).value;
    }
    const count = reader.array();
    if (count < 2) reader.fail('two or more purposes expected', start);
    const purposes = Array.from({ length: count }, () => readRegistered(reader, keyPurposeIds));
    return x509.extKeyUsage(...purposes).value;
  },
};

/** The key identifier alone, or with issuer and serial number. */
export const authorityKeyIdentifier: ValueCodec = {
  encode: (value, type) =>
    readDer(value, (reader) =>
      reader.sequence((content) => {
        const identifier = cbor.bytes(content.octetString(contextPrimitive(0)));
        if (content.atEnd) return identifier;
        const names = content.sequenceOf(readGeneralName, contextConstructed(1));
        const start = content.offset;
        const serialNumber = content.integer(contextPrimitive(2));
        if ((serialNumber[0] ?? 0) >= 0x80) content.fail('negative serial number', start);
        return cbor.array(
          identifier,
          cbor.array(...names.flatMap((name) => encodeGeneralName(name, type))),
          cbor.bytes(serialNumber[0] === 0 ? serialNumber.subarray(1) : serialNumber),
        );
      }),
    ),
  decode: (reader, type) => {
    const start = reader.offset;
    if (reader.peek() === 'bytes') return x509.authorityKeyIdentifier(reader.bytes()).value;
    if (reader.array() !== 3) reader.fail('identifier, issuer and serial number expected', start);
    const identifier = reader.bytes();
    const names = readGeneralNames(reader, reader.array(), type);
    return der.sequence(
      der.implicit(0, der.octetString(identifier)),
      der.implicit(1, der.sequence(...names.map(derGeneralName))),
      der.implicit(2, der.unsignedInteger(readMagnitude(reader))),
    );
  },
};

export const inhibitAnyPolicy: ValueCodec = {
  encode: (value) => cbor.integer(readDer(value, (reader) => reader.unsigned())),
  decode: (reader) => der.integer(reader.unsigned()),
};

/** Extensions that say all by being there. */
export const nullValue: ValueCodec = {
  encode: (value) => {
    readDer(value, (reader) => reader.null());
    return cbor.nullItem;
  },
  decode: (reader) => {
    if (!reader.takeNull()) reader.fail('null expected');
    return der.nullElement;
  },
};

/** RFC 7633 §4: numbers of TLS extensions. */
export const tlsFeatures: ValueCodec = {
  encode: (value) => {
    const features = readDer(value, (reader) => reader.sequenceOf((item) => item.unsigned()));
    return cbor.array(...features.map(cbor.integer));
  },
  decode: (reader) => {
    const features = Array.from({ length: reader.array() }, () => reader.unsigned());
    return der.sequence(...features.map(der.integer));
  },
};

export function unsupported(what: string): UnsupportedError {
  return new UnsupportedError('c509', what);
}
