/** Who is an authority says so, critically (RFC 5280 §4.2.1.9). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'basic-constraints',
  clause: 'RFC 5280 §4.2.1.9',
  fault: (subject) => {
    const found = extension(subject, extensionOids.basicConstraints);
    if (subject.profile.authority === undefined) {
      return found === undefined ? undefined : 'basic constraints in a certificate of no authority';
    }
    return found?.critical === true && subject.basicConstraints?.ca === true
      ? undefined
      : 'an authority without critical basic constraints';
  },
};
