/** The issuer is named as it names itself (RFC 5280 §4.1.2.4). */
import { equal } from '../../../../wire/bytes/bytes.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'issuer-name',
  clause: 'RFC 5280 §4.1.2.4',
  fault: ({ certificate, issuer }) =>
    certificate.issuer.rdns.length > 0 && equal(certificate.issuer.der, issuer.subject.der)
      ? undefined
      : 'the issuer is not, octet for octet, the subject of the issuing authority',
};
