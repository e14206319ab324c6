/**
 * The key schedule of RFC 9528 §4 and §5, one function for each value that the RFC names, so that a
 * mismatch with a trace names the formula. Transcript hashes and MACs are plain bytes, PRKs are secrets.
 */
import { empty } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import { encStructure } from '../cose/encrypt0.ts';
import { sigStructure } from '../cose/sign1.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import { encodeIdentifier } from './identifiers.ts';
import { aeadOf, hashLength, type Suite } from './suites.ts';

/** What every derivation needs: the primitives, and the suite that says which of them. */
export interface Algorithms {
  readonly crypto: Crypto;
  readonly suite: Suite;
}

/** EDHOC_KDF (RFC 9528 §4.1.2), which is HKDF-Expand with that info. */
export function kdf(
  { crypto, suite }: Algorithms,
  prk: Secret,
  label: number,
  context: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return crypto.hkdfExpand(suite.hash, prk, info(label, context, lengthBytes), lengthBytes);
}

/** info = ( info_label : int, context : bstr, length : uint ). */
export function info(label: number, context: Uint8Array, lengthBytes: number): Uint8Array {
  return cbor.sequence(
    cbor.integer(label),
    cbor.head(2, context.length),
    context,
    cbor.integer(lengthBytes),
  );
}

export function hashOfMessage1({ crypto, suite }: Algorithms, message1: Uint8Array): Uint8Array {
  return crypto.hash(suite.hash, message1);
}

/**
 * H_12 = H( H(message_1), message_2 ): what ELA vouchers and attestation bind to (draft-ietf-lake-authz,
 * draft-ietf-lake-ra). A CBOR sequence like the inputs of all transcript hashes.
 */
export function h12(
  { crypto, suite }: Algorithms,
  hashOfMessage1: Uint8Array,
  message2: Uint8Array,
): Uint8Array {
  return crypto.hash(suite.hash, cbor.sequence(cbor.bytes(hashOfMessage1), message2));
}

/** TH_2 = H( G_Y, H(message_1) ). */
export function th2(
  { crypto, suite }: Algorithms,
  gY: Uint8Array,
  hashOfMessage1: Uint8Array,
): Uint8Array {
  return crypto.hash(suite.hash, cbor.sequence(cbor.bytes(gY), cbor.bytes(hashOfMessage1)));
}

/** TH_3 = H( TH_2, PLAINTEXT_2, CRED_R ). */
export function th3(
  { crypto, suite }: Algorithms,
  th2: Uint8Array,
  plaintext2: Uint8Array,
  credR: Uint8Array,
): Uint8Array {
  return crypto.hash(suite.hash, cbor.sequence(cbor.bytes(th2), plaintext2, credR));
}

/** TH_4 = H( TH_3, PLAINTEXT_3, CRED_I ). */
export function th4(
  { crypto, suite }: Algorithms,
  th3: Uint8Array,
  plaintext3: Uint8Array,
  credI: Uint8Array,
): Uint8Array {
  return crypto.hash(suite.hash, cbor.sequence(cbor.bytes(th3), plaintext3, credI));
}

/** PRK_2e = EDHOC_Extract( TH_2, G_XY ). */
export function prk2e(
  { crypto, suite }: Algorithms,
  th2: Uint8Array,
  gXY: Uint8Array | Secret,
): Secret {
  return crypto.hkdfExtract(suite.hash, th2, gXY);
}

/**
 * KEYSTREAM_2 = EDHOC_KDF( PRK_2e, 0, TH_2, length ), and beyond what one HKDF-Expand gives the labels
 * -1, -2, ... for each further part (RFC 9528 Appendix G).
 */
export function keystream2(
  algorithms: Algorithms,
  prk2e: Secret,
  th2: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const part = 255 * hashLength(algorithms.suite);
  if (lengthBytes <= part) return kdf(algorithms, prk2e, 0, th2, lengthBytes);
  const keystream = new Uint8Array(lengthBytes);
  for (let index = 0; index * part < lengthBytes; index++) {
    const length = Math.min(part, lengthBytes - index * part);
    keystream.set(kdf(algorithms, prk2e, -index, th2, length), index * part);
  }
  return keystream;
}

/** SALT_3e2m = EDHOC_KDF( PRK_2e, 1, TH_2, hash_length ). */
export function salt3e2m(algorithms: Algorithms, prk2e: Secret, th2: Uint8Array): Uint8Array {
  return kdf(algorithms, prk2e, 1, th2, hashLength(algorithms.suite));
}

/** PRK_3e2m = EDHOC_Extract( SALT_3e2m, G_RX ) where the responder has a static DH key; else PRK_2e. */
export function prk3e2m(
  { crypto, suite }: Algorithms,
  salt3e2m: Uint8Array,
  gRX: Uint8Array | Secret,
): Secret {
  return crypto.hkdfExtract(suite.hash, salt3e2m, gRX);
}

/** context_2 = << C_R, ID_CRED_R, TH_2, CRED_R, ? EAD_2 >>. */
export function context2(fields: {
  readonly cR: Uint8Array;
  readonly idCredR: Uint8Array;
  readonly th2: Uint8Array;
  readonly credR: Uint8Array;
  readonly ead2: Uint8Array;
}): Uint8Array {
  const { cR, idCredR, th2, credR, ead2 } = fields;
  return cbor.sequence(encodeIdentifier(cR), idCredR, cbor.bytes(th2), credR, ead2);
}

