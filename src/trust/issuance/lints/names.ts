/** Subject and alternative names (RFC 5280 §4.1.2.6, §4.2.1.6, Appendix A.1). */
import { equal } from '../../../wire/bytes/bytes.ts';
import { tags } from '../../../wire/der/tags.ts';
import { extensionOids } from '../../../wire/x509/extensions.ts';
import type { GeneralName, HardwareModuleName } from '../../../wire/x509/generalNames.ts';
import type { NameAttribute } from '../../../wire/x509/model.ts';
import { attributeText, attributeTypes, isEmptyName, valueText } from '../../../wire/x509/names.ts';
import { organizationOf } from '../issuer.ts';
import type { SubjectForm } from '../profile.ts';
import { extension, type LintSubject, type Rule } from './rule.ts';

export const nameRules: readonly Rule[] = [
  {
    id: 'subject-present',
    clause: 'RFC 5280 §4.1.2.6',
    fault: ({ certificate }) =>
      isEmptyName(certificate.subject) ? 'the subject is empty' : undefined,
  },
  {
    id: 'subject-strings',
    clause: 'RFC 5280 §4.1.2.4, Appendix A.1',
    fault: ({ certificate }) => {
      const wrong = certificate.subject.rdns.flat().find((attribute) => !isSoundString(attribute));
      return wrong === undefined ? undefined : `attribute ${wrong.type} is no sound string`;
    },
  },
  {
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
  },
  {
    id: 'subject-organization',
    clause: 'profile: an authority speaks for one organization',
    fault: ({ certificate, issuer }) =>
      attributeText(certificate.subject, 'organizationName') === organizationOf(issuer)
        ? undefined
        : 'the organization is not that of the issuer',
  },
  {
    id: 'subject-device-id',
    clause: 'IEEE 802.1AR: serialNumber of the subject',
    fault: ({ certificate, profile }) =>
      profile.subject !== 'device' ||
      /^[0-9a-hjkmnp-tv-z]{16}$/.test(attributeText(certificate.subject, 'serialNumber') ?? '')
        ? undefined
        : 'the serialNumber of the subject is no device id',
  },
  {
    id: 'self-issued',
    clause: 'RFC 5280 §3.2',
    fault: ({ certificate, issuer, profile }) => {
      const same = equal(certificate.subject.der, certificate.issuer.der);
      const link = profile.authority?.linksGenerations === true;
      return same === (issuer.role === 'self' || link)
        ? undefined
        : 'subject and issuer are the same in a root and in a link, and nowhere else';
    },
  },
  {
    id: 'san-criticality',
    clause: 'RFC 5280 §4.2.1.6',
    fault: (subject) => {
      const found = extension(subject, extensionOids.subjectAltName);
      return found === undefined || !found.critical
        ? undefined
        : 'alternative names are critical only beside an empty subject';
    },
  },
  {
    id: 'san-form',
    clause: 'profile: alternative name',
    fault: alternativeNameFault,
  },
  {
    id: 'san-host-names',
    clause: 'RFC 5280 §4.2.1.6',
    fault: ({ alternativeNames }) => {
      const wrong = alternativeNames?.find((name) => !isSoundHost(name));
      return wrong === undefined ? undefined : `a ${wrong.kind} is no host`;
    },
  },
];

const subjectTypes: Readonly<Record<SubjectForm, readonly string[]>> = {
  authority: [attributeTypes.organizationName, attributeTypes.commonName],
  device: [attributeTypes.organizationName, attributeTypes.serialNumber],
  named: [attributeTypes.organizationName, attributeTypes.commonName],
};

/** RFC 5280 Appendix A.1: ub-common-name, ub-organization-name and ub-serial-number are 64 characters. */
const maximumCharacters = 64;

function isSoundString(attribute: NameAttribute): boolean {
  const expected =
    attribute.type === attributeTypes.serialNumber ? tags.printableString : tags.utf8String;
  const text = valueText(attribute);
  return (
    attribute.tag === expected &&
    text !== undefined &&
    text.length > 0 &&
    text.length <= maximumCharacters &&
    // A NUL ends a string for C programs, other controls rewrite logs.
    !/\p{Cc}/u.test(text)
  );
}

function alternativeNameFault(subject: LintSubject): string | undefined {
  const { alternativeNames, profile } = subject;
  switch (profile.alternativeName) {
    case 'none':
      return alternativeNames === undefined
        ? undefined
        : 'alternative names are not of its profile';
    case 'hardware-module':
      return alternativeNames?.length === 1 && isSoundModule(subject.hardwareModule)
        ? undefined
        : 'the one alternative name is not the hardware module (RFC 4108 §5)';
    case 'hosts':
      return alternativeNames?.every(({ kind }) => kind === 'dNSName' || kind === 'iPAddress') ===
        true
        ? undefined
        : 'the alternative names are not hosts alone';
  }
}

function isSoundModule(module: HardwareModuleName | undefined): boolean {
  return module !== undefined && module.hwSerialNum.length > 0 && module.hwSerialNum.length <= 64;
}

/** RFC 1034 §3.5 as RFC 5280 asks for it: letters, digits, hyphens, at most 63 a label and 253 in all. */
function isSoundHost(name: GeneralName): boolean {
  if (name.kind === 'iPAddress') return name.address.length === 4 || name.address.length === 16;
  if (name.kind !== 'dNSName') return true;
  return (
    name.text.length <= 253 &&
    name.text.split('.').every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(label))
  );
}
