/** Roots alone commit to the key of the next one, not critically, and not to their own (RFC 8649 §3). */
import { committedSha256, hashOfRootKeyOid } from '../../../../wire/x509/hashOfRootKey.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'root-commitment',
  clause: 'RFC 8649 §3',
  fault: (subject) => {
    const found = extension(subject, hashOfRootKeyOid);
    if (found === undefined) return undefined;
    if (subject.issuer.role !== 'self' || subject.profile.name !== 'root') {
      return 'a commitment to a next root in what is no root';
    }
    return !found.critical && committedSha256(found.value) !== undefined
      ? undefined
      : 'the commitment to the next root is critical, or no SHA-256';
  },
};
