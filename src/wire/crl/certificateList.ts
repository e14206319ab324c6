/**
 * Certificate revocation lists (RFC 5280 §5): written from entries that are kept encoded, so that a list
 * of a million is a matter of copying; read entry by entry, so that it never becomes a million objects.
 */
import { equal } from '../bytes/bytes.ts';
import { DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, tags } from '../der/tags.ts';
import { branch, encodeBranch } from '../der/tree.ts';
import * as der from '../der/writer.ts';
import { reasonOf, revocationReasons, type RevocationReason } from './reason.ts';

/** 128 MiB holds two and a half million entries. */
const maximumBytes = 134_217_728;

const oids = {
  authorityKeyIdentifier: '2.5.29.35',
  cRLNumber: '2.5.29.20',
  issuingDistributionPoint: '2.5.29.28',
  reasonCode: '2.5.29.21',
} as const;

/** X.690 §8.1.3: no entry of ours is so long that its length takes more than one octet. */
const longForm = 0x80;

export interface RevokedEntry {
  /** Magnitude, big-endian, without sign octet. */
  readonly serialNumber: Uint8Array;
  readonly revokedAtMs: number;
  readonly reason?: RevocationReason | undefined;
}

/** Which certificates a list speaks for. At least one member has to be there (RFC 5280 §5.2.5). */
export interface IssuingDistributionPoint {
  /** The URI of the certificates' cRLDistributionPoints, to the letter. */
  readonly uri?: string | undefined;
  readonly onlyContainsUserCerts?: boolean | undefined;
  readonly onlyContainsCACerts?: boolean | undefined;
}

export interface CertificateListFields {
  /** DER of the AlgorithmIdentifier of the signature. */
  readonly signatureAlgorithm: Uint8Array;
  /** DER of the issuer's Name, byte for byte as in its certificate. */
  readonly issuer: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Results of `encodeRevokedEntry`, each alone or many already joined. */
  readonly entries: readonly Uint8Array[];
  readonly authorityKeyIdentifier: Uint8Array;
  /** Monotonic; at most 20 octets (RFC 5280 §5.2.3). */
  readonly crlNumber: number;
  readonly issuingDistributionPoint?: IssuingDistributionPoint | undefined;
}

/** Stored with the revocation and never encoded again. */
export function encodeRevokedEntry(entry: RevokedEntry): Uint8Array {
  const { serialNumber, revokedAtMs, reason = 'unspecified' } = entry;
  const fields = [der.unsignedInteger(serialNumber), der.time(revokedAtMs)];
  // RFC 5280 §5.3.1: the reason code should be absent instead of unspecified.
  if (reason === 'unspecified') return der.sequence(...fields);
  const code = der.element(tags.enumerated, Uint8Array.of(revocationReasons[reason]));
  const extension = der.sequence(der.oid(oids.reasonCode), der.octetString(code));
  return der.sequence(...fields, der.sequence(extension));
}

/**
 * Of results of `encodeRevokedEntry`, one after the other, looking at nothing but where each ends.
 * `undefined` when they are anything else.
 */
export function countEncodedEntries(entries: Uint8Array): number | undefined {
  let count = 0;
  let offset = 0;
  while (offset < entries.length) {
    const length = entries[offset + 1] ?? longForm;
    if (entries[offset] !== tags.sequence || length >= longForm) return undefined;
    offset += 2 + length;
    count += 1;
  }
  return offset === entries.length ? count : undefined;
}

/** The part that is signed. */
export function encodeTbsCertList(fields: CertificateListFields): Uint8Array {
  const extensions = [
    extension(
      oids.authorityKeyIdentifier,
      der.sequence(der.element(contextPrimitive(0), fields.authorityKeyIdentifier)),
    ),
    extension(oids.cRLNumber, der.integer(fields.crlNumber)),
  ];
  const scope = fields.issuingDistributionPoint;
  if (scope !== undefined) {
    extensions.push(
      der.sequence(
        der.oid(oids.issuingDistributionPoint),
        der.boolean(true),
        der.octetString(encodeIssuingDistributionPoint(scope)),
      ),
    );
  }
  return encodeBranch(
    branch(
      tags.sequence,
      der.integer(1),
      fields.signatureAlgorithm,
      fields.issuer,
      der.time(fields.thisUpdateMs),
      der.time(fields.nextUpdateMs),
      // RFC 5280 §5.1.2.6: absent, not empty, when nothing is revoked.
      ...(fields.entries.length === 0 ? [] : [branch(tags.sequence, ...fields.entries)]),
      der.explicit(0, der.sequence(...extensions)),
    ),
  );
}

