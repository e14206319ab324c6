/** The attributes of the subject are those of the profile, in their order. */
import { attributeTypes } from '../../../../wire/x509/names.ts';
import type { Profile } from '../../profile.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-form',
  clause: 'profile: subject',
  fault: ({ certificate, profile }) => {
    const expected = attributesOf(profile);
    const { rdns } = certificate.subject;
    const fits =
      rdns.length === expected.length &&
      rdns.every((rdn, index) => rdn.length === 1 && rdn[0]?.type === expected[index]);
    return fits ? undefined : `the subject is not of the form ${profile.subject}`;
  },
};

const { organizationName, commonName, serialNumber, matterVendorId, matterProductId } =
  attributeTypes;
const withCommonName = [organizationName, commonName];
const withSerialNumber = [organizationName, serialNumber];

function attributesOf({ subject, matter }: Profile): readonly string[] {
  switch (subject) {
    case 'authority':
    case 'named':
      return withCommonName;
    case 'device':
    case 'chip':
      return withSerialNumber;
    case 'matter':
      return [
        ...withCommonName,
        ...(matter?.vendorId === undefined ? [] : [matterVendorId]),
        ...(matter?.productId === undefined ? [] : [matterProductId]),
      ];
  }
}
