/** updateCtx() of KUDOS (draft-ietf-core-oscore-key-update §4.2): a new Master Secret and Salt from two inputs. */
import { compare, concat } from '../bytes/bytes.ts';
import { utf8 } from '../bytes/utf8.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto } from '../crypto/crypto.ts';
import type { ContextRecord } from './record.ts';

/** What a context is derived from. Secret: it belongs into sealed storage, and nowhere else. */
export type ContextMaterial = Omit<ContextRecord, 'sequenceEnd' | 'window' | 'usage'>;

/** Identifiers, ID Context and algorithms stay; the order of the inputs does not matter. */
export function updateContext(
  crypto: Crypto,
  material: ContextMaterial,
  input1: Uint8Array,
  input2: Uint8Array,
): ContextMaterial {
  const inputs = [cbor.bytes(input1), cbor.bytes(input2)].sort(compare);
  const masterSalt = concat(...inputs);
  const lengthBytes = material.masterSecret.length;
  const label = utf8('oscore key update');
  // struct ExpandLabel: uint16 length, label and context with one byte of length in front.
  const info = concat(
    Uint8Array.of(lengthBytes >> 8, lengthBytes & 255, label.length),
    label,
    Uint8Array.of(masterSalt.length),
    masterSalt,
  );
  const oldSecret = crypto.secret(material.masterSecret);
  const masterSecret = crypto.hkdfExpand(material.hkdf, oldSecret, info, lengthBytes);
  return { ...material, masterSecret, masterSalt };
}
