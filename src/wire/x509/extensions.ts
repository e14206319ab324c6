/** Extensions of certificates (RFC 5280 §4.2), typed: encoded for what we issue, decoded from what we meet. */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import { encodeGeneralName, type GeneralName, readGeneralName } from './generalNames.ts';
import type { Extension } from './model.ts';

export const extensionOids = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  cRLDistributionPoints: '2.5.29.31',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
} as const;

/** RFC 5280 §4.2.2.1. */
export const accessMethods = {
  ocsp: '1.3.6.1.5.5.7.48.1',
  caIssuers: '1.3.6.1.5.5.7.48.2',
} as const;

/** In the order of their bits (RFC 5280 §4.2.1.3). */
export const keyUsages = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const;

export type KeyUsage = (typeof keyUsages)[number];

/** RFC 5280 §4.2.1.12; cmcRA from RFC 6402 §2.10. */
export const keyPurposes = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  cmcRA: '1.3.6.1.5.5.7.3.28',
  anyExtendedKeyUsage: '2.5.29.37.0',
} as const;

export interface BasicConstraints {
  readonly ca: boolean;
  /** CA certificates that may follow below this one, those issued by itself to itself not counted. */
  readonly pathLength?: number;
}

export interface NameConstraints {
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

export interface AccessLocation {
  /** Dotted: one of `accessMethods`, or another. */
  readonly method: string;
  readonly location: GeneralName;
}

export function findExtension(
  extensions: readonly Extension[],
  oid: string,
): Extension | undefined {
  return extensions.find((extension) => extension.oid === oid);
}

/** DER of an Extension. */
export function encodeExtension(extension: Extension): Uint8Array {
  const value = der.octetString(extension.value);
  const oid = der.oid(extension.oid);
  return extension.critical
    ? der.sequence(oid, der.boolean(true), value)
    : der.sequence(oid, value);
}

/** Critical (RFC 5280 §4.2.1.9: MUST be in a CA certificate whose key signs certificates). */
export function basicConstraints({ ca, pathLength }: BasicConstraints): Extension {
  if (!ca && pathLength !== undefined) throw new TypeError('a path length without CA');
  const fields = ca ? [der.boolean(true)] : [];
  if (pathLength !== undefined) fields.push(der.integer(pathLength));
  return { oid: extensionOids.basicConstraints, critical: true, value: der.sequence(...fields) };
}

export function decodeBasicConstraints(value: Uint8Array): BasicConstraints {
  return readDer(value, (reader) =>
    reader.sequence((content) => {
      const start = content.offset;
      const ca = content.optional(tags.boolean, (field) => field.boolean());
      // X.690 §11.5: the default value is not written.
      if (ca === false) content.fail('cA FALSE is written out', start);
      const pathLength = content.optional(tags.integer, (field) => field.unsigned());
      return pathLength === undefined ? { ca: ca ?? false } : { ca: ca ?? false, pathLength };
    }),
  );
}

export function keyUsage(...usages: readonly KeyUsage[]): Extension {
  const value = der.namedBits(usages.map((usage) => keyUsages.indexOf(usage)));
  return { oid: extensionOids.keyUsage, critical: true, value };
}

/** Bits without a name are dropped. */
export function decodeKeyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const bits = readDer(value, (reader) => reader.namedBits());
  return new Set(bits.flatMap((bit) => keyUsages[bit] ?? []));
}

/** `purposes` are dotted OIDs. */
export function extKeyUsage(...purposes: readonly string[]): Extension {
  const value = der.sequence(...purposes.map((purpose) => der.oid(purpose)));
  return { oid: extensionOids.extKeyUsage, critical: false, value };
}

export function decodeExtKeyUsage(value: Uint8Array): readonly string[] {
  return readDer(value, (reader) => nonEmpty(reader, (content) => content.oid()));
}

/** Critical where the subject is empty (RFC 5280 §4.2.1.6). */
export function subjectAltName(names: readonly GeneralName[], critical = false): Extension {
  const value = der.sequence(...names.map(encodeGeneralName));
  return { oid: extensionOids.subjectAltName, critical, value };
}

export function decodeSubjectAltName(value: Uint8Array): readonly GeneralName[] {
  return readDer(value, (reader) => nonEmpty(reader, readGeneralName));
}

export function subjectKeyIdentifier(identifier: Uint8Array): Extension {
  const value = der.octetString(identifier);
  return { oid: extensionOids.subjectKeyIdentifier, critical: false, value };
}

export function decodeSubjectKeyIdentifier(value: Uint8Array): Uint8Array {
  return readDer(value, (reader) => reader.octetString());
}

/** The key identifier alone: issuer and serial number would tie leaves to one certificate of their issuer. */
export function authorityKeyIdentifier(identifier: Uint8Array): Extension {
  const value = der.sequence(der.implicit(0, der.octetString(identifier)));
  return { oid: extensionOids.authorityKeyIdentifier, critical: false, value };
}

