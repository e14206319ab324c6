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

  /**
   * On the caller's thread: to hand 25 µs of work to another one costs half as much again, and takes the
   * pool from signatures that something waits for.
   */
  sign(data: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve) => {
      resolve(bytesOf(sign('sha256', data, this.#key)));
    });
  }
}

/** The same bytes, not a copy: a signature is in memory of its own. */
function bytesOf({ buffer, byteOffset, length }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}
