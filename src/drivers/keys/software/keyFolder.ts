/** A folder of key files that one passphrase opens, and the keys behind them as ports of `trust`. */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { KeyAgreement, SealingKey, Signer } from '../../../trust/ports/keys.ts';
import { p256Point, p256Spki } from '../../../wire/x509/spki.ts';
import {
  defaultCost,
  encodeKeyFile,
  type KeyFile,
  type KeyKind,
  type SigningKind,
  signingKinds,
  parseKeyFile,
  type ScryptParameters,
  WrappingKey,
} from './keyFile.ts';

export interface KeyFolderOptions {
  readonly folder: string;
  readonly passphrase: string;
  /** For tests: a cost that protects nothing. */
  readonly costLog2?: number;
}

export class KeyFolder {
  readonly #options: KeyFolderOptions;
  /** By salt and cost: files made together share one derivation. */
  readonly #wrappingKeys = new Map<string, Promise<WrappingKey>>();

  private constructor(options: KeyFolderOptions) {
    this.#options = options;
  }

  /** Makes the folder, for this user alone, when it is missing. */
  static async open(options: KeyFolderOptions): Promise<KeyFolder> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    return new KeyFolder(options);
  }

  /** In alphabetical order. */
  async names(): Promise<readonly string[]> {
    const files = await readdir(this.#options.folder);
    return files.flatMap((file) => (file.endsWith(suffix) ? file.slice(0, -suffix.length) : []));
  }

  /** Rejects with an `EnvironmentError` when the name is taken: keys are never overwritten. */
  async create(name: string, kind: KeyKind): Promise<void> {
    if (kind === 'sealing') return this.#write(name, kind, new Uint8Array(0), randomBytes(32));
    const { privateKey, publicKey } = generate(kind);
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
    await this.#write(name, kind, new Uint8Array(spki), pkcs8);
    pkcs8.fill(0);
  }

  /** For good: nothing that it protected or proved can be done again. */
  async remove(name: string): Promise<void> {
    await rm(this.#pathOf(name), { force: true });
  }

  /** Of whichever algorithm its file says. */
  async signer(name: string): Promise<Signer> {
    const { file, key } = await this.#privateKey(name, signingKinds);
    const kind = signingKinds.find((candidate) => candidate === file.kind) ?? 'p256-sign';
    return new SoftwareSigner(file.publicKeySpki, key, kind);
  }

  /** For the checkpoints of logs and witnesses, which are signed with Ed25519. */
  async noteSigner(name: string): Promise<Signer> {
    const { file, key } = await this.#privateKey(name, ['ed25519-sign']);
    return {
      algorithm: 'Ed25519',
      publicKeySpki: file.publicKeySpki,
      sign: (data) => Promise.resolve(plain(sign(undefined, data, key))),
    };
  }

  async agreement(name: string): Promise<KeyAgreement> {
    const { file, key } = await this.#privateKey(name, ['p256-agree']);
    return new SoftwareAgreement(p256Point(file.publicKeySpki), key);
  }

  async sealingKey(name: string): Promise<SealingKey> {
    const { secret } = await this.#read(name, ['sealing']);
    return new SoftwareSealingKey(secret);
  }

  /** For a TLS library of this process, which takes keys in no other form. Never write or log it. */
  async tlsKeyPem(name: string): Promise<string> {
    const { key } = await this.#privateKey(name, ['p256-sign']);
    return key.export({ format: 'pem', type: 'pkcs8' }).toString();
  }

  async #privateKey(
    name: string,
    kinds: readonly KeyKind[],
  ): Promise<{ file: KeyFile; key: KeyObject }> {
    const { file, secret } = await this.#read(name, kinds);
    const key = createPrivateKey({ key: secret, format: 'der', type: 'pkcs8' });
    secret.fill(0);
    return { file, key };
  }

  async #read(name: string, kinds: readonly KeyKind[]): Promise<{ file: KeyFile; secret: Buffer }> {
    const path = this.#pathOf(name);
    const file = parseKeyFile(await readFile(path, 'utf8'));
    if (file.name !== name || !kinds.includes(file.kind)) {
      throw new EnvironmentError(`${path} holds the ${file.kind} key ${file.name}`, {
        retryable: false,
      });
    }
    const wrappingKey = await this.#wrappingKey(file.parameters);
    return { file, secret: wrappingKey.decrypt(file) };
  }

  /** A crash leaves a temporary file at most: the key is there whole, or not at all. */
  async #write(
    name: string,
    kind: KeyKind,
    publicKeySpki: Uint8Array,
    secret: Uint8Array,
  ): Promise<void> {
    const path = this.#pathOf(name);
    if ((await this.names()).includes(name)) {
      throw new EnvironmentError(`${path} exists already`, { retryable: false });
    }
    const wrappingKey = await this.#wrappingKeyOfFolder();
    const text = encodeKeyFile(wrappingKey.encrypt(name, kind, publicKeySpki, secret));
    const file = await open(`${path}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.tmp`, path);
  }

  /** That of the keys that are there, so that one passphrase and one derivation open all. */
  async #wrappingKeyOfFolder(): Promise<WrappingKey> {
    const [first] = await this.names();
    if (first === undefined) {
      const { costLog2 = defaultCost.costLog2 } = this.#options;
      const salt = new Uint8Array(randomBytes(16));
      return this.#wrappingKey({ ...defaultCost, costLog2, salt });
    }
    const file = parseKeyFile(await readFile(this.#pathOf(first), 'utf8'));
    const wrappingKey = await this.#wrappingKey(file.parameters);
    wrappingKey.decrypt(file).fill(0);
    return wrappingKey;
  }

  #wrappingKey(parameters: ScryptParameters): Promise<WrappingKey> {
    const { costLog2, blockSize, parallelization, salt } = parameters;
    const id = [costLog2, blockSize, parallelization, ...salt].join();
    const known = this.#wrappingKeys.get(id);
    if (known !== undefined) return known;
    const derived = WrappingKey.derive(this.#options.passphrase, parameters);
    this.#wrappingKeys.set(id, derived);
    return derived;
  }

  #pathOf(name: string): string {
    if (!/^[a-z][a-z0-9-]{0,39}$/.test(name)) throw new TypeError(`${name} is no name of a key`);
    return join(this.#options.folder, `${name}${suffix}`);
  }
}

