/**
 * The attribute of a certification request for a new key (our own): the key that the device was born with
 * says that the new one is the device's too.
 *
 *     KeyWitness ::= OCTET STRING  -- ECDSA-Sig-Value over witnessedBytes, by the key of birth
 *
 * The request itself is signed by the new key, over this attribute as well, so that neither key can be bound
 * without its holder.
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';
import { readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import type { RequestAttribute } from './certificationRequest.ts';

/** Of the arc for examples (RFC 5612), until there is one of our own. */
export const exampleKeyWitnessOid = '1.3.6.1.4.1.32473.2.2';

/** Nothing else that a key of birth signs begins like this. `spki`: DER of the new key. */
export function witnessedBytes(spki: Uint8Array): Uint8Array {
  return concat(utf8('birthmark key witness\0'), spki);
}

/** As a request carries it: `others` of its fields. */
export function keyWitness(signature: Uint8Array): ReadonlyMap<string, Uint8Array> {
  return new Map([[exampleKeyWitnessOid, der.octetString(signature)]]);
}

/** The signature; `undefined` when there is none, or something else in its place. */
export function keyWitnessOf(attributes: readonly RequestAttribute[]): Uint8Array | undefined {
  const [value] = attributes.find(({ type }) => type === exampleKeyWitnessOid)?.values ?? [];
  if (value === undefined) return undefined;
  try {
    return readDer(value, (reader) => reader.octetString());
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
