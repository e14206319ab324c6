/**
 * The tokens of a configuration, each opened when a key in it is first used.
 * A token that is away is a retryable `EnvironmentError` for whoever needs it, and nobody else's matter.
 */
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Signer } from '../../../trust/ports/keys.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { type KeyUri, pinOf } from './keyUri.ts';
import type { TokenAlgorithm } from './protocol.ts';
import { Pkcs11Token } from './token.ts';

export class Tokens {
  readonly #tokens = new Map<string, Pkcs11Token>();

  /** The key of that label; made when the token has none. Rejects with an `EnvironmentError`. */
  async make(uri: KeyUri, algorithm: TokenAlgorithm): Promise<Signer> {
    const token = this.#token(uri);
    const present = await token.signer(uri.keyLabel);
    if (present === undefined) return token.generate(uri.keyLabel, algorithm);
    if (present.algorithm === algorithm) return present;
    throw new EnvironmentError(
      `token ${uri.tokenLabel} holds ${uri.keyLabel} as a key for ${present.algorithm}`,
      { retryable: false },
    );
  }

  /** `undefined` when the token holds no key of that label. */
  async find(uri: KeyUri): Promise<Signer | undefined> {
    return this.#token(uri).signer(uri.keyLabel);
  }

  /** Asks the token at each signature: it may be away now, and back at the next. */
  signer(uri: KeyUri, algorithm: Signer['algorithm'], publicKeySpki: Uint8Array): Signer {
    let found: Signer | undefined;
    const find = async (): Promise<Signer> => {
      const signer = await this.find(uri);
      if (signer !== undefined && equal(signer.publicKeySpki, publicKeySpki)) return signer;
      throw new EnvironmentError(
        `token ${uri.tokenLabel} does not hold the key ${uri.keyLabel} of the certificate`,
        { retryable: true },
      );
    };
    return {
      algorithm,
      publicKeySpki,
      sign: async (data) => {
        found ??= await find();
        return found.sign(data);
      },
    };
  }

  async close(): Promise<void> {
    for (const token of this.#tokens.values()) token.close();
  }

  #token(uri: KeyUri): Pkcs11Token {
    const { modulePath, tokenLabel } = uri;
    const name = `${modulePath} ${tokenLabel}`;
    const token =
      this.#tokens.get(name) ?? new Pkcs11Token({ modulePath, tokenLabel, pin: () => pinOf(uri) });
    this.#tokens.set(name, token);
    return token;
  }
}
