/**
 * Who may sign manifests. Log signers are pinned certificates, not members of a hierarchy: the published
 * one is self-signed, no CA and valid for six months, so it is judged at the moment of signing.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import type { SignedEntry } from '../../wire/manifest/entry.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeKeyUsage,
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import { namedCurve } from '../../wire/x509/spki.ts';
import { type Refusal, refuse } from '../ports/faults.ts';

export type SignerRefusal = 'unknown-signer' | 'signer-expired' | 'wrong-signature';

interface PinnedSigner {
  readonly keyId: Uint8Array;
  readonly sha256: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly key: PublicKey;
}

export class ManifestSigners {
  readonly #pinned: readonly PinnedSigner[];
  readonly #crypto: Crypto;

  /**
   * DER certificates. Throws a `MalformedError` for one that cannot be read, an `UnsupportedError` for
   * one that cannot sign manifests.
   */
  constructor(certificates: readonly Uint8Array[], crypto: Crypto) {
    this.#crypto = crypto;
    this.#pinned = certificates.map((der) => pin(der, crypto));
  }

  /** Whether a pinned signer, valid when it signed, has signed the entry. */
  refusal(entry: SignedEntry): Refusal<SignerRefusal> | undefined {
    const signer = this.#pinned.find(
      ({ keyId, sha256 }) => equal(keyId, entry.keyId) && equal(sha256, entry.certificateSha256),
    );
    if (signer === undefined) {
      const name = toHex(entry.certificateSha256);
      return refuse('unknown-signer', `no pinned signer has the certificate with SHA-256 ${name}`);
    }
    if (!this.#crypto.verify(signer.key, 'ES256', entry.signingInput, entry.signature)) {
      return refuse('wrong-signature', 'the signature does not cover what the entry says');
    }
    const { provisionedMs } = entry.record;
    if (provisionedMs < signer.notBeforeMs || provisionedMs > signer.notAfterMs) {
      return refuse('signer-expired', 'the signer was not valid at the provisioning timestamp');
    }
    return undefined;
  }
}

function pin(der: Uint8Array, crypto: Crypto): PinnedSigner {
  const { extensions, publicKey, notBeforeMs, notAfterMs } = parseCertificate(der);
  const keyId = findExtension(extensions, extensionOids.subjectKeyIdentifier);
  if (keyId === undefined) throw unsupported('a signer without subject key identifier');
  const usage = findExtension(extensions, extensionOids.keyUsage);
  if (usage !== undefined && !decodeKeyUsage(usage.value).has('digitalSignature')) {
    throw unsupported('a signer whose key is not for signatures');
  }
  const key =
    namedCurve(publicKey) === 'P-256' ? crypto.importPublicKey('P-256', publicKey.key) : undefined;
  if (key === undefined) throw unsupported('a signer without a P-256 key');
  return {
    keyId: decodeSubjectKeyIdentifier(keyId.value),
    sha256: crypto.hash('SHA-256', der),
    notBeforeMs,
    notAfterMs,
    key,
  };
}

function unsupported(what: string): UnsupportedError {
  return new UnsupportedError('manifest', what);
}
