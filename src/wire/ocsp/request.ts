/** OCSP requests (RFC 6960 §4.1), as a responder of the RFC 9919 profile reads them. */
import { MalformedError } from '../bytes/malformed.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';

/** A request in a GET line or a small POST; anything longer is not one. */
export const maximumRequestBytes = 4096;
/** RFC 9919 §3.1: the profile asks for one; more are answered up to here. */
const maximumCertificates = 16;
/** RFC 9654 §2.1: responders accept 1 to 128 octets; longer or empty ones make the request malformed. */
const maximumNonceBytes = 128;

const oids = {
  nonce: '1.3.6.1.5.5.7.48.1.2',
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

const nonceType = der.oid(oids.nonce);

/** Which certificate is asked about: its serial, and its issuer by two hashes. */
export interface CertId {
  readonly hashAlgorithm: 'SHA-1' | 'SHA-256';
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Magnitude, big-endian, without sign octet. */
  readonly serialNumber: Uint8Array;
  /** As received: an answer repeats it byte for byte. */
  readonly der: Uint8Array;
}

export interface OcspRequest {
  /** `undefined` stands for a hash that we do not know: answered as unauthorized. */
  readonly certIds: ReadonlyArray<CertId | undefined>;
  readonly nonce: Uint8Array | undefined;
}

/** A signature on the request is read over and not verified: nobody's rights depend on it. */
export function parseOcspRequest(input: Uint8Array): OcspRequest {
  return readDer(
    input,
    (reader) =>
      reader.sequence((request) => {
        const tbs = request.sequence(readTbsRequest);
        request.optional(contextConstructed(0), (signature) => signature.element());
        return tbs;
      }),
    { maximumBytes: maximumRequestBytes },
  );
}

export function encodeCertId(fields: Omit<CertId, 'der'>): Uint8Array {
  const algorithm = der.sequence(
    der.oid(fields.hashAlgorithm === 'SHA-1' ? oids.sha1 : oids.sha256),
    der.nullElement,
  );
  return der.sequence(
    algorithm,
    der.octetString(fields.issuerNameHash),
    der.octetString(fields.issuerKeyHash),
    der.unsignedInteger(fields.serialNumber),
  );
}

/** For a device or a gateway that asks. */
export function encodeOcspRequest(certId: Uint8Array, nonce?: Uint8Array): Uint8Array {
  const list = der.sequence(der.sequence(certId));
  const extensions = nonce === undefined ? [] : [der.explicit(2, der.sequence(encodeNonce(nonce)))];
  return der.sequence(der.sequence(list, ...extensions));
}

/** RFC 9654 §2.1: an OCTET STRING inside the extension's OCTET STRING. */
export function encodeNonce(nonce: Uint8Array): Uint8Array {
  return der.sequence(nonceType, der.octetString(der.octetString(nonce)));
}

function readTbsRequest(tbs: DerReader): OcspRequest {
  const start = tbs.offset;
  const version = tbs.optional(contextConstructed(0), (outer) =>
    outer.constructed(contextConstructed(0), (inner) => inner.unsigned()),
  );
  if (version !== undefined && version !== 0) tbs.fail('not a version 1 request', start);
  tbs.optional(contextConstructed(1), (requestor) => requestor.element());
  const listStart = tbs.offset;
  const certIds = tbs.sequenceOf(readRequest);
  if (certIds.length === 0 || certIds.length > maximumCertificates) {
    tbs.fail(
      `asks about ${certIds.length} certificates, not 1 to ${maximumCertificates}`,
      listStart,
    );
  }
  const nonce = tbs.optional(contextConstructed(2), (outer) =>
    outer.constructed(contextConstructed(2), readExtensions),
  );
  return { certIds, nonce };
}

function readRequest(reader: DerReader): CertId | undefined {
  return reader.sequence((request) => {
    const { value, der: encoded } = request.recorded(readCertId);
    request.optional(contextConstructed(0), (extensions) => extensions.element());
    return value && { ...value, der: encoded };
  });
}

function readCertId(reader: DerReader): Omit<CertId, 'der'> | undefined {
  return reader.sequence((content) => {
    const algorithm = content.sequence((identifier) => {
      const oid = identifier.oid();
      identifier.optional(tags.null, (parameters) => parameters.null());
      return oid;
    });
    const issuerNameHash = content.octetString();
    const issuerKeyHash = content.octetString();
    const integer = content.integer();
    const serialNumber = integer.length > 1 && integer[0] === 0 ? integer.subarray(1) : integer;
    if (algorithm !== oids.sha1 && algorithm !== oids.sha256) return undefined;
    const hashAlgorithm = algorithm === oids.sha1 ? 'SHA-1' : 'SHA-256';
    return { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber };
  });
}

function readExtensions(reader: DerReader): Uint8Array | undefined {
  let nonce: Uint8Array | undefined;
  reader.sequenceOf((item) =>
    item.sequence((content) => {
      const start = content.offset;
      const oid = content.oid();
      const critical = content.optional(tags.boolean, (flag) => flag.boolean()) ?? false;
      if (oid === oids.nonce) nonce = readNonce(content);
      else if (critical) content.fail(`critical extension ${oid} is not known`, start);
      else content.octetString();
    }),
  );
  return nonce;
}

function readNonce(content: DerReader): Uint8Array {
  const start = content.offset;
  const value = content.octetString();
  const inner = unwrapped(value) ?? value;
  if (inner.length >= 1 && inner.length <= maximumNonceBytes) return inner;
  return content.fail(`nonce of ${inner.length} bytes, not 1 to ${maximumNonceBytes}`, start);
}

/** Clients of before RFC 8954 put the nonce into the extension without a second OCTET STRING. */
function unwrapped(value: Uint8Array): Uint8Array | undefined {
  try {
    return readDer(value, (reader) => reader.octetString());
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
