/** Reads X.509 certificates (RFC 5280 §4.1). Strict about the encoding; what the content means is judged elsewhere. */
import { type DerReader, readDer } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, tags } from '../der/tags.ts';
import { readAlgorithmIdentifier, sameAlgorithm } from './algorithms.ts';
import {
  type AlgorithmIdentifier,
  type Certificate,
  type Extension,
  maximumCertificateBytes,
} from './model.ts';
import { readName } from './names.ts';
import { readSpki } from './spki.ts';

const maximumExtensions = 64;

/** Throws a `MalformedError` with the offset of the first fault. The result holds views of `der`. */
export function parseCertificate(der: Uint8Array): Certificate {
  return readDer(der, readCertificate, { maximumBytes: maximumCertificateBytes });
}

export function readCertificate(reader: DerReader): Certificate {
  const { value, der } = reader.recorded((outer) =>
    outer.sequence((certificate) => {
      const tbs = certificate.recorded(readTbs);
      const start = certificate.offset;
      const signatureAlgorithm = readAlgorithmIdentifier(certificate);
      // RFC 5280 §4.1.1.2: or the signed part would not say how it is signed.
      if (!sameAlgorithm(signatureAlgorithm, tbs.value.signatureAlgorithm)) {
        certificate.fail('the two signature algorithms differ', start);
      }
      return { tbs: tbs.der, ...tbs.value, signature: certificate.bitStringOctets() };
    }),
  );
  return { der, ...value };
}

/** SEQUENCE OF Extension, none twice (RFC 5280 §4.2); also in certification requests. */
export function readExtensions(reader: DerReader): Extension[] {
  const seen = new Set<string>();
  const start = reader.offset;
  const extensions = reader.sequenceOf((content) => {
    const at = content.offset;
    const extension = content.sequence(readExtension);
    if (seen.has(extension.oid)) content.fail(`extension ${extension.oid} occurs twice`, at);
    seen.add(extension.oid);
    if (seen.size > maximumExtensions)
      content.fail(`more than ${maximumExtensions} extensions`, at);
    return extension;
  });
  return extensions.length > 0 ? extensions : reader.fail('empty list of extensions', start);
}

type TbsValues = Omit<Certificate, 'der' | 'tbs' | 'signature'>;

function readTbs(reader: DerReader): TbsValues {
  return reader.sequence((tbs) => {
    const version = tbs.optional(contextConstructed(0), readVersion) ?? 1;
    const serialNumber = tbs.integer();
    const signatureAlgorithm: AlgorithmIdentifier = readAlgorithmIdentifier(tbs);
    const issuer = readName(tbs);
    const [notBeforeMs, notAfterMs] = tbs.sequence(
      (dates) => [dates.time(), dates.time()] as const,
    );
    const subject = readName(tbs);
    const publicKey = readSpki(tbs);
    if (version > 1) {
      // issuerUniqueID and subjectUniqueID: out of use (RFC 5280 §4.1.2.8), read past.
      tbs.optional(contextPrimitive(1), (field) => field.bitString(contextPrimitive(1)));
      tbs.optional(contextPrimitive(2), (field) => field.bitString(contextPrimitive(2)));
    }
    const extensions =
      version === 3
        ? (tbs.optional(contextConstructed(3), (field) =>
            field.constructed(contextConstructed(3), readExtensions),
          ) ?? [])
        : [];
    return {
      version,
      serialNumber,
      signatureAlgorithm,
      issuer,
      notBeforeMs,
      notAfterMs,
      subject,
      publicKey,
      extensions,
    };
  });
}

function readVersion(reader: DerReader): 2 | 3 {
  const start = reader.offset;
  const version = reader.constructed(contextConstructed(0), (field) => field.unsigned(255));
  // v1 is the default and not written (X.690 §11.5); there is no v4.
  if (version === 1) return 2;
  return version === 2 ? 3 : reader.fail('unknown version', start);
}

function readExtension(reader: DerReader): Extension {
  const oid = reader.oid();
  const start = reader.offset;
  const critical = reader.optional(tags.boolean, (field) => field.boolean());
  // X.690 §11.5: the default value is not written.
  if (critical === false) reader.fail('critical FALSE is written out', start);
  return { oid, critical: critical ?? false, value: reader.octetString() };
}
