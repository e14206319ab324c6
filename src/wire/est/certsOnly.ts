/**
 * Certificates in a CMS SignedData without content and signers (RFC 5652 §5.1, the degenerate case), as
 * EST carries them: `application/pkcs7-mime; smime-type=certs-only` (RFC 7030 §4.1.3 and §4.2.3).
 */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';

const signedDataOid = '1.2.840.113549.1.7.2';
const dataOid = '1.2.840.113549.1.7.1';

/** Longest message and most certificates that are read: a hierarchy in the middle of a rollover has a dozen. */
const maximumMessageBytes = 262_144;
const maximumCertificates = 32;

/** DER of ContentInfo; the certificates, DER each, in the given order. */
export function encodeCertsOnly(certificates: readonly Uint8Array[]): Uint8Array {
  // RFC 5652 §10.2.3 does not ask for DER here, and clients take the first certificate for their own:
  // so the set is not sorted.
  const set = der.element(contextConstructed(0), ...certificates);
  const signedData = der.sequence(
    der.integer(1),
    der.setOf(),
    der.sequence(der.oid(dataOid)),
    set,
    der.setOf(),
  );
  return der.sequence(der.oid(signedDataOid), der.explicit(0, signedData));
}

/** The certificates, DER each, in the order in which they stand. Views of `message`. */
export function decodeCertsOnly(message: Uint8Array): readonly Uint8Array[] {
  return readDer(
    message,
    (reader) =>
      reader.sequence((info) => {
        expectOid(info, signedDataOid);
        return info.constructed(contextConstructed(0), readSignedData);
      }),
    { maximumBytes: maximumMessageBytes },
  );
}

function readSignedData(reader: DerReader): readonly Uint8Array[] {
  return reader.sequence((content) => {
    content.unsigned(5);
    expectEmptySet(content, 'digest algorithms');
    content.sequence((encapsulated) => expectOid(encapsulated, dataOid));
    const certificates = content.optional(contextConstructed(0), (field) =>
      field.sequenceOf(readChoice, contextConstructed(0)),
    );
    if ((certificates?.length ?? 0) > maximumCertificates) {
      content.fail(`more than ${maximumCertificates} certificates`);
    }
    // Lists of revoked certificates may come along; nobody here takes them from this place.
    if (content.isNext(contextConstructed(1))) content.any();
    expectEmptySet(content, 'signers');
    return certificates ?? [];
  });
}

/** CertificateChoices: of them only plain certificates are SEQUENCEs without a context tag. */
function readChoice(reader: DerReader): Uint8Array {
  if (!reader.isNext(tags.sequence)) reader.fail('not a certificate');
  return reader.element();
}

function expectOid(reader: DerReader, expected: string): void {
  const start = reader.offset;
  if (reader.oid() !== expected) reader.fail(`content type ${expected} expected`, start);
}

function expectEmptySet(reader: DerReader, what: string): void {
  const start = reader.offset;
  if (reader.content(tags.set).length > 0) reader.fail(`${what} in a certs-only message`, start);
}
