/** Who is an authority says so, critically (RFC 5280 §4.2.1.9). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { isMatterDevice } from '../../prepare.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'basic-constraints',
  clause: 'RFC 5280 §4.2.1.9; Matter Core Specification §6.2.2.3',
  fault: (subject) => {
    const found = extension(subject, extensionOids.basicConstraints);
    if (subject.profile.authority === undefined) {
      if (!isMatterDevice(subject.profile)) {
        return found === undefined
          ? undefined
          : 'basic constraints in a certificate of no authority';
      }
      return found?.critical === true && subject.basicConstraints?.ca === false
        ? undefined
        : 'a Matter device that does not say that it is no authority';
    }
    return found?.critical === true && subject.basicConstraints?.ca === true
      ? undefined
      : 'an authority without critical basic constraints';
  },
};
