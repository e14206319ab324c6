/**
 * The primitives of `wire/crypto` on node:crypto. Every key is imported once and kept as a KeyObject:
 * on Node 24 AES-CCM and HMAC with a KeyObject are three to five times faster than with raw bytes.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  generateKeyPairSync,
  hash as hashOnce,
  type KeyObject,
  randomBytes,
  verify as verifyOnce,
} from 'node:crypto';
import { concat } from '../../../wire/bytes/bytes.ts';
import {
  type AeadAlgorithm,
  type AeadKey,
  aeadParameters,
  type Crypto,
  type Curve,
  type EphemeralKey,
  type HashAlgorithm,
  type PublicKey,
  type Secret,
  type SignatureAlgorithm,
} from '../../../wire/crypto/crypto.ts';
import { derSignature } from '../../../wire/der/ecdsa.ts';
import { curves } from './curves.ts';
import { publicKeyText } from './publicKeyText.ts';

export const nodeCrypto: Crypto = {
  hash: (algorithm, data) => bytesOfText(hashOnce(digestNames[algorithm], data, 'binary')),
  secret: (bytes) => new NodeSecret(createSecretKey(bytes)),
  exportSecret: (secret) => bytesOfSecret(secretOf(secret)),
  hmac: (algorithm, key, data) => hmac(algorithm, secretOf(key), data),
  hkdfExtract,
  hkdfExpand,
  aeadKey: (algorithm, bytes) => new NodeAeadKey(algorithm, bytes),
  seal,
  open,
  random: (lengthBytes) => bytesOf(randomBytes(lengthBytes)),
  generateKeyPair,
  exportEphemeral,
  importEphemeral,
  publicPoint,
  importPublicKey,
  agree,
  verify,
};

/** RFC 5869 §2.2: no salt means a string of zeros; one zero byte pads to the same HMAC key. */
const noSalt = new Uint8Array(1);

const digestNames: Readonly<Record<HashAlgorithm, string>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
};

const signatureDigests: Readonly<Record<SignatureAlgorithm, string | null>> = {
  ES256: 'sha256',
  ES384: 'sha384',
  ES512: 'sha512',
  EdDSA: null,
};

/** Bytes of r‖s (RFC 9053 §2.1). EdDSA signatures are as long as their curve says; OpenSSL checks that. */
const ecdsaBytes: Readonly<Record<Exclude<SignatureAlgorithm, 'EdDSA'>, number>> = {
  ES256: 64,
  ES384: 96,
  ES512: 132,
};

const redacted = '[secret]';
const inspectSymbol = Symbol.for('nodejs.util.inspect.custom');

/** Node's inspect and JSON both show `[secret]` only. */
abstract class Redacted {
  toJSON(): string {
    return redacted;
  }

  [inspectSymbol](): string {
    return redacted;
  }
}

/** A latin1 text where it does not live long: see `hkdfExtract`. */
type HmacKey = KeyObject | string;

class NodeSecret extends Redacted implements Secret {
  readonly kind = 'secret';
  readonly #key: HmacKey;

  constructor(key: HmacKey) {
    super();
    this.#key = key;
  }

  get length(): number {
    return typeof this.#key === 'string' ? this.#key.length : (this.#key.symmetricKeySize ?? 0);
  }

  get key(): HmacKey {
    return this.#key;
  }
}

class NodeAeadKey extends Redacted implements AeadKey {
  readonly kind = 'aead';
  readonly algorithm: AeadAlgorithm;
  readonly #keyObject: KeyObject;

  constructor(algorithm: AeadAlgorithm, bytes: Uint8Array) {
    super();
    if (bytes.length !== aeadParameters[algorithm].keyBytes) {
      throw new TypeError(
        `${algorithm} takes a key of ${aeadParameters[algorithm].keyBytes} bytes`,
      );
    }
    this.algorithm = algorithm;
    this.#keyObject = createSecretKey(bytes);
  }

