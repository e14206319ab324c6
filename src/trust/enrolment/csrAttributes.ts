/** What enrolment wants to see in a request, told to clients that ask (RFC 7030 §4.5, RFC 9908). */
import { type CsrAttribute, encodeCsrAttributes } from '../../wire/est/csrAttributes.ts';
import { curveOids, keyTypeOids, signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { requestAttributeOids } from '../../wire/x509/certificationRequest.ts';
import type { EnrolmentPolicy } from './enrolment.ts';

/**
 * DER of CsrAttrs, in both forms: RFC 9908 §4 has clients that know the template ignore the rest. The
 * template asks for no subject, since names come from the registry and not from requests.
 */
export function csrAttributesOf({ popLinking }: Pick<EnrolmentPolicy, 'popLinking'>): Uint8Array {
  const wanted: CsrAttribute[] = [
    { type: keyTypeOids.ecPublicKey, values: [curveOids['P-256']] },
    { oid: signatureAlgorithmOids['ecdsa-with-SHA256'] },
    { template: { key: { algorithm: keyTypeOids.ecPublicKey, curve: curveOids['P-256'] } } },
  ];
  const password = { oid: requestAttributeOids.challengePassword };
  return encodeCsrAttributes(popLinking === 'required' ? [password, ...wanted] : wanted);
}
