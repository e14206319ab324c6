/**
 * The tokens of a configuration, each opened when a key in it is first used, and again when it was lost.
 * A token that is away is a retryable `EnvironmentError` for whoever needs it, and nobody else's matter.
 */
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Signer } from '../../../trust/ports/keys.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { type KeyUri, pinOf } from './keyUri.ts';
import type { TokenAlgorithm } from './protocol.ts';
import { Pkcs11Token } from './token.ts';

export class Tokens {
  readonly #open = new Map<string, Promise<Pkcs11Token>>();

  /** The key of that label; made when the token has none. Rejects with an `EnvironmentError`. */
  async make(uri: KeyUri, algorithm: TokenAlgorithm): Promise<Signer> {
    const token = await this.#token(uri);
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
    return (await this.#token(uri)).signer(uri.keyLabel);
  }

  /** Asks the token at each signature: it may be away now, and back at the next. */
  signer(uri: KeyUri, algorithm: Signer['algorithm'], publicKeySpki: Uint8Array): Signer {
    let found: Promise<Signer> | undefined;
    const key = async (): Promise<Signer> => {
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
        found ??= key();
        try {
          return await (await found).sign(data);
        } catch (error) {
          found = undefined;
          throw error;
        }
      },
    };
  }

  async close(): Promise<void> {
    const tokens = await Promise.allSettled(this.#open.values());
    this.#open.clear();
    for (const token of tokens) if (token.status === 'fulfilled') token.value.close();
  }

  async #token(uri: KeyUri): Promise<Pkcs11Token> {
    const { modulePath, tokenLabel } = uri;
    const name = `${modulePath} ${tokenLabel}`;
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const opening = Pkcs11Token.open({ modulePath, tokenLabel, pin: pinOf(uri) });
    this.#open.set(name, opening);
    try {
      return await opening;
    } catch (error) {
      this.#open.delete(name);
      // Plugged in again, or its daemon started, it will do: the certificate says that there is such a key.
      const reason = error instanceof Error ? error.message : String(error);
      throw new EnvironmentError(reason, { retryable: true, cause: error });
    }
  }
}
