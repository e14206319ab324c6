/** The keys of authorities, wherever they are: encrypted files of the folder, or tokens. */
import type { KeyKind } from '../../drivers/keys/software/keyFile.ts';
import type { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { parseKeyUri } from '../../drivers/keys/pkcs11/keyUri.ts';
import type { TokenAlgorithm } from '../../drivers/keys/pkcs11/protocol.ts';
import { Tokens } from '../../drivers/keys/pkcs11/tokens.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { CertificateSignatureAlgorithm, Signer } from '../../trust/ports/keys.ts';
import { type AuthorityRecord, offlineKey } from './book.ts';

const fileKinds: Readonly<Record<CertificateSignatureAlgorithm, KeyKind>> = {
  'ecdsa-with-SHA256': 'p256-sign',
  'ecdsa-with-SHA384': 'p384-sign',
  Ed25519: 'ed25519-sign',
  'ML-DSA-44': 'ml-dsa-44-sign',
  'ML-DSA-65': 'ml-dsa-65-sign',
  'ML-DSA-87': 'ml-dsa-87-sign',
  'SLH-DSA-SHA2-128s': 'slh-dsa-sha2-128s-sign',
};

export class AuthorityKeys {
  readonly #files: KeyFolder;
  readonly #tokens = new Tokens();

  constructor(files: KeyFolder) {
    this.#files = files;
  }

  /** Made when it is not there. Rejects with an `EnvironmentError`. */
  async make({ name, algorithm, key }: AuthorityRecord): Promise<Signer> {
    if (key === offlineKey) throw offline(name);
    if (key !== undefined) return this.#tokens.make(parseKeyUri(key), tokenAlgorithm(algorithm));
    if (!(await this.#files.names()).includes(name)) {
      await this.#files.create(name, fileKinds[algorithm]);
    }
    return this.#files.signer(name);
  }

  /**
   * For the certificate with this key. A file opens now or not at all; a token is asked at each
   * signature, so that an authority starts, and serves what it can, while a token is away.
   */
  async signer(
    { name, algorithm, key }: AuthorityRecord,
    publicKeySpki: Uint8Array,
  ): Promise<Signer> {
    if (key === offlineKey) {
      return { algorithm, publicKeySpki, sign: () => Promise.reject(offline(name)) };
    }
    return key === undefined
      ? this.#files.signer(name)
      : this.#tokens.signer(parseKeyUri(key), algorithm, publicKeySpki);
  }

  close(): Promise<void> {
    return this.#tokens.close();
  }
}

function offline(name: string): EnvironmentError {
  return new EnvironmentError(
    `the key of ${name} is on another machine: see birthmark ca root and sign-request there`,
    { retryable: false },
  );
}

function tokenAlgorithm(algorithm: CertificateSignatureAlgorithm): TokenAlgorithm {
  if (
    algorithm === 'ecdsa-with-SHA256' ||
    algorithm === 'ecdsa-with-SHA384' ||
    algorithm === 'Ed25519'
  ) {
    return algorithm;
  }
  throw new EnvironmentError(`no token holds keys for ${algorithm}: use a file`, {
    retryable: false,
  });
}
