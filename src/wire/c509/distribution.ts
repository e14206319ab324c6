/** Extensions that say where things are published (§3.3): CRL distribution points and information access. */
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import * as x509 from '../x509/extensions.ts';
import { encodeGeneralName, readGeneralName } from '../x509/generalNames.ts';
import type { Name } from '../x509/model.ts';
import { unsupported, type ValueCodec } from './extensionValues.ts';
import { readAscii } from './generalNames.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { readRegistered, registeredItem } from './oids.ts';
import { accessMethods } from './registries.ts';

/** Only URIs; one point with one URI and nothing else stands as text. */
export const distributionPoints: ValueCodec = {
  encode: (value, type) => {
    const points = readDer(value, (reader) => reader.sequenceOf(readPoint));
    const [only] = points;
    if (points.length === 1 && only?.issuer === undefined && only?.uris.length === 1) {
      return cbor.text(only.uris[0] ?? '');
    }
    if (points.length === 0) throw unsupported('an empty list of distribution points');
    return cbor.array(...points.map((point) => encodePoint(point, type)));
  },
  decode: (reader, type) => {
    if (reader.peek() === 'text') return der.sequence(derPoint([readAscii(reader)]));
    const start = reader.offset;
    const count = reader.array();
    if (count === 0) reader.fail('an empty list of distribution points', start);
    return der.sequence(...Array.from({ length: count }, () => decodePoint(reader, type)));
  },
};

/** Pairs of method and URI, flat in one array. */
export const informationAccess: ValueCodec = {
  encode: (value) => {
    const pairs = x509.decodeAuthorityInfoAccess(value).flatMap(({ method, location }) => {
      if (location.kind !== 'uniformResourceIdentifier') throw unsupported('another kind of place');
      return [registeredItem(accessMethods, method), cbor.text(location.text)];
    });
    return cbor.array(...pairs);
  },
  decode: (reader) => {
    const start = reader.offset;
    const count = reader.array();
    if (count === 0 || count % 2 !== 0) reader.fail('methods with their URIs expected', start);
    const locations = Array.from({ length: count / 2 }, () => {
      const method = readRegistered(reader, accessMethods);
      const text = readAscii(reader);
      return { method, location: { kind: 'uniformResourceIdentifier', text } as const };
    });
    return x509.authorityInfoAccess(...locations).value;
  },
};

interface Point {
  readonly uris: readonly string[];
  readonly issuer: Name | undefined;
}

function readPoint(reader: DerReader): Point {
  return reader.sequence((point) => {
    const uris = point.constructed(contextConstructed(0), (field) =>
      field.sequenceOf(readUri, contextConstructed(0)),
    );
    // `reasons` comes next. Which of its bits is the first of an integer, the draft leaves open, so a
    // point with reasons goes the general way: that every reader understands.
    const issuers = point.optional(contextConstructed(2), (field) =>
      field.sequenceOf(readGeneralName, contextConstructed(2)),
    );
    if (uris.length === 0) throw unsupported('a distribution point without URI');
    if (issuers === undefined) return { uris, issuer: undefined };
    const [issuer] = issuers;
    if (issuers.length !== 1 || issuer?.kind !== 'directoryName') {
      throw unsupported('a CRL issuer that is not one name');
    }
    return { uris, issuer: issuer.name };
  });
}

function readUri(reader: DerReader): string {
  const name = readGeneralName(reader);
  if (name.kind !== 'uniformResourceIdentifier') throw unsupported('another kind of place');
  return name.text;
}

function encodePoint({ uris, issuer }: Point, type: C509Type): Uint8Array {
  const texts = uris.map(cbor.text);
  return cbor.array(
    texts.length === 1 ? cbor.sequence(...texts) : cbor.array(...texts),
    cbor.nullItem,
    issuer === undefined ? cbor.nullItem : encodeName(issuer, type),
  );
}

function decodePoint(reader: CborReader, type: C509Type): Uint8Array {
  const start = reader.offset;
  if (reader.array() !== 3) reader.fail('name, reasons and issuer expected', start);
  const uris = readUris(reader);
  const reasons = reader.takeNull() ? undefined : reader.unsigned(0x1ff);
  const issuer = reader.takeNull() ? undefined : readName(reader, type);
  return derPoint(uris, reasons, issuer);
}

function readUris(reader: CborReader): readonly string[] {
  if (reader.peek() === 'text') return [readAscii(reader)];
  const start = reader.offset;
  const count = reader.array();
  if (count < 2) reader.fail('two or more URIs expected', start);
  return Array.from({ length: count }, () => readAscii(reader));
}

function derPoint(uris: readonly string[], reasons?: number, issuer?: Uint8Array): Uint8Array {
  const names = uris.map((text) => encodeGeneralName({ kind: 'uniformResourceIdentifier', text }));
  const fields = [der.explicit(0, der.implicit(0, der.sequence(...names)))];
  if (reasons !== undefined) {
    // As in key usage, the first bit of the BIT STRING is the least significant one.
    const bits = [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((bit) => ((reasons >> bit) & 1) === 1);
    fields.push(der.implicit(1, der.namedBits(bits)));
  }
  if (issuer !== undefined) {
    fields.push(der.implicit(2, der.sequence(der.explicit(4, issuer))));
  }
  return der.sequence(...fields);
}