  get keyObject(): KeyObject {
    return this.#keyObject;
  }
}

class NodeEphemeralKey extends Redacted implements EphemeralKey {
  readonly kind = 'ephemeral';
  readonly curve: Curve;
  readonly publicKey: Uint8Array;
  readonly #keyObject: KeyObject;

  constructor(curve: Curve, publicKey: Uint8Array, keyObject: KeyObject) {
    super();
    this.curve = curve;
    this.publicKey = publicKey;
    this.#keyObject = keyObject;
  }

  get keyObject(): KeyObject {
    return this.#keyObject;
  }
}

class NodePublicKey implements PublicKey {
  readonly kind = 'public';
  readonly curve: Curve;
  readonly bytes: Uint8Array;
  readonly #keyObject: KeyObject;

  constructor(curve: Curve, bytes: Uint8Array, keyObject: KeyObject) {
    this.curve = curve;
    this.bytes = bytes;
    this.#keyObject = keyObject;
  }

  get keyObject(): KeyObject {
    return this.#keyObject;
  }
}

function hmac(algorithm: HashAlgorithm, key: HmacKey, data: Uint8Array): Uint8Array {
  return bytesOfText(hmacOf(algorithm, key, data));
}

function hmacOf(algorithm: HashAlgorithm, key: HmacKey, data: Uint8Array): string {
  return createHmac(digestNames[algorithm], key, latin1Key).update(data).digest('binary');
}

const latin1Key = { encoding: 'latin1' } as const;

/**
 * Salt and result are texts: each is a key for a few calls and then dropped, and a KeyObject, whose memory
 * lies outside of the heap, costs as much to make and to collect as one of those calls.
 */
function hkdfExtract(
  algorithm: HashAlgorithm,
  salt: Uint8Array,
  inputKey: Uint8Array | Secret,
): Secret {
  const input = inputKey instanceof Uint8Array ? inputKey : bytesOfSecret(secretOf(inputKey));
  return new NodeSecret(hmacOf(algorithm, latin1(salt.length === 0 ? noSalt : salt), input));
}

function hkdfExpand(
  algorithm: HashAlgorithm,
  key: Secret,
  info: Uint8Array,
  lengthBytes: number,
): Uint8Array {
  const hmacKey = secretOf(key);
  // One update of a joined text costs less than two of its parts.
  const first = hmac(algorithm, hmacKey, concat(info, firstCounter));
  if (lengthBytes === first.length) return first;
  if (lengthBytes < first.length) return first.subarray(0, lengthBytes);
  if (lengthBytes > 255 * first.length) {
    throw new TypeError('HKDF gives at most 255 blocks (RFC 5869 §2.3)');
  }
  const output = new Uint8Array(lengthBytes);
  output.set(first);
  let block = first;
  let offset = first.length;
  for (let counter = 2; offset < lengthBytes; counter++) {
    block = hmac(algorithm, hmacKey, concat(block, info, Uint8Array.of(counter)));
    output.set(block.subarray(0, Math.min(block.length, lengthBytes - offset)), offset);
    offset += block.length;
  }
  return output;
}

const firstCounter = Uint8Array.of(1);

const cipherNames: Readonly<Record<AeadAlgorithm, string>> = {
  'AES-CCM-16-64-128': 'aes-128-ccm',
  'AES-CCM-16-64-256': 'aes-256-ccm',
  'AES-CCM-64-64-128': 'aes-128-ccm',
  'AES-CCM-64-64-256': 'aes-256-ccm',
  'AES-CCM-16-128-128': 'aes-128-ccm',
  'AES-CCM-16-128-256': 'aes-256-ccm',
  'AES-CCM-64-128-128': 'aes-128-ccm',
  'AES-CCM-64-128-256': 'aes-256-ccm',
  A128GCM: 'aes-128-gcm',
  A192GCM: 'aes-192-gcm',
  A256GCM: 'aes-256-gcm',
  'ChaCha20/Poly1305': 'chacha20-poly1305',
};

