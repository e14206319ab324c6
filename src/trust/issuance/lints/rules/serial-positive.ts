/** A serial number is above zero (RFC 5280 §4.1.2.2). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'serial-positive',
  clause: 'RFC 5280 §4.1.2.2',
  fault: ({ certificate: { serialNumber } }) =>
    (serialNumber[0] ?? 0x80) < 0x80 && serialNumber.some((octet) => octet !== 0)
      ? undefined
      : 'the serial number is not positive',
};