export function encodeCertificateList(
  tbsCertList: Uint8Array,
  signatureAlgorithm: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return der.sequence(tbsCertList, signatureAlgorithm, der.bitString(signature));
}

function extension(oid: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(oid), der.octetString(value));
}

function encodeIssuingDistributionPoint(scope: IssuingDistributionPoint): Uint8Array {
  const parts: Uint8Array[] = [];
  if (scope.uri !== undefined) {
    // DistributionPointName is a CHOICE, so its tag [0] is explicit.
    const fullName = der.element(contextConstructed(0), uniformResourceIdentifier(scope.uri));
    parts.push(der.explicit(0, fullName));
  }
  // DEFAULT FALSE members are not written in DER (X.690 §11.5).
  if (scope.onlyContainsUserCerts === true) parts.push(der.implicit(1, der.boolean(true)));
  if (scope.onlyContainsCACerts === true) parts.push(der.implicit(2, der.boolean(true)));
  if (parts.length === 0) {
    throw new TypeError('an issuing distribution point must limit the list (RFC 5280 §5.2.5)');
  }
  return der.sequence(...parts);
}

function uniformResourceIdentifier(uri: string): Uint8Array {
  return der.implicit(6, der.ia5String(uri));
}

export interface CertificateList {
  readonly tbsCertList: Uint8Array;
  /** OID of the signature algorithm, the same inside and outside (RFC 5280 §5.1.1.2). */
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
  readonly issuer: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number | undefined;
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** Big-endian magnitude. */
  readonly crlNumber: Uint8Array | undefined;
  readonly issuingDistributionPoint: IssuingDistributionPoint | undefined;
  /** Encoded entries, one after the other; `revokedEntries` reads them. */
  readonly entries: Uint8Array;
}

export function parseCertificateList(input: Uint8Array): CertificateList {
  return readDer(
    input,
    (reader) =>
      reader.sequence((list) => {
        const tbs = list.recorded(readTbsCertList);
        const start = list.offset;
        const outer = readAlgorithm(list);
        if (outer !== tbs.value.signatureAlgorithm) {
          list.fail('signature algorithms inside and outside differ', start);
        }
        return { ...tbs.value, tbsCertList: tbs.der, signature: list.bitStringOctets() };
      }),
    { maximumBytes },
  );
}

/** Reads one entry after the other. */
export function* revokedEntries(
  list: Pick<CertificateList, 'entries'>,
): Generator<RevokedEntry, void, undefined> {
  const reader = new DerReader(list.entries, { maximumBytes });
  while (!reader.atEnd) yield readEntry(reader);
}

/** `serialNumber`: a big-endian magnitude, with or without zeros in front. */
export function findRevoked(
  list: Pick<CertificateList, 'entries'>,
  serialNumber: Uint8Array,
): RevokedEntry | undefined {
  const zeros = serialNumber.findIndex((octet) => octet !== 0);
  const wanted = serialNumber.subarray(Math.max(zeros, 0));
  for (const entry of revokedEntries(list)) {
    if (equal(entry.serialNumber, wanted)) return entry;
  }
  return undefined;
}

function readTbsCertList(reader: DerReader): Omit<CertificateList, 'tbsCertList' | 'signature'> {
  return reader.sequence((tbs) => {
    const start = tbs.offset;
    if (tbs.unsigned() !== 1) tbs.fail('not a version 2 list', start);
    const signatureAlgorithm = readAlgorithm(tbs);
    const issuer = tbs.element();
    const thisUpdateMs = tbs.time();
    const hasNextUpdate = tbs.isNext(tags.utcTime) || tbs.isNext(tags.generalizedTime);
    const nextUpdateMs = hasNextUpdate ? tbs.time() : undefined;
    const entries = tbs.isNext(tags.sequence) ? tbs.content(tags.sequence) : new Uint8Array(0);
    const extensions = tbs.optional(contextConstructed(0), (outer) =>
      outer.constructed(contextConstructed(0), readListExtensions),
    );
    return {
      signatureAlgorithm,
      issuer,
      thisUpdateMs,
      nextUpdateMs,
      entries,
      ...none,
      ...extensions,
    };
  });
}

