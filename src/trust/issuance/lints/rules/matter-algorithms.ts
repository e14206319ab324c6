/** Matter knows one curve and one signature. */
import { signatureAlgorithmOids } from '../../../../wire/x509/algorithms.ts';
import { namedCurve } from '../../../../wire/x509/spki.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'matter-algorithms',
  clause: 'profile: matter; Matter Core Specification §6.2.2.2',
  fault: ({ certificate, profile }) =>
    profile.matter === undefined ||
    (certificate.signatureAlgorithm.oid === signatureAlgorithmOids['ecdsa-with-SHA256'] &&
      namedCurve(certificate.publicKey) === 'P-256')
      ? undefined
      : 'not P-256, or not ECDSA with SHA-256',
};
