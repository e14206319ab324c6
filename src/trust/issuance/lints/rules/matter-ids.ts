/** A Matter certificate names the vendor and the product of its profile. */
import { attributeText } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'matter-ids',
  clause: 'profile: matter; Matter Core Specification §6.2.2.2',
  fault: ({ certificate: { subject }, profile: { matter } }) =>
    attributeText(subject, 'matterVendorId') === matter?.vendorId &&
    attributeText(subject, 'matterProductId') === matter?.productId
      ? undefined
      : 'vendor and product are not those of the profile',
};
