/** The 72 bytes of a compressed certificate give it back, octet for octet. */
import { fromHex, parseHex } from '../../../../wire/bytes/hex.ts';
import { UnsupportedError } from '../../../../wire/bytes/malformed.ts';
import { compressCertificate } from '../../../../wire/manifest/compressedCertificate.ts';
import { encodeCertificate } from '../../../../wire/x509/certificateWriter.ts';
import { attributeText } from '../../../../wire/x509/names.ts';
import { p256Point } from '../../../../wire/x509/spki.ts';
import { generalizedTimeText } from '../../../../wire/der/time.ts';
import type { LintSubject, Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'compressed-form',
  clause: 'profile: compressed; docs/ca.md',
  fault: (subject) => {
    if (subject.profile.compressed === undefined) return undefined;
    // A number of years after 29 February there is no such day.
    if (generalizedTimeText(subject.certificate.notBeforeMs).slice(4, 8) === '0229') {
      return 'a compressed certificate begins on 29 February';
    }
    try {
      compressedForm(subject, standIn);
      return undefined;
    } catch (error) {
      if (error instanceof UnsupportedError) return error.message;
      throw error;
    }
  },
};

/** The 72 bytes, rebuilt and compared before they are returned; otherwise an `UnsupportedError`. */
export function compressedForm(
  { certificate, profile, issuer, crypto }: LintedFacts,
  signature: Uint8Array,
): Uint8Array {
  const { templateId = 0, chainId = 0 } = profile.compressed ?? {};
  const der = encodeCertificate(certificate.tbs, issuer.signatureAlgorithm, signature);
  const chipSerial = parseHex(attributeText(certificate.subject, 'serialNumber') ?? '');
  return compressCertificate(
    der,
    { templateId, chainId, serialSource: 'key-and-dates' },
    {
      chipSerial: chipSerial ?? new Uint8Array(0),
      authorityKey: p256Point(issuer.signer.publicKeySpki),
    },
    crypto,
  );
}

type LintedFacts = Pick<LintSubject, 'certificate' | 'profile' | 'issuer' | 'crypto'>;

/** Any signature: the bytes of r and s are carried as they are. */
const standIn = fromHex('3006020101020101');