type ListExtensions = Pick<
  CertificateList,
  'authorityKeyIdentifier' | 'crlNumber' | 'issuingDistributionPoint'
>;

const none: ListExtensions = {
  authorityKeyIdentifier: undefined,
  crlNumber: undefined,
  issuingDistributionPoint: undefined,
};

function readListExtensions(reader: DerReader): ListExtensions {
  const found = new Map<string, Uint8Array>();
  reader.sequenceOf((item) =>
    item.sequence((content) => {
      const start = content.offset;
      const oid = content.oid();
      const critical = content.optional(tags.boolean, (flag) => flag.boolean()) ?? false;
      if (found.has(oid)) content.fail(`extension ${oid} twice`, start);
      // RFC 5280 §5.2: a list with a critical extension that is not understood must not be used.
      if (critical && oid !== oids.issuingDistributionPoint) {
        content.fail(`critical extension ${oid} is not known`, start);
      }
      found.set(oid, content.octetString());
    }),
  );
  const keyIdentifier = found.get(oids.authorityKeyIdentifier);
  const number = found.get(oids.cRLNumber);
  const scope = found.get(oids.issuingDistributionPoint);
  return {
    authorityKeyIdentifier: keyIdentifier && readDer(keyIdentifier, readKeyIdentifier),
    crlNumber: number && readDer(number, (content) => magnitude(content.integer())),
    issuingDistributionPoint: scope && readDer(scope, readIssuingDistributionPoint),
  };
}

function readKeyIdentifier(reader: DerReader): Uint8Array {
  return reader.sequence((content) => {
    const keyIdentifier = content.content(contextPrimitive(0));
    while (!content.atEnd) content.element();
    return keyIdentifier;
  });
}

function readIssuingDistributionPoint(reader: DerReader): IssuingDistributionPoint {
  return reader.sequence((content) => {
    const uri = content.optional(contextConstructed(0), (name) =>
      name.constructed(contextConstructed(0), (point) =>
        point.constructed(contextConstructed(0), (names) => {
          const first = names.ia5String(contextPrimitive(6));
          while (!names.atEnd) names.element();
          return first;
        }),
      ),
    );
    const flag = (number: number): boolean =>
      content.optional(contextPrimitive(number), (value) =>
        value.boolean(contextPrimitive(number)),
      ) ?? false;
    const onlyContainsUserCerts = flag(1);
    const onlyContainsCACerts = flag(2);
    // Reasons [3], indirectCRL [4] and attribute certificates [5] narrow the list in ways not judged here.
    if (!content.atEnd) content.fail('a list that is limited by reason, indirect or of attributes');
    return { uri, onlyContainsUserCerts, onlyContainsCACerts };
  });
}

function readEntry(reader: DerReader): RevokedEntry {
  return reader.sequence((content) => {
    const serialNumber = magnitude(content.integer());
    const revokedAtMs = content.time();
    let reason: RevocationReason = 'unspecified';
    content.optional(tags.sequence, (extensions) =>
      extensions.sequenceOf((item) =>
        item.sequence((inner) => {
          const start = inner.offset;
          const oid = inner.oid();
          const critical = inner.optional(tags.boolean, (flag) => flag.boolean()) ?? false;
          if (oid === oids.reasonCode) reason = inner.encapsulated(readReason);
          else if (critical) inner.fail(`critical extension ${oid} is not known`, start);
          else inner.octetString();
        }),
      ),
    );
    return { serialNumber, revokedAtMs, reason };
  });
}

function readReason(reader: DerReader): RevocationReason {
  const start = reader.offset;
  const value = reader.content(tags.enumerated);
  const reason = value.length === 1 ? reasonOf(value[0] ?? 0) : undefined;
  return reason ?? reader.fail('no reason code', start);
}

/** OID alone: the algorithms that we verify have no parameters but NULL. */
function readAlgorithm(reader: DerReader): string {
  return reader.sequence((content) => {
    const oid = content.oid();
    content.optional(tags.null, (parameters) => parameters.null());
    return oid;
  });
}

function magnitude(integer: Uint8Array): Uint8Array {
  return integer.length > 1 && integer[0] === 0 ? integer.subarray(1) : integer;
}
