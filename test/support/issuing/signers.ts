/** P-256 keys of tests, each a signer as the ports want it. */
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signOnce,
} from 'node:crypto';
import type { Signer } from '../../../src/trust/ports/keys.ts';

export interface TestSigner extends Signer {
  readonly privateKey: KeyObject;
}

export function testSigner(
  privateKey: KeyObject = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
): TestSigner {
  const publicKey = createPublicKey(privateKey);
  return {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    privateKey,
    sign: async (data) => new Uint8Array(signOnce('sha256', data, privateKey)),
  };
}
