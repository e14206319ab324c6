/** A serial number fits 20 octets (RFC 5280 §4.1.2.2). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'serial-length',
  clause: 'RFC 5280 §4.1.2.2',
  fault: ({ certificate }) =>
    certificate.serialNumber.length <= 20 ? undefined : 'the serial number has more than 20 octets',
};