/** The overloads of createCipheriv go by literal names; one name at run time needs the CCM one. */
type CcmName = 'aes-128-ccm';

function seal(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const { algorithm, keyObject } = aeadKeyOf(key);
  const authTagLength = aeadParameters[algorithm].tagBytes;
  const cipher = createCipheriv(ccmName(algorithm), keyObject, nonce, { authTagLength });
  cipher.setAAD(additionalData, { plaintextLength: plaintext.length });
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return concat(ciphertext, cipher.getAuthTag());
}

function open(
  key: AeadKey,
  nonce: Uint8Array,
  additionalData: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const { algorithm, keyObject } = aeadKeyOf(key);
  const authTagLength = aeadParameters[algorithm].tagBytes;
  const plaintextLength = ciphertext.length - authTagLength;
  if (plaintextLength < 0) return undefined;
  const decipher = createDecipheriv(ccmName(algorithm), keyObject, nonce, { authTagLength });
  decipher.setAuthTag(ciphertext.subarray(plaintextLength));
  decipher.setAAD(additionalData, { plaintextLength });
  try {
    const plaintext = decipher.update(ciphertext.subarray(0, plaintextLength));
    decipher.final();
    return bytesOf(plaintext);
  } catch {
    // CCM reports a wrong tag in update(), GCM and ChaCha20-Poly1305 in final().
    return undefined;
  }
}

function ccmName(algorithm: AeadAlgorithm): CcmName {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own table, not a peer's bytes
  return cipherNames[algorithm] as CcmName;
}

function generateKeyPair(curve: Curve): EphemeralKey {
  const { privateKey, publicKey } = generate(curve, curves[curve].ecdhName);
  return new NodeEphemeralKey(curve, publicBytes(curve, publicKey), privateKey);
}

function exportEphemeral(key: EphemeralKey): Uint8Array {
  return bytesOf(ephemeralKeyOf(key).keyObject.export({ format: 'raw-private' }));
}

function importEphemeral(curve: Curve, bytes: Uint8Array): EphemeralKey | undefined {
  const { pkcs8Prefix, privateKeyBytes } = curves[curve];
  if (bytes.length !== privateKeyBytes) return undefined;
  try {
    const key = Buffer.from(concat(pkcs8Prefix, bytes));
    const privateKey = createPrivateKey({ key, format: 'der', type: 'pkcs8' });
    return new NodeEphemeralKey(curve, publicBytes(curve, createPublicKey(privateKey)), privateKey);
  } catch {
    // OpenSSL throws on bytes that it cannot make a key of.
    return undefined;
  }
}

function publicPoint(key: EphemeralKey): Uint8Array {
  const { curve, keyObject } = ephemeralKeyOf(key);
  if (curves[curve].ecdhName === undefined) throw new TypeError(`${curve} has no y-coordinate`);
  return bytesOf(createPublicKey(keyObject).export({ format: 'raw-public' }));
}

/** The x-coordinate of an uncompressed point, or the key itself where there is only one coordinate. */
function publicBytes(curve: Curve, publicKey: KeyObject): Uint8Array {
  const { ecdhName, publicKeyBytes } = curves[curve];
  const raw = publicKey.export({ format: 'raw-public' });
  return bytesOf(ecdhName === undefined ? raw : raw.subarray(1, 1 + publicKeyBytes));
}

function generate(
  curve: Curve,
  namedCurve: string | undefined,
): { privateKey: KeyObject; publicKey: KeyObject } {
  if (namedCurve !== undefined) return generateKeyPairSync('ec', { namedCurve });
  if (curve === 'X25519') return generateKeyPairSync('x25519');
  if (curve === 'X448') return generateKeyPairSync('x448');
  return curve === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ed448');
}

