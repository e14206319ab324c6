/** Attributes of certification requests (§4.3): extensions, a password, possession of another key. */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { fromUtf8 } from '../bytes/utf8.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import { readExtensions as readX509Extensions } from '../x509/certificate.ts';
import type { RequestAttribute } from '../x509/certificationRequest.ts';
import { encodeExtension } from '../x509/extensions.ts';
import type { Extension } from '../x509/model.ts';
import { readName as readX509Name } from '../x509/names.ts';
import { c509FromX509, x509FromC509 } from './convert.ts';
import { encodeExtensions, readExtensions } from './extensions.ts';
import { type C509Type, encodeName, readName } from './names.ts';
import { oidItem, readOid } from './oids.ts';
import { readMagnitude } from './items.ts';
import { magnitude, type PointDecompressor } from './publicKey.ts';
import { requestAttributes } from './registries.ts';

const extensionRequest = 0;
const challengePassword = 1;

/** Alternative 0, which here means PrintableString. */
const printableTag = 121;
const maximumAttributes = 16;

/** The two items of one attribute of a PKCS#10 request. */
export function encodeAttribute(
  { type: oid, values }: RequestAttribute,
  type: C509Type,
  decompress: PointDecompressor,
): [Uint8Array, Uint8Array] {
  const [value] = values;
  if (value === undefined || values.length > 1) {
    throw new UnsupportedError('c509', 'a request attribute without exactly one value');
  }
  const id = requestAttributes.valueOf.get(oid);
  const item = id === undefined ? undefined : encodeValue(id, value, type, decompress);
  if (id !== undefined && item !== undefined) return [cbor.integer(id), item];
  return [oidItem(oid), cbor.bytes(value)];
}

export function challengePasswordAttribute(password: string): [Uint8Array, Uint8Array] {
  return [cbor.integer(challengePassword), cbor.text(password)];
}

export function extensionRequestAttribute(
  extensions: readonly Extension[],
  type: C509Type,
): [Uint8Array, Uint8Array] {
  return [cbor.integer(extensionRequest), encodeExtensions(extensions, type)];
}

/** DER of Attribute each. */
export function readAttributes(
  reader: CborReader,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array[] {
  const start = reader.offset;
  const items = reader.array();
  if (items % 2 !== 0) reader.fail('an attribute without value', start);
  if (items > 2 * maximumAttributes)
    reader.fail(`more than ${maximumAttributes} attributes`, start);
  return Array.from({ length: items / 2 }, () => {
    if (reader.peek() === 'bytes') {
      const oid = readOid(reader);
      return attribute(
        oid,
        readDer(reader.bytes(), (value) => value.element()),
      );
    }
    const at = reader.offset;
    const id = reader.integer();
    const oid = requestAttributes.oidOf.get(id);
    if (oid === undefined) throw new UnsupportedError('c509', `request attribute ${id}`);
    return attribute(oid, readValue(reader, id, at, type, decompress));
  });
}

function attribute(oid: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(oid), der.setOf(value));
}

/** `undefined` for a value that goes the general way. */
function encodeValue(
  id: number,
  value: Uint8Array,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array | undefined {
  try {
    return readDer(value, (reader) => {
      if (id === extensionRequest) return encodeExtensions(readX509Extensions(reader), type);
      return id === challengePassword
        ? encodePassword(reader)
        : encodePossession(reader, type, decompress);
    });
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function readValue(
  reader: CborReader,
  id: number,
  start: number,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array {
  if (id === extensionRequest) {
    const extensions = readExtensions(reader, type);
    // Requesting no extension is having no such attribute (RFC 2985 §5.4.2).
    if (extensions.length === 0) reader.fail('a request for no extensions', start);
    return der.sequence(...extensions.map(encodeExtension));
  }
  if (id === challengePassword) return readPassword(reader, type);
  return readPossession(reader, type, decompress);
}

function encodePassword(reader: DerReader): Uint8Array {
  const { tag, content } = reader.any();
  const text = fromUtf8(content);
  if (text === undefined || (tag !== tags.utf8String && tag !== tags.printableString)) {
    throw new UnsupportedError('c509', 'a challenge password in another string type');
  }
  const item = cbor.text(text);
  return tag === tags.utf8String ? item : cbor.tag(printableTag, item);
}

function readPassword(reader: CborReader, type: C509Type): Uint8Array {
  const start = reader.offset;
  if (reader.peek() !== 'tag') return der.utf8String(reader.text());
  if (reader.tag() !== printableTag || type === 2) reader.fail('text expected', start);
  const text = reader.text();
  return der.isPrintable(text)
    ? der.printableString(text)
    : reader.fail('characters outside PrintableString', start);
}

/** RFC 9883 §3: issuer and serial number of the certificate of another key, and perhaps the certificate. */
function encodePossession(
  reader: DerReader,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array {
  return reader.sequence((statement) => {
    const [issuer, serialNumber] = statement.sequence(
      (signer) => [encodeName(readX509Name(signer), type), magnitude(signer)] as const,
    );
    const certificate = statement.atEnd ? undefined : statement.element();
    return cbor.array(
      issuer,
      cbor.bytes(serialNumber),
      certificate === undefined ? cbor.nullItem : cbor.bytes(c509FromX509(certificate, decompress)),
    );
  });
}

function readPossession(
  reader: CborReader,
  type: C509Type,
  decompress: PointDecompressor,
): Uint8Array {
  const start = reader.offset;
  if (reader.array() !== 3) reader.fail('issuer, serial number and certificate expected', start);
  const issuer = readName(reader, type);
  const serialNumber = der.unsignedInteger(readMagnitude(reader));
  const signer = der.sequence(issuer, serialNumber);
  if (reader.takeNull()) return der.sequence(signer);
  return der.sequence(signer, x509FromC509(reader.bytes(), decompress));
}
