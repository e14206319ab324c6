/** The subject key identifier is that of the key (RFC 5280 §4.2.1.2). */
import { equal } from '../../../../wire/bytes/bytes.ts';
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'ski',
  clause: 'RFC 5280 §4.2.1.2, RFC 7093 §2',
  fault: (subject) => {
    const found = extension(subject, extensionOids.subjectKeyIdentifier);
    const identifier = subject.subjectKeyIdentifier;
    return found?.critical === false &&
      identifier !== undefined &&
      equal(identifier, subject.keyIdentifier)
      ? undefined
      : 'the subject key identifier is missing, critical or of another key';
  },
};
