/** Who issues what devices are excludes every host (RFC 5280 §4.2.1.10). */
import { toHex } from '../../../../wire/bytes/hex.ts';
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { encodeGeneralName, type GeneralName } from '../../../../wire/x509/generalNames.ts';
import { allHosts } from '../../prepare.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'name-constraints',
  clause: 'RFC 5280 §4.2.1.10',
  fault: (subject) => {
    const found = extension(subject, extensionOids.nameConstraints);
    const constraints = subject.nameConstraints;
    if (subject.profile.authority?.excludesHosts !== true) {
      return found === undefined ? undefined : 'name constraints are not of its profile';
    }
    return found?.critical === true &&
      constraints?.permitted.length === 0 &&
      sameNames(constraints.excluded, allHosts)
      ? undefined
      : 'the certificate does not exclude every host, critically';
  },
};

function sameNames(left: readonly GeneralName[], right: readonly GeneralName[]): boolean {
  const text = (names: readonly GeneralName[]): string =>
    names.map((name) => toHex(encodeGeneralName(name))).join();
  return text(left) === text(right);
}
