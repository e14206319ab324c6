/** Cipher suites and authentication methods of EDHOC as data (RFC 9528 §3.2, §3.6, §10.2). */
import { UnsupportedError } from '../bytes/malformed.ts';
import {
  type AeadAlgorithm,
  aeadParameters,
  type Curve,
  hashBytes,
  type HashAlgorithm,
  type SignatureAlgorithm,
} from '../crypto/crypto.ts';

export interface Suite {
  readonly number: number;
  readonly aead: AeadAlgorithm;
  readonly hash: HashAlgorithm;
  /** Length of MAC_2 and MAC_3 where they stand for a signature. */
  readonly macBytes: number;
  readonly curve: Curve;
  /** Of G_X and G_Y (RFC 9528 §3.7). */
  readonly publicKeyBytes: number;
  readonly signature: SignatureAlgorithm;
  /** Of the authentication keys that sign. */
  readonly signatureCurve: Curve;
  readonly signatureBytes: number;
  readonly applicationAead: AeadAlgorithm;
  readonly applicationHash: Exclude<HashAlgorithm, 'SHA-1'>;
}

/**
 * Suite 25 is not here: its key schedule is KMAC256 (RFC 9528 §4.1.1), which no platform of ours offers,
 * and its signatures are EdDSA on Ed448.
 */
export const suites: readonly Suite[] = [
  suite(0, 'AES-CCM-16-64-128', 8, 'X25519', 'EdDSA'),
  suite(1, 'AES-CCM-16-128-128', 16, 'X25519', 'EdDSA'),
  suite(2, 'AES-CCM-16-64-128', 8, 'P-256', 'ES256'),
  suite(3, 'AES-CCM-16-128-128', 16, 'P-256', 'ES256'),
  suite(4, 'ChaCha20/Poly1305', 16, 'X25519', 'EdDSA'),
  suite(5, 'ChaCha20/Poly1305', 16, 'P-256', 'ES256'),
  suite(6, 'A128GCM', 16, 'X25519', 'ES256'),
  suite(24, 'A256GCM', 16, 'P-384', 'ES384'),
];

/** A row of RFC 9528 §10.2; what is the same in all of them, or follows from the others, is put in. */
function suite(
  number: number,
  aead: AeadAlgorithm,
  macBytes: number,
  curve: 'X25519' | 'P-256' | 'P-384',
  signature: 'EdDSA' | 'ES256' | 'ES384',
): Suite {
  const hash = signature === 'ES384' ? 'SHA-384' : 'SHA-256';
  return {
    number,
    aead,
    hash,
    macBytes,
    curve,
    publicKeyBytes: curve === 'P-384' ? 48 : 32,
    signature,
    signatureCurve: signature === 'EdDSA' ? 'Ed25519' : signature === 'ES256' ? 'P-256' : 'P-384',
    signatureBytes: signature === 'ES384' ? 96 : 64,
    // With the long tags of its own messages CCM leaves the short one to applications.
    applicationAead: aead === 'AES-CCM-16-128-128' ? 'AES-CCM-16-64-128' : aead,
    applicationHash: hash,
  };
}

/** Throws an `UnsupportedError` for a suite that is not in the table. */
export function suiteOf(number: number): Suite {
  const suite = suites.find((candidate) => candidate.number === number);
  if (suite === undefined) throw new UnsupportedError('edhoc', `cipher suite ${number}`);
  return suite;
}

/** Bytes of the transcript hashes and of every PRK. */
export function hashLength(suite: Suite): number {
  return hashBytes[suite.hash];
}

/** Key, nonce and tag of the EDHOC AEAD algorithm. */
export function aeadOf(suite: Suite): {
  readonly keyBytes: number;
  readonly nonceBytes: number;
  readonly tagBytes: number;
} {
  return aeadParameters[suite.aead];
}

/** RFC 9528 §3.2. */
export type Method = 0 | 1 | 2 | 3;

export type Authentication = 'signature' | 'static-dh';

export interface Authentications {
  readonly initiator: Authentication;
  readonly responder: Authentication;
}

const signature = 'signature';
const staticDh = 'static-dh';

const authentications: Readonly<Record<Method, Authentications>> = {
  0: { initiator: signature, responder: signature },
  1: { initiator: signature, responder: staticDh },
  2: { initiator: staticDh, responder: signature },
  3: { initiator: staticDh, responder: staticDh },
};

export function authenticationOf(method: number): Authentications {
  if (method === 0 || method === 1 || method === 2 || method === 3) return authentications[method];
  throw new UnsupportedError('edhoc', `method ${method}`);
}

/**
 * What a next message_1 should select after error 2: our most preferred suite among those that the
 * responder named; `undefined` when there is none. RFC 9528 §6.3.1: error messages may be forged, and
 * the more preferred suites that go into SUITES_I all the same are what uncovers it.
 */
export function selectSuite(
  preferred: readonly number[],
  suitesR: readonly number[],
): number | undefined {
  return preferred.find((number) => suitesR.includes(number));
}
