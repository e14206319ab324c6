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

const x25519 = { curve: 'X25519', publicKeyBytes: 32 } as const;
const p256 = { curve: 'P-256', publicKeyBytes: 32 } as const;
const p384 = { curve: 'P-384', publicKeyBytes: 48 } as const;
const edDsa = { signature: 'EdDSA', signatureCurve: 'Ed25519', signatureBytes: 64 } as const;
const es256 = { signature: 'ES256', signatureCurve: 'P-256', signatureBytes: 64 } as const;
const es384 = { signature: 'ES384', signatureCurve: 'P-384', signatureBytes: 96 } as const;
const ccm8 = { aead: 'AES-CCM-16-64-128', macBytes: 8 } as const;
const ccm16 = { aead: 'AES-CCM-16-128-128', macBytes: 16 } as const;
const ccmApplication = {
  hash: 'SHA-256',
  applicationAead: 'AES-CCM-16-64-128',
  applicationHash: 'SHA-256',
} as const;
const chaCha = {
  aead: 'ChaCha20/Poly1305',
  hash: 'SHA-256',
  macBytes: 16,
  applicationAead: 'ChaCha20/Poly1305',
  applicationHash: 'SHA-256',
} as const;
const gcm128 = {
  aead: 'A128GCM',
  hash: 'SHA-256',
  macBytes: 16,
  applicationAead: 'A128GCM',
  applicationHash: 'SHA-256',
} as const;
const gcm256 = {
  aead: 'A256GCM',
  hash: 'SHA-384',
  macBytes: 16,
  applicationAead: 'A256GCM',
  applicationHash: 'SHA-384',
} as const;

/**
 * Suite 25 is not here: its key schedule is KMAC256 (RFC 9528 §4.1.1), which no platform of ours offers,
 * and its signatures are EdDSA on Ed448.
 */
export const suites: readonly Suite[] = [
  { number: 0, ...ccm8, ...ccmApplication, ...x25519, ...edDsa },
  { number: 1, ...ccm16, ...ccmApplication, ...x25519, ...edDsa },
  { number: 2, ...ccm8, ...ccmApplication, ...p256, ...es256 },
  { number: 3, ...ccm16, ...ccmApplication, ...p256, ...es256 },
  { number: 4, ...chaCha, ...x25519, ...edDsa },
  { number: 5, ...chaCha, ...p256, ...es256 },
  { number: 6, ...gcm128, ...x25519, ...es256 },
  { number: 24, ...gcm256, ...p384, ...es384 },
];

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
