/** Extensions about policies (§3.3): which apply, what they are called elsewhere, what the path must say. */
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { contextPrimitive, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import { unsupported, type ValueCodec } from './extensionValues.ts';
import { readAscii } from './generalNames.ts';
import { readRegistered, registeredItem } from './oids.ts';
import { certificatePolicyIds, policyQualifierIds } from './registries.ts';

const cps = '1.3.6.1.5.5.7.2.1';
const userNotice = '1.3.6.1.5.5.7.2.2';

/** Each policy is followed by the list of its qualifiers, texts only. */
export const certificatePolicies: ValueCodec = {
  encode: (value) => {
    const items = readDer(value, (reader) => reader.sequenceOf(encodePolicy));
    return cbor.array(...items.flat());
  },
  decode: (reader) => {
    const start = reader.offset;
    const count = reader.array();
    if (count === 0 || count % 2 !== 0)
      reader.fail('policies with their qualifiers expected', start);
    return der.sequence(...Array.from({ length: count / 2 }, () => decodePolicy(reader)));
  },
};

export const policyMappings: ValueCodec = {
  encode: (value) => {
    const pairs = readDer(value, (reader) =>
      reader.sequenceOf((mapping) => mapping.sequence((pair) => [pair.oid(), pair.oid()])),
    );
    return cbor.array(...pairs.flat().map((oid) => registeredItem(certificatePolicyIds, oid)));
  },
  decode: (reader) => {
    const start = reader.offset;
    const count = reader.array();
    if (count === 0 || count % 2 !== 0) reader.fail('pairs of policies expected', start);
    const policy = (): Uint8Array => der.oid(readRegistered(reader, certificatePolicyIds));
    return der.sequence(
      ...Array.from({ length: count / 2 }, () => der.sequence(policy(), policy())),
    );
  },
};

export const policyConstraints: ValueCodec = {
  encode: (value) =>
    readDer(value, (reader) =>
      reader.sequence((content) => {
        const items = [0, 1].map((number) => {
          const tag = contextPrimitive(number);
          const count = content.optional(tag, (field) => field.unsigned(undefined, tag));
          return count === undefined ? cbor.nullItem : cbor.integer(count);
        });
        return cbor.array(...items);
      }),
    ),
  decode: (reader) => {
    const start = reader.offset;
    if (reader.array() !== 2) reader.fail('two numbers expected', start);
    const fields = [0, 1].flatMap((number) =>
      reader.takeNull() ? [] : der.implicit(number, der.integer(reader.unsigned())),
    );
    return der.sequence(...fields);
  },
};

function encodePolicy(reader: DerReader): Uint8Array[] {
  return reader.sequence((policy) => {
    const id = registeredItem(certificatePolicyIds, policy.oid());
    const qualifiers = policy.optional(tags.sequence, (list) => list.sequenceOf(encodeQualifier));
    // An empty list of qualifiers and none at all are one and the same here.
    if (qualifiers?.length === 0) throw unsupported('an empty list of qualifiers');
    return [id, cbor.array(...(qualifiers ?? []).flat())];
  });
}

function encodeQualifier(reader: DerReader): Uint8Array[] {
  return reader.sequence((qualifier) => {
    const id = qualifier.oid();
    if (id !== cps && id !== userNotice) throw unsupported('a qualifier of another kind');
    const text =
      id === cps
        ? qualifier.ia5String()
        : // A reference to a notice would come first, and explicitText has four string types.
          qualifier.sequence((notice) => notice.utf8String());
    return [registeredItem(policyQualifierIds, id), cbor.text(text)];
  });
}

function decodePolicy(reader: CborReader): Uint8Array {
  const id = der.oid(readRegistered(reader, certificatePolicyIds));
  const start = reader.offset;
  const count = reader.array();
  if (count % 2 !== 0) reader.fail('a qualifier without text', start);
  if (count === 0) return der.sequence(id);
  const qualifiers = Array.from({ length: count / 2 }, () => decodeQualifier(reader));
  return der.sequence(id, der.sequence(...qualifiers));
}

function decodeQualifier(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const id = readRegistered(reader, policyQualifierIds);
  if (id === cps) return der.sequence(der.oid(id), der.ia5String(readAscii(reader)));
  if (id !== userNotice) reader.fail('a qualifier of another kind', start);
  return der.sequence(der.oid(id), der.sequence(der.utf8String(reader.text())));
}
