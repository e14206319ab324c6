/** An authority is bound to the hosts of its profile; who issues what devices are excludes all (RFC 5280 §4.2.1.10). */
import { extensionOids, nameConstraints } from '../../../../wire/x509/extensions.ts';
import { constraintsOf } from '../../permittedHosts.ts';
import { extension, type Rule, sameExtension } from '../rule.ts';

export const rule: Rule = {
  id: 'name-constraints',
  clause: 'RFC 5280 §4.2.1.10',
  fault: (subject) => {
    const { authority } = subject.profile;
    const constraints = authority && constraintsOf(authority);
    const found = extension(subject, extensionOids.nameConstraints);
    return sameExtension(found, constraints && nameConstraints(constraints))
      ? undefined
      : 'the name constraints are not those of the profile, critically';
  },
};
