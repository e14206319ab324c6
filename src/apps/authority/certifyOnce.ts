/**
 * Certificates of authorities, the way of all others (lint, T1, signature, T2) and idempotent: a command
 * that was cut short is given again, and finds what it had made.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { Issuance } from '../../trust/issuance/issuance.ts';
import type { Issuer } from '../../trust/issuance/issuer.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import { isLost, type IssuanceStore } from '../../trust/ports/issuanceStore.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeAuthorityKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import type { Extension } from '../../wire/x509/model.ts';
import { completeCertificate } from '../../wire/x509/certificateWriter.ts';

export interface Subject {
  readonly profile: Profile;
  /** Common name. */
  readonly name: string;
  readonly signer: Pick<Signer, 'publicKeySpki' | 'algorithm'>;
  /** Where its key is, for a transcript. */
  readonly key: string;
  /** Of a root that names the key of the next one (RFC 8649): SHA-256 of its SubjectPublicKeyInfo. */
  readonly nextRootSha256?: Uint8Array | undefined;
}

/** DER. Rejects with an `EnvironmentError` when it cannot be issued. */
export async function certifyOnce(
  { clock, store }: { readonly clock: Clock; readonly store: IssuanceStore },
  { profile, name, signer, nextRootSha256 }: Subject,
  issuer: Issuer,
): Promise<Uint8Array> {
  const issuance = new Issuance({
    store,
    crypto: nodeCrypto,
    clock,
    profiles: new Map([[profile.name, profile]]),
    issuers: [issuer],
  });
  await issuance.recover();
  const present = (await store.certificatesOf(name))
    .filter((issued) => !isLost(issued))
    .map(({ tbs, signature }) => completeCertificate(tbs, signature))
    .find((der) => {
      const { publicKey, issuer: above, extensions } = parseCertificate(der);
      return (
        equal(publicKey.spki, signer.publicKeySpki) &&
        equal(above.der, issuer.subject.der) &&
        isByKey(extensions, issuer)
      );
    });
  if (present !== undefined) return present;
  const commitment = nextRootSha256 === undefined ? {} : { nextRootSha256 };
  const content = { spki: signer.publicKeySpki, name, ...commitment };
  const [issued] = await issuance.issue([{ profile: profile.name, content }]);
  if (issued !== undefined && !isRefusal(issued)) return issued.certificate;
  const reason = issued?.reason ?? 'no answer';
  throw new EnvironmentError(`the certificate ${name} cannot be issued: ${reason}`, {
    retryable: false,
  });
}

/** Generations of an authority share their name: the key identifier tells them apart. */
function isByKey(extensions: readonly Extension[], issuer: Issuer): boolean {
  const found = findExtension(extensions, extensionOids.authorityKeyIdentifier);
  if (found === undefined) return issuer.role === 'self';
  const identifier = decodeAuthorityKeyIdentifier(found.value);
  return identifier !== undefined && equal(identifier, issuer.keyIdentifier);
}
