/**
 * The extension that makes a certificate the credential of a session server (docs/server-identity.md):
 *
 *     ServerGeneration ::= SEQUENCE {
 *       generation  INTEGER (0..MAX),
 *       floor       INTEGER (0..MAX),
 *       statusKey   OCTET STRING (SIZE (33)) OPTIONAL }
 *
 * `generation` counts the credentials of a server under one authority; `floor` is the least generation that
 * the authority still vouches for; `statusKey`, a compressed point of P-256, signs what the authority says of
 * this credential later. Critical: who does not know it must not take the certificate for a server of any kind.
 */
import { readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import type { Extension } from './model.ts';

export interface ServerGeneration {
  readonly generation: number;
  readonly floor: number;
  /** Compressed point, 33 bytes; absent where nobody vouches for the credential later. */
  readonly statusKey?: Uint8Array;
}

/** Of the arc for examples (RFC 5612), until there is one of our own: both ends are configured alike. */
export const exampleGenerationOid = '1.3.6.1.4.1.32473.2.1';

/** 2^32 - 1: a new credential every second for a century. */
export const maximumGeneration = 0xffff_ffff;

const statusKeyBytes = 33;

export function serverGeneration(
  { generation, floor, statusKey }: ServerGeneration,
  oid: string,
): Extension {
  if (floor > generation) throw new TypeError('a credential below its own floor');
  const key = statusKey === undefined ? [] : [der.octetString(statusKey)];
  const value = der.sequence(der.integer(generation), der.integer(floor), ...key);
  return { oid, critical: true, value };
}

/** Throws a `MalformedError`. */
export function decodeServerGeneration(value: Uint8Array): ServerGeneration {
  return readDer(value, (reader) =>
    reader.sequence((content) => {
      const generation = content.unsigned(maximumGeneration);
      const start = content.offset;
      const floor = content.unsigned(maximumGeneration);
      if (floor > generation) content.fail('floor above the generation', start);
      const keyStart = content.offset;
      const statusKey = content.optional(tags.octetString, (field) => field.octetString());
      if (statusKey === undefined) return { generation, floor };
      if (statusKey.length !== statusKeyBytes) content.fail('no compressed point', keyStart);
      return { generation, floor, statusKey };
    }),
  );
}
