/** X.509 to C509 and back, bit for bit or not at all. */
import { equal } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { parseCertificate } from '../x509/certificate.ts';
import { encodeValidity } from '../x509/certificateWriter.ts';
import type { Certificate } from '../x509/model.ts';
import { encodeReencoded, parseC509Certificate } from './certificate.ts';
import type { PointDecompressor } from './publicKey.ts';

/**
 * The certificate as C509 type 3. What is returned was decoded again and gave the same DER; a certificate
 * that does not is refused with an `UnsupportedError` that says why. Throws a `MalformedError` for input
 * that is no certificate.
 */
export function c509FromX509(der: Uint8Array, decompress: PointDecompressor): Uint8Array {
  const certificate = parseCertificate(der);
  refuseKnown(certificate);
  // A point off its curve cannot be brought back from its x-coordinate, but it can be kept whole.
  for (const compress of [true, false]) {
    const encoded = encodeReencoded(certificate, compress);
    if (comesBack(encoded, der, decompress)) return encoded;
  }
  throw new UnsupportedError('c509', 'an encoding of this certificate that gives back its DER');
}

/**
 * The X.509 certificate, DER, of a C509 certificate of type 3. Throws an `UnsupportedError` for type 2,
 * which has no X.509 form that its signature would cover.
 */
export function x509FromC509(c509: Uint8Array, decompress: PointDecompressor): Uint8Array {
  const { type, certificate } = parseC509Certificate(c509, decompress);
  if (type === 3) return certificate.der;
  throw new UnsupportedError('c509', 'X.509 of a natively signed certificate');
}

/** What C509 cannot say, in words; everything else is found by comparing. */
function refuseKnown(certificate: Certificate): void {
  const { version, serialNumber, notBeforeMs, notAfterMs } = certificate;
  if (version !== 3) throw new UnsupportedError('c509', `X.509 version ${version}`);
  if ((serialNumber[0] ?? 0) >= 0x80)
    throw new UnsupportedError('c509', 'a negative serial number');
  if (notBeforeMs < 0 || notAfterMs < 0) throw new UnsupportedError('c509', 'a date before 1970');
  if (!hasUsualDates(certificate)) {
    throw new UnsupportedError(
      'c509',
      'GeneralizedTime for a date before 2050 (RFC 5280 §4.1.2.5)',
    );
  }
  if (hasUniqueIds(certificate)) {
    throw new UnsupportedError('c509', 'issuerUniqueID or subjectUniqueID');
  }
}

function hasUsualDates({ der, issuer, notBeforeMs, notAfterMs }: Certificate): boolean {
  const start = issuer.der.byteOffset - der.byteOffset + issuer.der.length;
  const usual = encodeValidity(notBeforeMs, notAfterMs);
  return equal(der.subarray(start, start + usual.length), usual);
}

/** Behind the key comes `[1]` or `[2]` instead of the extensions or the end. */
function hasUniqueIds({ der, tbs, publicKey }: Certificate): boolean {
  const end = publicKey.spki.byteOffset + publicKey.spki.length - der.byteOffset;
  const tbsEnd = tbs.byteOffset + tbs.length - der.byteOffset;
  return end < tbsEnd && der[end] !== 0xa3;
}

function comesBack(encoded: Uint8Array, der: Uint8Array, decompress: PointDecompressor): boolean {
  try {
    return equal(x509FromC509(encoded, decompress), der);
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return false;
    throw error;
  }
}
