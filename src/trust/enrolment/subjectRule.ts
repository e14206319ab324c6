/** RFC 7030 §4.2.2: a renewal asks for the names that the certificate has, and for no others. */
import { equal } from '../../wire/bytes/bytes.ts';
import type { CertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { extensionOids, findExtension } from '../../wire/x509/extensions.ts';
import type { Certificate, Extension } from '../../wire/x509/model.ts';
import { sameName } from '../../wire/x509/names.ts';
import { type Refusal, refuse } from '../ports/faults.ts';

/** RFC 6402 §2.8: asks for other names in the new certificate. */
const changeSubjectNameOid = '1.3.6.1.5.5.7.7.36';

export function subjectMismatch(
  request: CertificationRequest,
  current: Certificate,
): Refusal<'subject-mismatch'> | undefined {
  if (request.attributes.some(({ type }) => type === changeSubjectNameOid)) {
    return refuse('subject-mismatch', 'names of devices do not change on request');
  }
  if (!sameName(request.subject, current.subject)) {
    return refuse('subject-mismatch', 'the subject is not that of the present certificate');
  }
  const same = sameValue(
    alternativeName(request.requestedExtensions),
    alternativeName(current.extensions),
  );
  return same
    ? undefined
    : refuse('subject-mismatch', 'the alternative name is not that of the present certificate');
}

function alternativeName(extensions: readonly Extension[]): Uint8Array | undefined {
  return findExtension(extensions, extensionOids.subjectAltName)?.value;
}

function sameValue(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  return left === undefined || right === undefined ? left === right : equal(left, right);
}
