/** Subject and issuer are the same in a root and in a link, and nowhere else (RFC 5280 §3.2). */
import { equal } from '../../../../wire/bytes/bytes.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'self-issued',
  clause: 'RFC 5280 §3.2',
  fault: ({ certificate, issuer, profile }) => {
    const same = equal(certificate.subject.der, certificate.issuer.der);
    const link = profile.authority?.linksGenerations === true;
    return same === (issuer.role === 'self' || link)
      ? undefined
      : 'subject and issuer are the same in a root and in a link, and nowhere else';
  },
};