/** The key identifier; `undefined` when the extension names its issuer in another way only. */
export function decodeAuthorityKeyIdentifier(value: Uint8Array): Uint8Array | undefined {
  return readDer(value, (reader) =>
    reader.sequence((content) => {
      const identifier = content.optional(contextPrimitive(0), (field) =>
        field.octetString(contextPrimitive(0)),
      );
      content.optional(contextConstructed(1), (field) =>
        field.sequenceOf(readGeneralName, contextConstructed(1)),
      );
      content.optional(contextPrimitive(2), (field) => field.integer(contextPrimitive(2)));
      return identifier;
    }),
  );
}

/** Critical (RFC 5280 §4.2.1.10). An empty list of both kinds has no encoding. */
export function nameConstraints({ permitted, excluded }: NameConstraints): Extension {
  if (permitted.length + excluded.length === 0) throw new TypeError('no name constraints given');
  const subtrees = (number: number, names: readonly GeneralName[]): readonly Uint8Array[] => {
    const list = names.map((name) => der.sequence(encodeGeneralName(name)));
    return list.length === 0 ? [] : [der.implicit(number, der.sequence(...list))];
  };
  const value = der.sequence(...subtrees(0, permitted), ...subtrees(1, excluded));
  return { oid: extensionOids.nameConstraints, critical: true, value };
}

export function decodeNameConstraints(value: Uint8Array): NameConstraints {
  return readDer(value, (reader) =>
    reader.sequence((content) => {
      const start = content.offset;
      const [permitted, excluded] = [0, 1].map((number) =>
        content.optional(contextConstructed(number), (field) =>
          nonEmpty(field, readSubtree, contextConstructed(number)),
        ),
      );
      if (permitted === undefined && excluded === undefined) {
        content.fail('empty name constraints', start);
      }
      return { permitted: permitted ?? [], excluded: excluded ?? [] };
    }),
  );
}

/** One distribution point, by its URIs. */
export function cRLDistributionPoints(...uris: readonly string[]): Extension {
  const names = uris.map((text) => encodeGeneralName({ kind: 'uniformResourceIdentifier', text }));
  const fullName = der.implicit(0, der.sequence(...names));
  const value = der.sequence(der.sequence(der.explicit(0, fullName)));
  return { oid: extensionOids.cRLDistributionPoints, critical: false, value };
}

/** The full names of all distribution points. */
export function decodeCRLDistributionPoints(value: Uint8Array): readonly GeneralName[] {
  return readDer(value, (reader) => nonEmpty(reader, readDistributionPoint).flat());
}

export function authorityInfoAccess(...locations: readonly AccessLocation[]): Extension {
  const value = der.sequence(
    ...locations.map(({ method, location }) =>
      der.sequence(der.oid(method), encodeGeneralName(location)),
    ),
  );
  return { oid: extensionOids.authorityInfoAccess, critical: false, value };
}

export function decodeAuthorityInfoAccess(value: Uint8Array): readonly AccessLocation[] {
  return readDer(value, (reader) =>
    nonEmpty(reader, (item) =>
      item.sequence((content) => ({ method: content.oid(), location: readGeneralName(content) })),
    ),
  );
}

/** RFC 6960 §4.2.2.2.1: whoever meets it need not ask for the status of this certificate. */
export function ocspNoCheck(): Extension {
  return { oid: extensionOids.ocspNoCheck, critical: false, value: der.nullElement };
}

/** SEQUENCE SIZE (1..MAX) OF. */
function nonEmpty<T>(
  reader: DerReader,
  readItem: (reader: DerReader) => T,
  tag: number = tags.sequence,
): readonly T[] {
  const start = reader.offset;
  const items = reader.sequenceOf(readItem, tag);
  return items.length > 0 ? items : reader.fail('list without members', start);
}

function readSubtree(reader: DerReader): GeneralName {
  // RFC 5280 §4.2.1.10: minimum is its default 0 and maximum absent, so both are not there.
  return reader.sequence(readGeneralName);
}

function readDistributionPoint(reader: DerReader): readonly GeneralName[] {
  return reader.sequence((point) => {
    const names = point.optional(contextConstructed(0), (field) =>
      field.constructed(contextConstructed(0), (name) =>
        name.isNext(contextConstructed(0))
          ? nonEmpty(name, readGeneralName, contextConstructed(0))
          : (name.any(), []),
      ),
    );
    point.optional(contextPrimitive(1), (field) => field.bitString(contextPrimitive(1)));
    point.optional(contextConstructed(2), (field) =>
      nonEmpty(field, readGeneralName, contextConstructed(2)),
    );
    return names ?? [];
  });
}
