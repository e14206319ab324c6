/** The extensions that path validation processes, decoded once for a certificate. */
import {
  type BasicConstraints,
  decodeBasicConstraints,
  decodeExtKeyUsage,
  decodeKeyUsage,
  decodeNameConstraints,
  decodeSubjectAltName,
  extensionOids,
  type KeyUsage,
  type NameConstraints,
} from '../../wire/x509/extensions.ts';
import type { GeneralName } from '../../wire/x509/generalNames.ts';
import type { Certificate } from '../../wire/x509/model.ts';

export interface KnownExtensions {
  readonly basicConstraints?: BasicConstraints;
  readonly keyUsage?: ReadonlySet<KeyUsage>;
  /** Dotted OIDs. */
  readonly extKeyUsage?: readonly string[];
  readonly subjectAltName: readonly GeneralName[];
  readonly nameConstraints?: NameConstraints;
  /** Dotted OIDs of critical extensions that nothing here processes. */
  readonly unknownCritical: readonly string[];
}

/** Throws a `MalformedError` when one of them is not of its type. */
export function knownExtensions(certificate: Certificate): KnownExtensions {
  const unknownCritical: string[] = [];
  let known: Omit<KnownExtensions, 'unknownCritical'> = { subjectAltName: [] };
  for (const { oid, critical, value } of certificate.extensions) {
    switch (oid) {
      case extensionOids.basicConstraints:
        known = { ...known, basicConstraints: decodeBasicConstraints(value) };
        break;
      case extensionOids.keyUsage:
        known = { ...known, keyUsage: decodeKeyUsage(value) };
        break;
      case extensionOids.extKeyUsage:
        known = { ...known, extKeyUsage: decodeExtKeyUsage(value) };
        break;
      case extensionOids.subjectAltName:
        known = { ...known, subjectAltName: decodeSubjectAltName(value) };
        break;
      case extensionOids.nameConstraints:
        known = { ...known, nameConstraints: decodeNameConstraints(value) };
        break;
      default:
        if (critical) unknownCritical.push(oid);
    }
  }
  return { ...known, unknownCritical };
}
