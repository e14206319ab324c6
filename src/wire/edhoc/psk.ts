/**
 * What both roles of EDHOC-PSK share (draft-ietf-lake-edhoc-psk): the credential, the checks on it, the
 * formulas that differ from RFC 9528, and resumption.
 *
 * The text of the draft has ID_CRED_PSK in the external_aad of message_3 and in TH_4; its vectors have it
 * there in the compact form of RFC 9528 §3.5.3.2, and so have we.
 */
import { empty, equal } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import { CborReader } from '../cbor/reader.ts';
import { hashAlgorithmNumbers, hashAlgorithmOf } from '../cose/algorithms.ts';
import { type Crypto, type HashAlgorithm, hashBytes, type Secret } from '../crypto/crypto.ts';
import type { Identity } from './credential.ts';
import { compactIdCred, kidIdCred, readCompactIdCred } from './idCred.ts';
import type { EdhocProfile } from './profile.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import type { EdhocSession } from './session.ts';
import { hashLength, suiteOf, type Suite } from './suites.ts';

/** Suggested in the draft, not registered: configuration. */
export interface PskCodePoints {
  readonly method: number;
  readonly resumptionPskLabel: number;
  readonly resumptionKidLabel: number;
}

export const suggestedPskCodePoints: PskCodePoints = {
  method: 4,
  resumptionPskLabel: 2,
  resumptionKidLabel: 3,
};

export interface PskProfile extends EdhocProfile {
  /** Default: `suggestedPskCodePoints`. */
  readonly codePoints?: PskCodePoints;
  /** For the initiator. Default: the most preferred. */
  readonly selectedSuite?: number;
}

/** A key that both sides hold, external or from an earlier session, with everything it is bound to. */
export interface PskCredential {
  /** ID_CRED_PSK: an encoded header map. */
  readonly idCred: Uint8Array;
  /** At least 128 bits long and of as much entropy. */
  readonly psk: Secret | Uint8Array;
  /** A PSK serves suites with this hash only. */
  readonly hash: HashAlgorithm;
  /** CRED_I and CRED_R; they must differ. After resumption those of the first handshake. */
  readonly credI: Uint8Array;
  readonly credR: Uint8Array;
}

export const minimumPskBytes = 16;

/** Why a PSK cannot serve in this suite. */
export function refusePsk(credential: PskCredential, suite: Suite): EdhocRefusal | undefined {
  if (credential.hash !== suite.hash) {
    return refuse('unsuitable-credential', `the PSK is for ${credential.hash}`);
  }
  if (credential.psk.length < minimumPskBytes) {
    return refuse('unsuitable-credential', `a PSK has at least ${minimumPskBytes} bytes`);
  }
  // Else a message could be sent back to whoever made it (selfie attack).
  if (equal(credential.credI, credential.credR)) {
    return refuse('own-identity', 'CRED_I and CRED_R are the same');
  }
  return undefined;
}

export function pskIdentities({ idCred, credI, credR }: PskCredential): {
  readonly initiator: Identity;
  readonly responder: Identity;
} {
  return {
    initiator: { idCred, cred: credI, publicKey: empty },
    responder: { idCred, cred: credR, publicKey: empty },
  };
}

/** TH_3 = H( TH_2, PLAINTEXT_2A ). */
export function pskTh3(
  algorithms: schedule.Algorithms,
  th2: Uint8Array,
  plaintext2a: Uint8Array,
): Uint8Array {
  return schedule.th3(algorithms, th2, plaintext2a, empty);
}

/** KEYSTREAM_3A = EDHOC_KDF( PRK_3e2m, 12, TH_3, plaintext_length_3a ). */
export function keystream3a(
  algorithms: schedule.Algorithms,
  prk3e2m: Secret,
  th3: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return schedule.kdf(algorithms, prk3e2m, 12, th3, lengthBytes);
}

/** What one HKDF-Expand gives. The draft does not say which labels a longer KEYSTREAM_3A would have. */
export function maximumPlaintext3aBytes(suite: Suite): number {
  return 255 * hashLength(suite);
}

/** PRK_4e3m, and what follows from it for message_3: K_3, IV_3 and additional data. */
export interface PskKeys {
  readonly prk4e3m: Secret;
  readonly k3: Uint8Array;
  readonly iv3: Uint8Array;
  /** Enc_structure with << ID_CRED_PSK, TH_3, CRED_I, CRED_R >>. */
  readonly additionalData: Uint8Array;
}

