/** What a lint is: one rule with its clause, over a certificate that has been read anew. */
import { equal } from '../../../wire/bytes/bytes.ts';
import type { Crypto } from '../../../wire/crypto/crypto.ts';
import type { BasicConstraints, KeyUsage, NameConstraints } from '../../../wire/x509/extensions.ts';
import type { GeneralName, HardwareModuleName } from '../../../wire/x509/generalNames.ts';
import type { Certificate, Extension } from '../../../wire/x509/model.ts';
import type { Issuer } from '../issuer.ts';
import type { Profile } from '../profile.ts';

export interface Rule {
  /** Stable name, for refusals and documents. */
  readonly id: string;
  readonly clause: string;
  /** What is wrong, in words; `undefined` when the rule holds or does not apply. */
  readonly fault: (subject: LintSubject) => string | undefined;
}

/** A certificate as its own bytes say it, beside what it was meant to be. */
export interface LintSubject {
  readonly certificate: Certificate;
  readonly profile: Profile;
  readonly issuer: Issuer;
  readonly nowMs: number;
  readonly crypto: Crypto;
  /** Identifier octets of notBefore and notAfter. */
  readonly dateTags: readonly [number, number];
  /** Contents of the extensions that are there. */
  readonly basicConstraints: BasicConstraints | undefined;
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined;
  readonly keyPurposes: readonly string[] | undefined;
  readonly alternativeNames: readonly GeneralName[] | undefined;
  /** Of the alternative names, when it is among them. */
  readonly hardwareModule: HardwareModuleName | undefined;
  readonly nameConstraints: NameConstraints | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** The identifier that the subject's key has, by the profile's way of calling keys. */
  readonly keyIdentifier: Uint8Array;
}

export function extension(
  subject: Pick<LintSubject, 'certificate'>,
  oid: string,
): Extension | undefined {
  return subject.certificate.extensions.find((candidate) => candidate.oid === oid);
}

/** Compared as encoded: another reader of the same words might read them otherwise. */
export function sameExtension(
  found: Extension | undefined,
  expected: Extension | undefined,
): boolean {
  if (found === undefined || expected === undefined) return found === expected;
  return found.critical === expected.critical && equal(found.value, expected.value);
}
