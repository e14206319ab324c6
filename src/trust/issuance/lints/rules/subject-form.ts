/** The attributes of the subject are those of the profile, in their order. */
import { attributeTypes } from '../../../../wire/x509/names.ts';
import type { SubjectForm } from '../../profile.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-form',
  clause: 'profile: subject',
  fault: ({ certificate, profile }) => {
    const expected = subjectTypes[profile.subject];
    const { rdns } = certificate.subject;
    const fits =
      rdns.length === expected.length &&
      rdns.every((rdn, index) => rdn.length === 1 && rdn[0]?.type === expected[index]);
    return fits ? undefined : `the subject is not of the form ${profile.subject}`;
  },
};

const subjectTypes: Readonly<Record<SubjectForm, readonly string[]>> = {
  authority: [attributeTypes.organizationName, attributeTypes.commonName],
  device: [attributeTypes.organizationName, attributeTypes.serialNumber],
  named: [attributeTypes.organizationName, attributeTypes.commonName],
};
