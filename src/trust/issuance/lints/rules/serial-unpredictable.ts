/** Nobody guesses the next serial number. */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'serial-unpredictable',
  clause: 'docs/authority.md: 128 random bits',
  // 128 random bits begin with five zero octets once in 2^40.
  fault: ({ certificate }) =>
    certificate.serialNumber.length >= 12 ? undefined : 'the serial number is no random one',
};
