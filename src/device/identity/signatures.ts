/** What a device checks of certificates by itself: who signed them, and whether that one may. */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import {
  decodeBasicConstraints,
  decodeKeyUsage,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { sameName } from '../../wire/x509/names.ts';
import { namedCurve } from '../../wire/x509/spki.ts';

const coordinateBytes = 32;

/** Name and signature. ECDSA on P-256 alone, which is what elements and their authorities have. */
export function isIssuedBy(crypto: Crypto, certificate: Certificate, issuer: Certificate): boolean {
  if (!sameName(certificate.issuer, issuer.subject)) return false;
  if (certificate.signatureAlgorithm.oid !== signatureAlgorithmOids['ecdsa-with-SHA256']) {
    return false;
  }
  return namedCurve(issuer.publicKey) === 'P-256' && verified(crypto, certificate, issuer);
}

/** RFC 5280 §4.2.1.9 and §4.2.1.3: a CA that may sign certificates. */
export function isAuthority(certificate: Certificate): boolean {
  return authorityDepth(certificate) !== undefined;
}

/** How many CAs may stand between it and an end entity; `undefined` when it is none that may sign. */
export function authorityDepth({ extensions }: Certificate): number | undefined {
  const constraints = findExtension(extensions, extensionOids.basicConstraints);
  const usage = findExtension(extensions, extensionOids.keyUsage);
  if (constraints === undefined || usage === undefined) return undefined;
  return whenWellFormed<number | undefined>(() => {
    const { ca, pathLength = Number.POSITIVE_INFINITY } = decodeBasicConstraints(constraints.value);
    return ca && decodeKeyUsage(usage.value).has('keyCertSign') ? pathLength : undefined;
  }, undefined);
}

function verified(crypto: Crypto, certificate: Certificate, issuer: Certificate): boolean {
  const publicKey = crypto.importPublicKey('P-256', issuer.publicKey.key);
  if (publicKey === undefined) return false;
  return whenWellFormed(
    () =>
      crypto.verify(
        publicKey,
        'ES256',
        certificate.tbs,
        fixedSignature(certificate.signature, coordinateBytes),
      ),
    false,
  );
}

/** For values inside a certificate that its own reader left encoded. */
export function whenWellFormed<Value>(judge: () => Value, otherwise: Value): Value {
  try {
    return judge();
  } catch (error) {
    if (error instanceof MalformedError) return otherwise;
    throw error;
  }
}