/** MAC_2 = EDHOC_KDF( PRK_3e2m, 2, context_2, mac_length_2 ). */
export function mac2(
  algorithms: Algorithms,
  prk3e2m: Secret,
  context2: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return kdf(algorithms, prk3e2m, 2, context2, lengthBytes);
}

/** K_3 = EDHOC_KDF( PRK_3e2m, 3, TH_3, key_length ); for PSK from PRK_4e3m. */
export function k3(algorithms: Algorithms, prk: Secret, th3: Uint8Array): Uint8Array {
  return kdf(algorithms, prk, 3, th3, aeadOf(algorithms.suite).keyBytes);
}

/** IV_3 = EDHOC_KDF( PRK_3e2m, 4, TH_3, iv_length ); for PSK from PRK_4e3m. */
export function iv3(algorithms: Algorithms, prk: Secret, th3: Uint8Array): Uint8Array {
  return kdf(algorithms, prk, 4, th3, aeadOf(algorithms.suite).nonceBytes);
}

/** SALT_4e3m = EDHOC_KDF( PRK_3e2m, 5, TH_3, hash_length ). */
export function salt4e3m(algorithms: Algorithms, prk3e2m: Secret, th3: Uint8Array): Uint8Array {
  return kdf(algorithms, prk3e2m, 5, th3, hashLength(algorithms.suite));
}

/**
 * PRK_4e3m = EDHOC_Extract( SALT_4e3m, G_IY ) where the initiator has a static DH key; else PRK_3e2m. For
 * PSK the input is the PSK.
 */
export function prk4e3m(
  { crypto, suite }: Algorithms,
  salt4e3m: Uint8Array,
  input: Uint8Array | Secret,
): Secret {
  return crypto.hkdfExtract(suite.hash, salt4e3m, input);
}

/** context_3 = << ID_CRED_I, TH_3, CRED_I, ? EAD_3 >>. */
export function context3(fields: {
  readonly idCredI: Uint8Array;
  readonly th3: Uint8Array;
  readonly credI: Uint8Array;
  readonly ead3: Uint8Array;
}): Uint8Array {
  return cbor.sequence(fields.idCredI, cbor.bytes(fields.th3), fields.credI, fields.ead3);
}

/** MAC_3 = EDHOC_KDF( PRK_4e3m, 6, context_3, mac_length_3 ). */
export function mac3(
  algorithms: Algorithms,
  prk4e3m: Secret,
  context3: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  return kdf(algorithms, prk4e3m, 6, context3, lengthBytes);
}

/** PRK_out = EDHOC_KDF( PRK_4e3m, 7, TH_4, hash_length ). */
export function prkOut(algorithms: Algorithms, prk4e3m: Secret, th4: Uint8Array): Secret {
  return algorithms.crypto.secret(kdf(algorithms, prk4e3m, 7, th4, hashLength(algorithms.suite)));
}

/** K_4 = EDHOC_KDF( PRK_4e3m, 8, TH_4, key_length ). */
export function k4(algorithms: Algorithms, prk4e3m: Secret, th4: Uint8Array): Uint8Array {
  return kdf(algorithms, prk4e3m, 8, th4, aeadOf(algorithms.suite).keyBytes);
}

/** IV_4 = EDHOC_KDF( PRK_4e3m, 9, TH_4, iv_length ). */
export function iv4(algorithms: Algorithms, prk4e3m: Secret, th4: Uint8Array): Uint8Array {
  return kdf(algorithms, prk4e3m, 9, th4, aeadOf(algorithms.suite).nonceBytes);
}

/** PRK_exporter = EDHOC_KDF( PRK_out, 10, h'', hash_length ). */
export function prkExporter(algorithms: Algorithms, prkOut: Secret): Secret {
  return algorithms.crypto.secret(kdf(algorithms, prkOut, 10, empty, hashLength(algorithms.suite)));
}

/** new PRK_out = EDHOC_KDF( PRK_out, 11, context, hash_length ) (RFC 9528 Appendix H). */
export function updatedPrkOut(algorithms: Algorithms, prkOut: Secret, context: Uint8Array): Secret {
  return algorithms.crypto.secret(
    kdf(algorithms, prkOut, 11, context, hashLength(algorithms.suite)),
  );
}

/**
 * What Signature_or_MAC_x signs: Sig_structure with protected << ID_CRED_x >>, external_aad
 * << TH, CRED_x, ? EAD_x >> and the MAC as payload (RFC 9528 §5.3.2, §5.4.2).
 */
export function toBeSigned(fields: {
  readonly idCred: Uint8Array;
  readonly th: Uint8Array;
  readonly cred: Uint8Array;
  readonly ead: Uint8Array;
  readonly mac: Uint8Array;
}): Uint8Array {
  const externalAad = cbor.sequence(cbor.bytes(fields.th), fields.cred, fields.ead);
  return sigStructure(fields.idCred, externalAad, fields.mac);
}

/** Additional data of message_3 and message_4 (RFC 9528 Appendix C.3): ["Encrypt0", h'', TH]. */
export function additionalData(externalAad: Uint8Array): Uint8Array {
  return encStructure(empty, externalAad);
}

/** A binary additive stream cipher: encrypts and decrypts. */
export function xor(text: Uint8Array, keystream: Uint8Array): Uint8Array {
  if (text.length !== keystream.length) throw new TypeError('keystream of another length');
  const result = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    result[index] = (text[index] ?? 0) ^ (keystream[index] ?? 0);
  }
  return result;
}
