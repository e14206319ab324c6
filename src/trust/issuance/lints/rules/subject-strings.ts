/** Names are short strings of the right type without control characters (RFC 5280 Appendix A.1). */
import { tags } from '../../../../wire/der/tags.ts';
import type { NameAttribute } from '../../../../wire/x509/model.ts';
import { attributeTypes, valueText } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-strings',
  clause: 'RFC 5280 §4.1.2.4, Appendix A.1',
  fault: ({ certificate }) => {
    const wrong = certificate.subject.rdns.flat().find((attribute) => !isSoundString(attribute));
    return wrong === undefined ? undefined : `attribute ${wrong.type} is no sound string`;
  },
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
