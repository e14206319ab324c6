/** Hosts are called as hosts may be (RFC 5280 §4.2.1.6). */
import type { GeneralName } from '../../../../wire/x509/generalNames.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'san-host-names',
  clause: 'RFC 5280 §4.2.1.6',
  fault: ({ alternativeNames }) => {
    const wrong = alternativeNames?.find((name) => !isSoundHost(name));
    return wrong === undefined ? undefined : `a ${wrong.kind} is no host`;
  },
};

/** RFC 1034 §3.5 as RFC 5280 asks for it: letters, digits, hyphens, at most 63 a label and 253 in all. */
function isSoundHost(name: GeneralName): boolean {
  if (name.kind === 'iPAddress') return name.address.length === 4 || name.address.length === 16;
  if (name.kind !== 'dNSName') return true;
  return (
    name.text.length <= 253 &&
    name.text.split('.').every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(label))
  );
}
