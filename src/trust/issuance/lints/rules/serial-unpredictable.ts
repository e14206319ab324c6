/** Nobody guesses the next serial number. */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'serial-unpredictable',
  clause: 'docs/authority.md: 80 random bits',
  // Six octets of time, of which the first is not zero since 2004, before ten random ones; those that
  // follow from key and dates begin with five zero octets once in 2^40.
  fault: ({ certificate }) =>
    certificate.serialNumber.length >= 12 ? undefined : 'the serial number is no random one',
};
