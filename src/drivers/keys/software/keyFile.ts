/**
 * Long-term keys in files, encrypted under a passphrase. A file says how it was made and is bound to what
 * it says: another file's key, name or parameters do not open. Without the passphrase it gives away the
 * public key and nothing else.
 */
import {
  createCipheriv,
  createDecipheriv,
  hkdfSync,
  randomBytes,
  scrypt,
  type ScryptOptions,
} from 'node:crypto';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { parseBase64, toBase64 } from '../../../wire/bytes/base64.ts';
import { MalformedError } from '../../../wire/bytes/malformed.ts';

export const signingKinds = [
  'p256-sign',
  'p384-sign',
  'ed25519-sign',
  'ml-dsa-44-sign',
  'ml-dsa-65-sign',
  'ml-dsa-87-sign',
  'slh-dsa-sha2-128s-sign',
] as const;

export type SigningKind = (typeof signingKinds)[number];

export type KeyKind = SigningKind | 'p256-agree' | 'sealing';

export interface KeyFile {
  readonly name: string;
  readonly kind: KeyKind;
  /** DER of SubjectPublicKeyInfo; empty for sealing keys. */
  readonly publicKeySpki: Uint8Array;
  readonly parameters: ScryptParameters;
  readonly nonce: Uint8Array;
  /** AES-256-GCM: ciphertext and tag. */
  readonly encrypted: Uint8Array;
}

/** RFC 7914 §2: N = 2^costLog2, r = blockSize, p = parallelization. */
export interface ScryptParameters {
  readonly costLog2: number;
  readonly blockSize: number;
  readonly parallelization: number;
  readonly salt: Uint8Array;
}

/** About 128 MiB and half a second: dear for whoever tries passphrases, paid once a start by us. */
export const defaultCost = { costLog2: 17, blockSize: 8, parallelization: 1 } as const;

/** A file from elsewhere must not make us take more memory or time than this. */
const limits = { costLog2: 20, blockSize: 16, parallelization: 4 } as const;

const format = 'birthmark-key-1';
const kinds: readonly KeyKind[] = [...signingKinds, 'p256-agree', 'sealing'];

/** The key of keys, in a private field that neither inspect nor JSON reaches. One derivation serves all files of one salt. */
export class WrappingKey {
  readonly parameters: ScryptParameters;
  readonly #bytes: Buffer;

  private constructor(parameters: ScryptParameters, bytes: Buffer) {
    this.parameters = parameters;
    this.#bytes = bytes;
  }

  static async derive(passphrase: string, parameters: ScryptParameters): Promise<WrappingKey> {
    const { costLog2, blockSize, parallelization, salt } = parameters;
    const options: ScryptOptions = {
      N: 2 ** costLog2,
      r: blockSize,
      p: parallelization,
      maxmem: 160 * blockSize * 2 ** costLog2,
    };
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      scrypt(passphrase.normalize('NFKC'), salt, 32, options, (error, derived) => {
        if (error === null) resolve(derived);
        else reject(error);
      });
    });
    return new WrappingKey(parameters, bytes);
  }

  encrypt(name: string, kind: KeyKind, publicKeySpki: Uint8Array, secret: Uint8Array): KeyFile {
    const nonce = randomBytes(12);
    const file = { name, kind, publicKeySpki, parameters: this.parameters, nonce };
    const cipher = createCipheriv('aes-256-gcm', this.#fileKey(nonce), nonce);
    cipher.setAAD(header(file));
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
    return { ...file, encrypted: ciphertext };
  }

  /** Throws an `EnvironmentError` when the passphrase is wrong or the file was altered. */
  decrypt(file: KeyFile): Buffer {
    const { nonce, encrypted, name } = file;
    const tagOffset = encrypted.length - 16;
    const decipher = createDecipheriv('aes-256-gcm', this.#fileKey(nonce), nonce);
    decipher.setAAD(header(file));
    decipher.setAuthTag(encrypted.subarray(tagOffset));
    try {
      return Buffer.concat([decipher.update(encrypted.subarray(0, tagOffset)), decipher.final()]);
    } catch (error) {
      throw new EnvironmentError(
        `key ${name} does not open: the passphrase is wrong, or the file was altered`,
        { retryable: false, cause: error },
      );
    }
  }

  /** A key for each file, so that no nonce can meet another under one key. */
  #fileKey(nonce: Uint8Array): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#bytes, nonce, format, 32));
  }
}

export function encodeKeyFile(file: KeyFile): string {
  return `${JSON.stringify({ ...headerMembers(file), encrypted: toBase64(file.encrypted) }, null, 2)}\n`;
}

/** Throws a `MalformedError` that names the member. */
export function parseKeyFile(text: string): KeyFile {
  const members = objectOf(text);
  const member = (name: string): unknown => Reflect.get(members, name);
  if (member('format') !== format) fail('format');
  const kind = kinds.find((candidate) => candidate === member('kind')) ?? fail('kind');
  const name = member('name');
  if (typeof name !== 'string' || !/^[a-z][a-z0-9-]{0,39}$/.test(name)) fail('name');
  const bytes = (at: string, least: number, most: number): Uint8Array => {
    const value = member(at);
    const parsed = typeof value === 'string' ? parseBase64(value) : undefined;
    return parsed !== undefined && parsed.length >= least && parsed.length <= most
      ? parsed
      : fail(at);
  };
  const bounded = (at: keyof typeof limits): number => {
    const value = member(at);
    return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= limits[at]
      ? value
      : fail(at);
  };
  return {
    name,
    kind,
    publicKeySpki: bytes('publicKey', 0, 4096),
    parameters: {
      costLog2: bounded('costLog2'),
      blockSize: bounded('blockSize'),
      parallelization: bounded('parallelization'),
      salt: bytes('salt', 16, 64),
    },
    nonce: bytes('nonce', 12, 12),
    // ML-DSA-87 is the largest: seed and expanded key together.
    encrypted: bytes('encrypted', 17, 8192),
  };
}

/** What the encryption authenticates: the file without its ciphertext. */
function header(file: Omit<KeyFile, 'encrypted'>): Buffer {
  return Buffer.from(JSON.stringify(headerMembers(file)));
}

function headerMembers(file: Omit<KeyFile, 'encrypted'>): Record<string, string | number> {
  const { costLog2, blockSize, parallelization, salt } = file.parameters;
  return {
    format,
    name: file.name,
    kind: file.kind,
    publicKey: toBase64(file.publicKeySpki),
    costLog2,
    blockSize,
    parallelization,
    salt: toBase64(salt),
    nonce: toBase64(file.nonce),
  };
}

function objectOf(text: string): object {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Told below in our own words.
  }
  throw new MalformedError('key file', 0, 'no JSON object');
}

function fail(member: string): never {
  throw new MalformedError('key file', 0, `member ${member} is missing or wrong`);
}
