/** Object identifiers in CBOR: the content octets in a byte string, untagged (`~oid`, RFC 9090), or a registered integer. */
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { oidContent, oidText } from '../der/oid.ts';
import type { Registry } from './registries.ts';

/** `dotted` as `~oid`. */
export function oidItem(dotted: string): Uint8Array {
  return cbor.bytes(oidContent(dotted));
}

/** Dotted text of `~oid`. */
export function readOid(reader: CborReader): string {
  const content = reader.bytes();
  return oidText(content, reader.offset - content.length);
}

/** The integer of the registry, or `~oid`. */
export function registeredItem(registry: Registry, dotted: string): Uint8Array {
  const value = registry.valueOf.get(dotted);
  return value === undefined ? oidItem(dotted) : cbor.integer(value);
}

/** Dotted text of either form. Throws a `MalformedError` for an integer that is not registered. */
export function readRegistered(reader: CborReader, registry: Registry): string {
  if (reader.peek() === 'bytes') return readOid(reader);
  const start = reader.offset;
  const value = reader.integer();
  return registry.oidOf.get(value) ?? reader.fail(`${value} is not registered`, start);
}
