/** The authority key identifier is that of the issuer (RFC 5280 §4.2.1.1). */
import { equal } from '../../../../wire/bytes/bytes.ts';
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'aki',
  clause: 'RFC 5280 §4.2.1.1',
  fault: (subject) => {
    const found = extension(subject, extensionOids.authorityKeyIdentifier);
    if (subject.issuer.role === 'self') {
      return found === undefined ? undefined : 'a root needs no authority key identifier';
    }
    const identifier = subject.authorityKeyIdentifier;
    return found?.critical === false &&
      identifier !== undefined &&
      equal(identifier, subject.issuer.keyIdentifier)
      ? undefined
      : 'the authority key identifier is missing, critical or of another key';
  },
};
