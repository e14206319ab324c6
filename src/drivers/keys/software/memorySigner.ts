/** A signing key that is drawn here, never written anywhere, and gone with the process. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Signer } from '../../../trust/ports/keys.ts';

export function newMemorySigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return new MemorySigner(privateKey, publicKey);
}

class MemorySigner implements Signer {
  readonly algorithm = 'ecdsa-with-SHA256';
  readonly publicKeySpki: Uint8Array;
  readonly #key: KeyObject;

  constructor(privateKey: KeyObject, publicKey: KeyObject) {
    this.#key = privateKey;
    this.publicKeySpki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  }

  sign(data: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      sign('sha256', data, this.#key, (error, signature) => {
        if (error === null) resolve(new Uint8Array(signature));
        else reject(error);
      });
    });
  }
}
