/**
 * Extensions (§3.1.10, §3.3): pairs in one array, criticality as the sign of a registered integer; key
 * usage alone as nothing but an integer. A value without an encoding of its own keeps its DER behind the
 * object identifier.
 */
import { equal } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { Extension } from '../x509/model.ts';
import { alternativeName, nameConstraints } from './alternativeNames.ts';
import { informationAccess, distributionPoints } from './distribution.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  extendedKeyUsage,
  inhibitAnyPolicy,
  keyUsage,
  nullValue,
  subjectKeyIdentifier,
  tlsFeatures,
  type ValueCodec,
} from './extensionValues.ts';
import { asIdentifiers, ipAddressBlocks } from './ipResources.ts';
import type { C509Type } from './names.ts';
import { oidItem, readOid } from './oids.ts';
import { certificatePolicies, policyConstraints, policyMappings } from './policies.ts';
import { extensionIds } from './registries.ts';

const codecs: ReadonlyMap<number, ValueCodec> = new Map([
  [1, subjectKeyIdentifier],
  [2, keyUsage],
  [3, alternativeName],
  [4, basicConstraints],
  [5, distributionPoints],
  [6, certificatePolicies],
  [7, authorityKeyIdentifier],
  [8, extendedKeyUsage],
  [9, informationAccess],
  [25, alternativeName],
  [26, nameConstraints],
  [27, policyMappings],
  [28, policyConstraints],
  [29, distributionPoints],
  [30, inhibitAnyPolicy],
  [31, informationAccess],
  [32, ipAddressBlocks],
  [33, asIdentifiers],
  [34, ipAddressBlocks],
  [35, asIdentifiers],
  [36, nullValue],
  [37, nullValue],
  [38, tlsFeatures],
]);

const keyUsageId = 2;
/** Of all extensions together; a certificate of RPKI may have thousands of addresses in one of them. */
const maximumExtensions = 64;

/** CBOR item of the field; the list may be empty. */
export function encodeExtensions(extensions: readonly Extension[], type: C509Type): Uint8Array {
  const [only] = extensions;
  if (only !== undefined && extensions.length === 1) {
    const bits = keyUsageBits(only, type);
    if (bits !== undefined) return cbor.integer(only.critical ? -bits : bits);
  }
  return cbor.array(...extensions.flatMap((extension) => encodeExtension(extension, type)));
}

/** The two items of one extension. */
export function encodeExtension(
  { oid, critical, value }: Extension,
  type: C509Type,
): [id: Uint8Array, value: Uint8Array] {
  const id = extensionIds.valueOf.get(oid);
  const item = id === undefined ? undefined : specificValue(id, value, type);
  if (id !== undefined && item !== undefined) return [cbor.integer(critical ? -id : id), item];
  const bytes = cbor.bytes(value);
  return [oidItem(oid), critical ? cbor.array(bytes) : bytes];
}

export function readExtensions(reader: CborReader, type: C509Type): Extension[] {
  if (reader.peek() !== 'array') return [readLoneKeyUsage(reader, type)];
  const start = reader.offset;
  const items = reader.array();
  if (items % 2 !== 0) reader.fail('an extension without value', start);
  if (items > 2 * maximumExtensions)
    reader.fail(`more than ${maximumExtensions} extensions`, start);
  const registered = items > 0 && reader.peek() !== 'bytes';
  const extensions: Extension[] = [];
  for (let count = items / 2; count > 0; count--) {
    const at = reader.offset;
    const extension = readExtension(reader, type);
    // RFC 5280 §4.2: not more than one instance of an extension.
    if (extensions.some(({ oid }) => oid === extension.oid)) {
      reader.fail(`extension ${extension.oid} occurs twice`, at);
    }
    extensions.push(extension);
  }
  const [only] = extensions;
  if (registered && only !== undefined && extensions.length === 1) {
    if (keyUsageBits(only, type) !== undefined) reader.fail('key usage alone is an integer', start);
  }
  return extensions;
}

/** DER of the value of a registered extension. */
export function readExtensionValue(reader: CborReader, oid: string, type: C509Type): Uint8Array {
  const codec = codecs.get(extensionIds.valueOf.get(oid) ?? 0);
  return codec?.decode(reader, type) ?? reader.fail(`extension ${oid} is not registered`);
}

/** The value's own encoding; `undefined` where it has none that comes back the same. */
function specificValue(id: number, value: Uint8Array, type: C509Type): Uint8Array | undefined {
  const codec = codecs.get(id);
  if (codec === undefined) return undefined;
  try {
    const item = codec.encode(value, type);
    const back = codec.decode(new CborReader(item), type);
    return type === 2 || equal(back, value) ? item : undefined;
  } catch (error) {
    // §3.3: a value that the encoding does not cover goes the general way.
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function readExtension(reader: CborReader, type: C509Type): Extension {
  const start = reader.offset;
  if (reader.peek() !== 'bytes') {
    const id = reader.integer();
    const oid = extensionIds.oidOf.get(Math.abs(id));
    if (oid === undefined) throw new UnsupportedError('c509', `extension ${id}`);
    return { oid, critical: id < 0, value: readExtensionValue(reader, oid, type) };
  }
  const oid = readOid(reader);
  const critical = reader.peek() === 'array';
  if (critical && reader.array() !== 1) reader.fail('[value] expected', start);
  const value = reader.bytes();
  const id = extensionIds.valueOf.get(oid);
  // §3.7: signed as CBOR, an extension has its specific encoding or none. What X.509 had was perhaps
  // encoded before the specific one was registered.
  if (type === 2 && id !== undefined && specificValue(id, value, type) !== undefined) {
    reader.fail('an extension in the general form that has one of its own', start);
  }
  return { oid, critical, value };
}

function readLoneKeyUsage(reader: CborReader, type: C509Type): Extension {
  const value = reader.integer();
  const item = new CborReader(cbor.integer(Math.abs(value)));
  const oid = extensionIds.oidOf.get(keyUsageId) ?? '';
  return { oid, critical: value < 0, value: readExtensionValue(item, oid, type) };
}

/**
 * The bits of a key usage that can stand alone. Without any bit a critical one cannot: zero has no sign,
 * so the general form has to say it.
 */
function keyUsageBits({ oid, critical, value }: Extension, type: C509Type): number | undefined {
  if (extensionIds.valueOf.get(oid) !== keyUsageId) return undefined;
  const item = specificValue(keyUsageId, value, type);
  const bits = item === undefined ? undefined : new CborReader(item).unsigned();
  return bits === 0 && critical ? undefined : bits;
}
