/**
 * CSR attributes: what a server wants of a request. RFC 7030 §4.5.2 as RFC 8951 §4 has it says it as a list
 * of OIDs and attributes; RFC 9908 §3.4 as a template of the request, which may stand in the same list.
 */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';

/** id-aa-certificationRequestInfoTemplate (RFC 9908 §3.4). */
export const requestTemplateOid = '1.2.840.113549.1.9.16.2.61';

const maximumBytes = 32_768;
const maximumAttributes = 64;

export type CsrAttribute =
  /** Wanted as such: challengePassword, a signature algorithm. Dotted. */
  | { readonly oid: string }
  /** Wanted with one of these values, OIDs all of them: a key type with its curve, extensions. Dotted. */
  | { readonly type: string; readonly values: readonly string[] }
  | { readonly template: RequestTemplate };

/** A request with gaps: what is absent is for the client to decide. */
export interface RequestTemplate {
  /** RDNs of one attribute each, in order; without a value the client fills it in. */
  readonly subject?: ReadonlyArray<{ readonly type: string; readonly value?: string }>;
  /** OID of the key's algorithm, and of its curve where it has one. */
  readonly key?: { readonly algorithm: string; readonly curve?: string };
}

/** As it was read: of attributes that mean nothing here the values stay DER. */
export type ReadCsrAttribute =
  | { readonly oid: string }
  | { readonly type: string; readonly values: readonly Uint8Array[] }
  | { readonly template: ReadRequestTemplate };

export interface ReadRequestTemplate {
  readonly subject:
    | ReadonlyArray<{ readonly type: string; readonly value: Uint8Array | undefined }>
    | undefined;
  /** `parameters` and `publicKey` as DER. */
  readonly key:
    | {
        readonly algorithm: string;
        readonly parameters: Uint8Array | undefined;
        readonly publicKey: Uint8Array | undefined;
      }
    | undefined;
  readonly attributes: ReadonlyArray<{
    readonly type: string;
    readonly values: readonly Uint8Array[];
  }>;
}

/** DER of CsrAttrs, in the given order. */
export function encodeCsrAttributes(attributes: readonly CsrAttribute[]): Uint8Array {
  return der.sequence(...attributes.map(encodeOne));
}

/** In the order in which they stand. Throws a `MalformedError` with the offset of the first fault. */
export function decodeCsrAttributes(encoding: Uint8Array): readonly ReadCsrAttribute[] {
  return readDer(
    encoding,
    (reader) => {
      const attributes = reader.sequenceOf(readOne);
      if (attributes.length > maximumAttributes) reader.fail('too many attributes', 0);
      return attributes;
    },
    { maximumBytes },
  );
}

function encodeOne(attribute: CsrAttribute): Uint8Array {
  if ('oid' in attribute) return der.oid(attribute.oid);
  if ('type' in attribute) {
    const values = attribute.values.map((value) => der.oid(value));
    return der.sequence(der.oid(attribute.type), der.setOf(...values));
  }
  const template = encodeTemplate(attribute.template);
  return der.sequence(der.oid(requestTemplateOid), der.setOf(template));
}

function encodeTemplate({ subject, key }: RequestTemplate): Uint8Array {
  const parts = [der.integer(0)];
  if (subject !== undefined) {
    const names = subject.map(({ type, value }) => {
      const filled = value === undefined ? [] : [der.utf8String(value)];
      return der.setOf(der.sequence(der.oid(type), ...filled));
    });
    parts.push(der.sequence(...names));
  }
  if (key !== undefined) {
    const parameters = key.curve === undefined ? [] : [der.oid(key.curve)];
    const algorithm = der.sequence(der.oid(key.algorithm), ...parameters);
    // The module of RFC 9908 §3.4 tags implicitly: [0] takes the place of the SEQUENCE.
    parts.push(der.element(contextConstructed(0), algorithm));
  }
  return der.sequence(...parts, der.element(contextConstructed(1)));
}

function readOne(reader: DerReader): ReadCsrAttribute {
  if (reader.isNext(tags.oid)) return { oid: reader.oid() };
  return reader.sequence((attribute) => {
    const type = attribute.oid();
    if (type !== requestTemplateOid) return { type, values: readValues(attribute) };
    const start = attribute.offset;
    const templates = attribute.sequenceOf(readTemplate, tags.set);
    const [template] = templates;
    // RFC 9908 §3.4: exactly one value.
    return template !== undefined && templates.length === 1
      ? { template }
      : attribute.fail('not one template', start);
  });
}

/** Not `setOf`: servers in the field write the values unsorted. */
function readValues(reader: DerReader): readonly Uint8Array[] {
  return reader.sequenceOf((values) => values.element(), tags.set);
}

function readTemplate(reader: DerReader): ReadRequestTemplate {
  return reader.sequence((template) => {
    template.unsigned(0);
    const subject = template.optional(tags.sequence, readSubject);
    const key = template.optional(contextConstructed(0), readKey);
    const attributes = template.sequenceOf(
      (content) =>
        content.sequence((attribute) => ({
          type: attribute.oid(),
          values: readValues(attribute),
        })),
      contextConstructed(1),
    );
    return { subject, key, attributes };
  });
}

function readSubject(reader: DerReader): NonNullable<ReadRequestTemplate['subject']> {
  return reader
    .sequenceOf((names) =>
      names.sequenceOf(
        (name) =>
          name.sequence((part) => ({
            type: part.oid(),
            value: part.atEnd ? undefined : part.element(),
          })),
        tags.set,
      ),
    )
    .flat();
}

function readKey(reader: DerReader): NonNullable<ReadRequestTemplate['key']> {
  return reader.constructed(contextConstructed(0), (key) => {
    const { algorithm, parameters } = key.sequence((identifier) => ({
      algorithm: identifier.oid(),
      parameters: identifier.atEnd ? undefined : identifier.element(),
    }));
    return { algorithm, parameters, publicKey: key.atEnd ? undefined : key.element() };
  });
}
