/** The curves as OpenSSL and DER know them. */
import type { Curve } from '../../../wire/crypto/crypto.ts';

export interface CurveFacts {
  /** OpenSSL's name; none for the Montgomery and Edwards curves. */
  readonly ecdhName?: string;
  readonly publicKeyBytes: number;
  /** DER of SubjectPublicKeyInfo up to the bytes of the key. */
  readonly spkiPrefix: Uint8Array;
  /** The same for a compressed point; none for the Montgomery and Edwards curves. */
  readonly compressedSpkiPrefix?: Uint8Array;
  /** DER of PrivateKeyInfo up to the bytes of the key; OpenSSL computes the public key that it leaves out. */
  readonly pkcs8Prefix: Uint8Array;
  readonly privateKeyBytes: number;
}

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

export const curves: Readonly<Record<Curve, CurveFacts>> = {
  'P-256': {
    ecdhName: 'prime256v1',
    publicKeyBytes: 32,
    spkiPrefix: hex('3059301306072a8648ce3d020106082a8648ce3d030107034200'),
    compressedSpkiPrefix: hex('3039301306072a8648ce3d020106082a8648ce3d030107032200'),
    pkcs8Prefix: hex('3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420'),
    privateKeyBytes: 32,
  },
  'P-384': {
    ecdhName: 'secp384r1',
    publicKeyBytes: 48,
    spkiPrefix: hex('3076301006072a8648ce3d020106052b81040022036200'),
    compressedSpkiPrefix: hex('3046301006072a8648ce3d020106052b81040022033200'),
    pkcs8Prefix: hex('304e020100301006072a8648ce3d020106052b81040022043730350201010430'),
    privateKeyBytes: 48,
  },
  'P-521': {
    ecdhName: 'secp521r1',
    publicKeyBytes: 66,
    spkiPrefix: hex('30819b301006072a8648ce3d020106052b8104002303818600'),
    compressedSpkiPrefix: hex('3058301006072a8648ce3d020106052b81040023034400'),
    pkcs8Prefix: hex('3060020100301006072a8648ce3d020106052b81040023044930470201010442'),
    privateKeyBytes: 66,
  },
  X25519: {
    publicKeyBytes: 32,
    spkiPrefix: hex('302a300506032b656e032100'),
    pkcs8Prefix: hex('302e020100300506032b656e04220420'),
    privateKeyBytes: 32,
  },
  X448: {
    publicKeyBytes: 56,
    spkiPrefix: hex('3042300506032b656f033900'),
    pkcs8Prefix: hex('3046020100300506032b656f043a0438'),
    privateKeyBytes: 56,
  },
  Ed25519: {
    publicKeyBytes: 32,
    spkiPrefix: hex('302a300506032b6570032100'),
    pkcs8Prefix: hex('302e020100300506032b657004220420'),
    privateKeyBytes: 32,
  },
  Ed448: {
    publicKeyBytes: 57,
    spkiPrefix: hex('3043300506032b6571033a00'),
    pkcs8Prefix: hex('3047020100300506032b6571043b0439'),
    privateKeyBytes: 57,
  },
};
