/** What a Matter authority says of vendor and product holds for everything below it. */
import { attributeText } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'matter-issuer',
  clause: 'profile: matter; Matter Core Specification §6.2.2.3 to §6.2.2.5',
  fault: ({ certificate: { subject }, issuer, profile }) => {
    if (profile.matter === undefined || issuer.role === 'self') return undefined;
    const vendor = attributeText(issuer.subject, 'matterVendorId');
    const product = attributeText(issuer.subject, 'matterProductId');
    // A PAI always has a vendor; a PAA may serve many.
    if (vendor === undefined && issuer.role === 'matter-pai') return 'the PAI names no vendor';
    if (vendor !== undefined && vendor !== attributeText(subject, 'matterVendorId')) {
      return 'the vendor is not that of the issuer';
    }
    return product === undefined || product === attributeText(subject, 'matterProductId')
      ? undefined
      : 'the product is not that of the issuer';
  },
};
