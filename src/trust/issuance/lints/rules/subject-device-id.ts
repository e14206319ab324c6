/** A device is called by its device id (IEEE 802.1AR). */
import { attributeText } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-device-id',
  clause: 'IEEE 802.1AR: serialNumber of the subject',
  fault: ({ certificate, profile }) =>
    profile.subject !== 'device' ||
    /^[0-9a-hjkmnp-tv-z]{16}$/.test(attributeText(certificate.subject, 'serialNumber') ?? '')
      ? undefined
      : 'the serialNumber of the subject is no device id',
};
