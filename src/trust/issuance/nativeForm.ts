/**
 * The signed part of a certificate in its two forms: DER, and the CBOR sequence of a natively signed C509
 * certificate (draft-ietf-cose-cbor-encoded-cert, type 2). Both say the same; the first octet tells which.
 */
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import { completeNative, prepareNativeCertificate } from '../../wire/c509/native.ts';
import { parseC509Certificate } from '../../wire/c509/certificate.ts';
import { derAlgorithm } from '../../wire/c509/algorithms.ts';
import { tags } from '../../wire/der/tags.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { encodeCertificate, encodeTbsCertificate } from '../../wire/x509/certificateWriter.ts';
import { encodeExtension } from '../../wire/x509/extensions.ts';

export function isNativeTbs(tbs: Uint8Array): boolean {
  return tbs[0] !== tags.sequence;
}

/** `signatureAlgorithm`: DER, as in the signed part. Throws an `UnsupportedError` for what C509 cannot say. */
export function nativeTbsOf(derTbs: Uint8Array, signatureAlgorithm: Uint8Array): Uint8Array {
  const unsigned = parseCertificate(encodeCertificate(derTbs, signatureAlgorithm, standIn));
  return prepareNativeCertificate(unsigned).toBeSigned;
}

/** Throws a `MalformedError` or an `UnsupportedError`. */
export function derTbsOf(nativeTbs: Uint8Array, decompress: PointDecompressor): Uint8Array {
  const { certificate } = parseC509Certificate(completeNative(nativeTbs, standIn), decompress);
  return encodeTbsCertificate({
    serialNumber: certificate.serialNumber,
    signatureAlgorithm: derAlgorithm(certificate.signatureAlgorithm),
    issuer: certificate.issuer.der,
    notBeforeMs: certificate.notBeforeMs,
    notAfterMs: certificate.notAfterMs,
    subject: certificate.subject.der,
    spki: certificate.publicKey.spki,
    extensions: certificate.extensions.map(encodeExtension),
  });
}

/** An ECDSA-Sig-Value of ones where the readers want a whole certificate. */
const standIn = Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 1);