function importPublicKey(curve: Curve, bytes: Uint8Array): PublicKey | undefined {
  const { publicKeyBytes } = curves[curve];
  const spki = spkiOf(curve, bytes);
  if (spki === undefined) return undefined;
  try {
    const isPoint = bytes.length > publicKeyBytes;
    const x = isPoint ? bytes.slice(1, 1 + publicKeyBytes) : bytes.slice();
    return new NodePublicKey(curve, x, createPublicKey(publicKeyText(spki)));
  } catch {
    // OpenSSL throws when the point is not on the curve.
    return undefined;
  }
}

/** OpenSSL decompresses points faster than `ECDH.convertKey` followed by an import of the result. */
function spkiOf(curve: Curve, bytes: Uint8Array): Uint8Array | undefined {
  const { publicKeyBytes, spkiPrefix, compressedSpkiPrefix } = curves[curve];
  if (compressedSpkiPrefix === undefined) {
    return bytes.length === publicKeyBytes ? concat(spkiPrefix, bytes) : undefined;
  }
  // RFC 9528 Appendix B: x alone stands for the point with ~y = 0.
  if (bytes.length === publicKeyBytes) return concat(compressedSpkiPrefix, evenY, bytes);
  const form = bytes[0];
  if (bytes.length === 1 + publicKeyBytes && (form === 2 || form === 3)) {
    return concat(compressedSpkiPrefix, bytes);
  }
  const whole = bytes.length === 1 + 2 * publicKeyBytes && form === 4;
  return whole ? concat(spkiPrefix, bytes) : undefined;
}

const evenY = Uint8Array.of(2);

function agree(privateKey: EphemeralKey, publicKey: PublicKey): Uint8Array | undefined {
  const own = ephemeralKeyOf(privateKey);
  const peer = publicKeyOf(publicKey);
  if (own.curve !== peer.curve) throw new TypeError('the two keys are of different curves');
  try {
    return bytesOf(diffieHellman({ privateKey: own.keyObject, publicKey: peer.keyObject }));
  } catch {
    // RFC 7748 §6: a low-order point gives the all-zero value, which OpenSSL refuses.
    return undefined;
  }
}

function verify(
  publicKey: PublicKey,
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { keyObject } = publicKeyOf(publicKey);
  if (algorithm !== 'EdDSA' && signature.length !== ecdsaBytes[algorithm]) return false;
  try {
    // A bare KeyObject and DER are faster than an options object with `ieee-p1363`, as with imports.
    const encoded = algorithm === 'EdDSA' ? signature : derSignature(signature);
    return verifyOnce(signatureDigests[algorithm], data, keyObject, encoded);
  } catch {
    // OpenSSL throws on a key that does not fit the algorithm: for the caller an invalid signature.
    return false;
  }
}

/** By way of a copy: to ask a short array for its `buffer` moves it out of the heap, which costs more. */
function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

/**
 * The octets of a latin1 string, which Node calls `binary` where it makes one. Digests come as text: a
 * short string is made in half the time of a Buffer, whose memory lies outside and is collected by itself.
 */
function bytesOfText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < bytes.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

/** A view of Node's Buffer as a plain Uint8Array; the memory is the same. */
function bytesOf(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

function secretOf(key: Secret): HmacKey {
  if (key instanceof NodeSecret) return key.key;
  throw new TypeError('a secret of another implementation');
}

function bytesOfSecret(key: HmacKey): Uint8Array {
  return typeof key === 'string' ? bytesOfText(key) : bytesOf(key.export());
}

function aeadKeyOf(key: AeadKey): NodeAeadKey {
  if (key instanceof NodeAeadKey) return key;
  throw new TypeError('an AEAD key of another implementation');
}

function ephemeralKeyOf(key: EphemeralKey): NodeEphemeralKey {
  if (key instanceof NodeEphemeralKey) return key;
  throw new TypeError('an ephemeral key of another implementation');
}

function publicKeyOf(key: PublicKey): NodePublicKey {
  if (key instanceof NodePublicKey) return key;
  throw new TypeError('a public key of another implementation');
}
