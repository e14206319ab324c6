/**
 * The key of a folder of software elements: derived once by scrypt from a passphrase; every element has
 * two keys of its own derived from it, one for its private keys and one for the integrity of its file.
 *
 *     file = warning line, [1, salt: bstr .size 16, costLog2: uint, blockSize: uint, check: bstr .size 32]
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
  scrypt,
  timingSafeEqual,
} from 'node:crypto';
import { concat, equal } from '../../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../../wire/bytes/malformed.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import { CborReader } from '../../../wire/cbor/reader.ts';
import { array, bytes, integer } from '../../../wire/cbor/writer.ts';
import { warningLine } from './elementFile.ts';

/** Everything public about a folder's key. */
export interface FolderKeyParameters {
  readonly salt: Uint8Array;
  /** scrypt's N = 2^costLog2; memory is 128 · blockSize · N bytes (RFC 7914 §2). */
  readonly costLog2: number;
  readonly blockSize: number;
  /** Tells a wrong passphrase from an altered element. */
  readonly check: Uint8Array;
}

/** N = 2^17, r = 8: 128 MiB and about 0.4 s, once a process. */
export const defaultCostLog2 = 17;

/** Folder keys stay inside: an element gets sealing and authentication, never bytes. */
export class FolderKey {
  readonly #root: KeyObject;

  private constructor(root: KeyObject) {
    this.#root = root;
  }

  static async create(
    passphrase: string,
    costLog2: number = defaultCostLog2,
  ): Promise<{ key: FolderKey; parameters: FolderKeyParameters }> {
    const salt = Uint8Array.from(randomBytes(saltBytes));
    const key = new FolderKey(await stretch(passphrase, salt, costLog2, defaultBlockSize));
    const check = key.#check();
    return { key, parameters: { salt, costLog2, blockSize: defaultBlockSize, check } };
  }

  /** `undefined` when the passphrase is wrong. */
  static async open(
    passphrase: string,
    { salt, costLog2, blockSize, check }: FolderKeyParameters,
  ): Promise<FolderKey | undefined> {
    const key = new FolderKey(await stretch(passphrase, salt, costLog2, blockSize));
    return timingSafeEqual(key.#check(), check) ? key : undefined;
  }

  /** The two keys of one element. */
  forElement(uid: Uint8Array): ElementKeys {
    return new ElementKeys(
      derive(this.#root, uid, 'birthmark software element, private keys'),
      derive(this.#root, uid, 'birthmark software element, integrity'),
    );
  }

  #check(): Uint8Array {
    return createHmac('sha256', this.#root).update('birthmark software element, check').digest();
  }
}

export class ElementKeys {
  readonly #sealing: KeyObject;
  readonly #integrity: KeyObject;

  constructor(sealing: KeyObject, integrity: KeyObject) {
    this.#sealing = sealing;
    this.#integrity = integrity;
  }

  /** AES-256-GCM: nonce, ciphertext, tag. `context` binds the bytes to their slot and public key. */
  seal(plaintext: Uint8Array, context: Uint8Array): Uint8Array {
    const nonce = randomBytes(nonceBytes);
    const cipher = createCipheriv('aes-256-gcm', this.#sealing, nonce).setAAD(context);
    return concat(nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
  }

  /** `undefined` when the bytes were altered. */
  open(sealed: Uint8Array, context: Uint8Array): Uint8Array | undefined {
    const tagStart = sealed.length - tagBytes;
    if (tagStart < nonceBytes) return undefined;
    const nonce = sealed.subarray(0, nonceBytes);
    const decipher = createDecipheriv('aes-256-gcm', this.#sealing, nonce, {
      authTagLength: tagBytes,
    });
    decipher.setAAD(context).setAuthTag(sealed.subarray(tagStart));
    const plaintext = decipher.update(sealed.subarray(nonceBytes, tagStart));
    try {
      decipher.final();
      return plaintext;
    } catch {
      plaintext.fill(0);
      return undefined;
    }
  }

  mac(data: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#integrity).update(data).digest();
  }

  verifyMac(data: Uint8Array, mac: Uint8Array): boolean {
    const expected = this.mac(data);
    return mac.length === expected.length && timingSafeEqual(expected, mac);
  }
}

export function encodeFolderKey(parameters: FolderKeyParameters): Uint8Array {
  const { salt, costLog2, blockSize, check } = parameters;
  return concat(
    warning,
    array(integer(1), bytes(salt), integer(costLog2), integer(blockSize), bytes(check)),
  );
}

/** Throws a `MalformedError` or, for a later version, an `UnsupportedError`. */
export function parseFolderKey(file: Uint8Array): FolderKeyParameters {
  if (!equal(file.subarray(0, warning.length), warning)) {
    throw new MalformedError('element folder', 0, 'no key file of a folder of software elements');
  }
  const reader = new CborReader(file, warning.length);
  const start = reader.offset;
  const count = reader.array();
  const version = reader.unsigned();
  if (version !== 1) throw new UnsupportedError('element folder', `version ${version} of the key`);
  if (count !== 5) reader.fail('five fields expected', start);
  const salt = fixedBytes(reader, saltBytes);
  // A file may not ask for more memory than a gibibyte: 128 · 8 · 2^20.
  const costLog2 = reader.unsigned(20);
  if (costLog2 < 1) reader.fail('scrypt cost below 2');
  const blockSize = reader.unsigned(defaultBlockSize);
  if (blockSize < 1) reader.fail('scrypt block size 0');
  const check = fixedBytes(reader, 32);
  reader.end();
  return { salt, costLog2, blockSize, check };
}

const warning = utf8(warningLine);
const saltBytes = 16;
const nonceBytes = 12;
const tagBytes = 16;
const defaultBlockSize = 8;

function fixedBytes(reader: CborReader, length: number): Uint8Array {
  const start = reader.offset;
  const value = reader.bytes();
  if (value.length !== length) reader.fail(`${length} bytes expected`, start);
  return value.slice();
}

function stretch(
  passphrase: string,
  salt: Uint8Array,
  costLog2: number,
  blockSize: number,
): Promise<KeyObject> {
  const cost = 2 ** costLog2;
  const options = { cost, blockSize, parallelization: 1, maxmem: 256 * blockSize * cost };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFKC'), salt, 32, options, (error, derived) => {
      if (error === null) resolve(createSecretKey(derived));
      else reject(error);
    });
  });
}

function derive(root: KeyObject, uid: Uint8Array, purpose: string): KeyObject {
  return createSecretKey(new Uint8Array(hkdfSync('sha256', root, uid, purpose, 32)));
}
