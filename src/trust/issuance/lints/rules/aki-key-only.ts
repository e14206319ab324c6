/** The authority key identifier names a key and nothing else. */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'aki-key-only',
  clause: 'docs/authority.md: issuer and serial number would block a new certificate of the issuer',
  fault: (subject) => {
    const found = extension(subject, extensionOids.authorityKeyIdentifier);
    // SEQUENCE { [0] 20 octets } and nothing more.
    return found === undefined || found.value.length === 24
      ? undefined
      : 'the authority key identifier names more than the key';
  },
};