export function pskKeys(
  algorithms: schedule.Algorithms,
  prk3e2m: Secret,
  th3: Uint8Array,
  credential: PskCredential,
): PskKeys {
  const { idCred, psk, credI, credR } = credential;
  const salt = schedule.salt4e3m(algorithms, prk3e2m, th3);
  const prk4e3m = schedule.prk4e3m(algorithms, salt, psk);
  const externalAad = cbor.sequence(compactIdCred(idCred), cbor.bytes(th3), credI, credR);
  return {
    prk4e3m,
    k3: schedule.k3(algorithms, prk4e3m, th3),
    iv3: schedule.iv3(algorithms, prk4e3m, th3),
    additionalData: schedule.additionalData(externalAad),
  };
}

/** TH_4 = H( TH_3, ID_CRED_PSK, PLAINTEXT_3B, CRED_I, CRED_R ). */
export function pskTh4(
  { crypto, suite }: schedule.Algorithms,
  th3: Uint8Array,
  plaintext3b: Uint8Array,
  { idCred, credI, credR }: PskCredential,
): Uint8Array {
  const input = cbor.sequence(cbor.bytes(th3), compactIdCred(idCred), plaintext3b, credI, credR);
  return crypto.hash(suite.hash, input);
}

/** PLAINTEXT_3A = ( ID_CRED_PSK / bstr / -24..23, CIPHERTEXT_3B ). */
export function encodePlaintext3a(idCred: Uint8Array, ciphertext3b: Uint8Array): Uint8Array {
  return cbor.sequence(compactIdCred(idCred), cbor.bytes(ciphertext3b));
}

export function parsePlaintext3a(bytes: Uint8Array): {
  readonly idCredPsk: Uint8Array;
  readonly ciphertext3b: Uint8Array;
} {
  const reader = new CborReader(bytes);
  const idCredPsk = readCompactIdCred(reader);
  const ciphertext3b = reader.bytes();
  reader.end();
  return { idCredPsk, ciphertext3b };
}

/**
 * The resumption key of a session: rPSK of hash_length bytes, rKID of two unless the profile says
 * otherwise. It serves nothing but resumption. The initiator keeps its old one until the fourth message of
 * the session that used it was verified; the responder keeps the old one beside the new until a message of
 * the initiator under the new keys was verified.
 */
export function resumptionCredential(
  crypto: Crypto,
  session: EdhocSession,
  options: {
    readonly codePoints?: PskCodePoints;
    readonly kidBytes?: number;
    /** Whether we begin the handshake that resumes. Default: who began this one. */
    readonly initiates?: boolean;
  } = {},
): PskCredential {
  const { resumptionPskLabel, resumptionKidLabel } = options.codePoints ?? suggestedPskCodePoints;
  const { hash } = suiteOf(session.suite);
  const kid = session.exporter(resumptionKidLabel, empty, options.kidBytes ?? 2);
  const psk = crypto.secret(session.exporter(resumptionPskLabel, empty, hashBytes[hash]));
  const initiates = options.initiates ?? session.role === 'initiator';
  return {
    idCred: kidIdCred(kid),
    psk,
    hash,
    credI: (initiates ? session.own : session.peer).cred,
    credR: (initiates ? session.peer : session.own).cred,
  };
}

/** Holds the key in clear: whoever keeps it seals it. */
export function storePskCredential(crypto: Crypto, credential: PskCredential): Uint8Array {
  const { idCred, psk, hash, credI, credR } = credential;
  return cbor.array(
    cbor.bytes(idCred),
    cbor.bytes(psk instanceof Uint8Array ? psk : crypto.exportSecret(psk)),
    cbor.integer(hashAlgorithmNumbers[hash]),
    cbor.bytes(credI),
    cbor.bytes(credR),
  );
}

/** Throws a `MalformedError` on bytes that `storePskCredential` did not give. */
export function restorePskCredential(crypto: Crypto, bytes: Uint8Array): PskCredential {
  const reader = new CborReader(bytes);
  if (reader.array() !== 5) reader.fail('not the members of a PSK', 0);
  const idCred = reader.bytes().slice();
  const psk = crypto.secret(reader.bytes());
  const hash = hashAlgorithmOf(reader.integer());
  if (hash === undefined || hash === 'SHA-256/64') return reader.fail('no hash of a PSK');
  const credential = {
    idCred,
    psk,
    hash,
    credI: reader.bytes().slice(),
    credR: reader.bytes().slice(),
  };
  reader.end();
  return credential;
}
