/**
 * The anchors that a device trusts for servers: those that its element was born with, and later ones that
 * these vouch for. What a server offers widens trust only where a present anchor has signed it, or has said
 * long before which key would come next.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { findExtension } from '../../wire/x509/extensions.ts';
import { committedSha256, hashOfRootKeyOid } from '../../wire/x509/hashOfRootKey.ts';
import { isAuthority, isIssuedBy, whenWellFormed } from '../identity/signatures.ts';

/** More than any rollover needs at a time. */
export const maximumAnchors = 8;

/**
 * The anchors with those of the offered certificates that one of them has signed: an authority's new
 * certificate under its old key (new-with-old, RFC 4210 §4.4); and with a new root, under whatever name,
 * whose key a present one has committed to (RFC 8649 §2). The server that offered them was verified with a
 * present anchor. Everything else that was offered is passed over.
 */
export function extendAnchors(
  crypto: Crypto,
  present: readonly Uint8Array[],
  offered: readonly Uint8Array[],
): readonly Uint8Array[] {
  const anchors = present.map((der) => parseCertificate(der));
  for (const candidate of offered.flatMap((der) => readable(der))) {
    const known = anchors.some((anchor) => equal(anchor.der, candidate.der));
    if (known || !isAuthority(candidate) || anchors.length >= maximumAnchors) continue;
    const vouched = anchors.some(
      (anchor) => isIssuedBy(crypto, candidate, anchor) || isNextRoot(crypto, candidate, anchor),
    );
    if (vouched) anchors.push(candidate);
  }
  return anchors.map(({ der }) => der);
}

/** RFC 8649 §2: signed by itself, with the key whose hash the present root names. */
function isNextRoot(crypto: Crypto, candidate: Certificate, present: Certificate): boolean {
  const commitment = findExtension(present.extensions, hashOfRootKeyOid);
  if (commitment === undefined || !isIssuedBy(crypto, candidate, candidate)) return false;
  const sha256 = whenWellFormed(() => committedSha256(commitment.value), undefined);
  return sha256 !== undefined && equal(sha256, crypto.hash('SHA-256', candidate.publicKey.spki));
}

/** Certificates with algorithms of later years are no reason to refuse the others. */
function readable(der: Uint8Array): readonly Certificate[] {
  try {
    return [parseCertificate(der)];
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return [];
    throw error;
  }
}