const suffix = '.key';

/** `digest` is `null` where the algorithm hashes by itself. */
const signing: Readonly<
  Record<SigningKind, { readonly algorithm: Signer['algorithm']; readonly digest: string | null }>
> = {
  'p256-sign': { algorithm: 'ecdsa-with-SHA256', digest: 'sha256' },
  'p384-sign': { algorithm: 'ecdsa-with-SHA384', digest: 'sha384' },
  'ed25519-sign': { algorithm: 'Ed25519', digest: null },
  'ml-dsa-44-sign': { algorithm: 'ML-DSA-44', digest: null },
  'ml-dsa-65-sign': { algorithm: 'ML-DSA-65', digest: null },
  'ml-dsa-87-sign': { algorithm: 'ML-DSA-87', digest: null },
  'slh-dsa-sha2-128s-sign': { algorithm: 'SLH-DSA-SHA2-128s', digest: null },
};

function generate(kind: Exclude<KeyKind, 'sealing'>): {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
} {
  switch (kind) {
    case 'p256-sign':
    case 'p256-agree':
      return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    case 'p384-sign':
      return generateKeyPairSync('ec', { namedCurve: 'secp384r1' });
    case 'ed25519-sign':
      return generateKeyPairSync('ed25519');
    case 'ml-dsa-44-sign':
      return generateKeyPairSync('ml-dsa-44');
    case 'ml-dsa-65-sign':
      return generateKeyPairSync('ml-dsa-65');
    case 'ml-dsa-87-sign':
      return generateKeyPairSync('ml-dsa-87');
    case 'slh-dsa-sha2-128s-sign':
      return generateKeyPairSync('slh-dsa-sha2-128s');
  }
}

class SoftwareSigner implements Signer {
  readonly algorithm: Signer['algorithm'];
  readonly publicKeySpki: Uint8Array;
  readonly #digest: string | null;
  readonly #key: KeyObject;

  constructor(publicKeySpki: Uint8Array, key: KeyObject, kind: SigningKind) {
    const { algorithm, digest } = signing[kind];
    this.algorithm = algorithm;
    this.publicKeySpki = publicKeySpki;
    this.#digest = digest;
    this.#key = key;
  }

  /**
   * At once: waking a thread of the pool for it costs half of the signature again, and the other cores
   * are busy with proofs, which cost five times as much.
   */
  async sign(data: Uint8Array): Promise<Uint8Array> {
    return plain(sign(this.#digest, data, this.#key));
  }
}

class SoftwareAgreement implements KeyAgreement {
  readonly curve = 'P-256';
  readonly publicKey: Uint8Array;
  readonly #key: KeyObject;

  constructor(publicKey: Uint8Array, key: KeyObject) {
    this.publicKey = publicKey;
    this.#key = key;
  }

  agree(peerPublicKey: Uint8Array): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#agree(peerPublicKey));
  }

  #agree(peerPublicKey: Uint8Array): Uint8Array | undefined {
    try {
      const compressed =
        peerPublicKey.length === 32 ? Buffer.concat([evenY, peerPublicKey]) : peerPublicKey;
      const point = ECDH.convertKey(compressed, 'prime256v1', undefined, undefined, 'uncompressed');
      if (typeof point === 'string') return undefined;
      const spki = Buffer.from(p256Spki(point));
      const publicKey = createPublicKey({ key: spki, format: 'der', type: 'spki' });
      return plain(diffieHellman({ privateKey: this.#key, publicKey }));
    } catch {
      // OpenSSL throws when the point is not on the curve.
      return undefined;
    }
  }
}

/** x alone: either y serves, since the agreed value is an x-coordinate. */
const evenY = Buffer.of(2);

/** AES-256-GCM with random nonces; `context` is the additional data. */
class SoftwareSealingKey implements SealingKey {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  seal(plaintext: Uint8Array, context: string): Uint8Array {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    cipher.setAAD(Buffer.from(context));
    const parts = [nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
    return plain(Buffer.concat(parts));
  }

  open(sealed: Uint8Array, context: string): Uint8Array | undefined {
    const tagOffset = sealed.length - 16;
    if (tagOffset < 12) return undefined;
    const decipher = createDecipheriv('aes-256-gcm', this.#key, sealed.subarray(0, 12));
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(sealed.subarray(tagOffset));
    try {
      const opened = [decipher.update(sealed.subarray(12, tagOffset)), decipher.final()];
      return plain(Buffer.concat(opened));
    } catch {
      return undefined;
    }
  }
}

/** A view of Node's Buffer as a plain Uint8Array, whose slice() copies. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
