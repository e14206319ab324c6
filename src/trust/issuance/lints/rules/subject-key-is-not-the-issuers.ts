/** No authority certifies a leaf of its own key. */
import { equal } from '../../../../wire/bytes/bytes.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-key-is-not-the-issuers',
  clause: 'docs/authority.md: an authority certifies no leaf of its own key',
  fault: ({ certificate, issuer }) =>
    issuer.role === 'self' || !equal(certificate.publicKey.spki, issuer.signer.publicKeySpki)
      ? undefined
      : 'the key is the authority’s own',
};
