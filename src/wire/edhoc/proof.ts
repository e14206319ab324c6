/**
 * How a side proves that it holds its private key, and how the other side checks it (RFC 9528 §5.3.2,
 * §5.4.2): a MAC under a key that only an agreement with the static key gives, or a signature over a MAC.
 */
import { equalConstantTime } from '../bytes/bytes.ts';
import type {
  Curve,
  EphemeralKey,
  PublicKey,
  Secret,
  SignatureAlgorithm,
} from '../crypto/crypto.ts';
import type { Identity } from './credential.ts';
import * as schedule from './schedule.ts';
import { SingleUse } from './state.ts';
import { type Authentication, hashLength } from './suites.ts';

/** The values of one side's Signature_or_MAC. */
export interface Proof {
  readonly authentication: Authentication;
  readonly identity: Identity;
  /** TH_2 or TH_3. */
  readonly th: Uint8Array;
  readonly ead: Uint8Array;
  /** PRK_2e or PRK_3e2m: what holds where no static key comes in. */
  readonly prk: Secret;
  /** SALT_3e2m or SALT_4e3m. */
  readonly salt: () => Uint8Array;
  /** MAC_2 or MAC_3 under PRK_3e2m or PRK_4e3m. */
  readonly mac: (prk: Secret, lengthBytes: number) => Uint8Array;
}

export function responderProof(
  algorithms: schedule.Algorithms,
  fields: Omit<Proof, 'salt' | 'mac'> & { readonly cR: Uint8Array },
): Proof {
  const { identity, prk, th, cR, ead } = fields;
  const { idCred: idCredR, cred: credR } = identity;
  return {
    ...fields,
    salt: () => schedule.salt3e2m(algorithms, prk, th),
    mac: (prk3e2m, lengthBytes) => {
      const context = schedule.context2({ cR, idCredR, th2: th, credR, ead2: ead });
      return schedule.mac2(algorithms, prk3e2m, context, lengthBytes);
    },
  };
}

export function initiatorProof(
  algorithms: schedule.Algorithms,
  fields: Omit<Proof, 'salt' | 'mac'>,
): Proof {
  const { identity, prk, th, ead } = fields;
  const { idCred: idCredI, cred: credI } = identity;
  return {
    ...fields,
    salt: () => schedule.salt4e3m(algorithms, prk, th),
    mac: (prk4e3m, lengthBytes) => {
      const context = schedule.context3({ idCredI, th3: th, credI, ead3: ead });
      return schedule.mac3(algorithms, prk4e3m, context, lengthBytes);
    },
  };
}

/** Pauses for the holder of our key; `proceed` gets the next PRK and Signature_or_MAC. */
export function prove<Step>(
  algorithms: schedule.Algorithms,
  proof: Proof,
  peerKey: PublicKey,
  proceed: (prk: Secret, signatureOrMac: Uint8Array) => Step,
): AgreementNeeded<Step> | SignatureNeeded<Step> {
  const { crypto, suite } = algorithms;
  if (proof.authentication === 'static-dh') {
    return new AgreementNeeded(peerKey, (sharedSecret) => {
      const prk = crypto.hkdfExtract(suite.hash, proof.salt(), sharedSecret);
      return proceed(prk, proof.mac(prk, suite.macBytes));
    });
  }
  const toBeSigned = signed(proof, proof.mac(proof.prk, hashLength(suite)));
  return new SignatureNeeded(suite.signature, suite.signatureBytes, toBeSigned, (signature) =>
    proceed(proof.prk, signature),
  );
}

/** The next PRK; `undefined` when the MAC or the signature is wrong. */
export function verify(
  algorithms: schedule.Algorithms,
  proof: Proof,
  ephemeral: EphemeralKey,
  peerKey: PublicKey,
  signatureOrMac: Uint8Array,
): Secret | undefined {
  const { crypto, suite } = algorithms;
  if (proof.authentication === 'static-dh') {
    const sharedSecret = crypto.agree(ephemeral, peerKey);
    if (sharedSecret === undefined) return undefined;
    const prk = crypto.hkdfExtract(suite.hash, proof.salt(), sharedSecret);
    const mac = proof.mac(prk, suite.macBytes);
    return equalConstantTime(mac, signatureOrMac) ? prk : undefined;
  }
  // RFC 9528 §9.8: a cryptographic field of the wrong length ends the session.
  if (signatureOrMac.length !== suite.signatureBytes) return undefined;
  const toBeSigned = signed(proof, proof.mac(proof.prk, hashLength(suite)));
  const valid = crypto.verify(peerKey, suite.signature, toBeSigned, signatureOrMac);
  return valid ? proof.prk : undefined;
}

/**
 * A static Diffie-Hellman key has to be agreed with the ephemeral key of the peer. How long its holder
 * takes (an element, an HSM, a key in memory) is the caller's matter; the key itself never comes in.
 */
export class AgreementNeeded<Step> extends SingleUse<(secret: Uint8Array | Secret) => Step> {
  readonly kind = 'agreement-needed';
  readonly curve: Curve;
  /** G_X or G_Y as received: x alone on NIST curves. It is on its curve. */
  readonly peerPublicKey: Uint8Array;
  /** The same key, imported: for a key that lives behind `Crypto` too. */
  readonly peerKey: PublicKey;

  constructor(peerKey: PublicKey, proceed: (secret: Uint8Array | Secret) => Step) {
    super(proceed);
    this.curve = peerKey.curve;
    this.peerPublicKey = peerKey.bytes;
    this.peerKey = peerKey;
  }

  /** Takes the x-coordinate of the shared point (RFC 9053 §6.3.1). */
  finish(sharedSecret: Uint8Array | Secret): Step {
    if (sharedSecret.length !== this.peerPublicKey.length) {
      throw new TypeError(
        `a shared secret of ${this.curve} has ${this.peerPublicKey.length} bytes`,
      );
    }
    return this.spend()(sharedSecret);
  }
}

/** A signature has to be made over `toBeSigned` by whoever holds our key. */
export class SignatureNeeded<Step> extends SingleUse<(signature: Uint8Array) => Step> {
  readonly kind = 'signature-needed';
  readonly algorithm: SignatureAlgorithm;
  /** The data itself, not its hash. */
  readonly toBeSigned: Uint8Array;
  readonly #signatureBytes: number;

  constructor(
    algorithm: SignatureAlgorithm,
    signatureBytes: number,
    toBeSigned: Uint8Array,
    proceed: (signature: Uint8Array) => Step,
  ) {
    super(proceed);
    this.algorithm = algorithm;
    this.toBeSigned = toBeSigned;
    this.#signatureBytes = signatureBytes;
  }

  /** ECDSA as r‖s: `fixedSignature` of wire/der makes it of DER. */
  finish(signature: Uint8Array): Step {
    if (signature.length !== this.#signatureBytes) {
      throw new TypeError(`${this.algorithm} signatures have ${this.#signatureBytes} bytes`);
    }
    return this.spend()(signature);
  }
}

function signed({ identity, th, ead }: Proof, mac: Uint8Array): Uint8Array {
  return schedule.toBeSigned({ idCred: identity.idCred, th, cred: identity.cred, ead, mac });
}
