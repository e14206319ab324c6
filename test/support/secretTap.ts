/**
 * Preloaded into every process of a run (`NODE_OPTIONS=--import`): writes down each secret as node:crypto
 * makes or takes it, and whatever the process says, each into a folder of its own. Private keys, shared
 * secrets, and the keys of ciphers, MACs and derivations; derived values are caught as they are used.
 */
import crypto, { KeyObject } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

/** Shorter values are identifiers, nonces and tags; keys have 16 bytes at least. */
const shortestBytes = 16;

const secretsFolder = process.env['BIRTHMARK_TAP_SECRETS'];
const outputFolder = process.env['BIRTHMARK_TAP_OUTPUT'];
const known = new Set<string>();

function note(kind: string, value: unknown): void {
  for (const bytes of bytesOf(value)) {
    const hex = bytes.toString('hex');
    // Salts of zeros and other constants are no secrets.
    if (bytes.length < shortestBytes || new Set(bytes).size < 8 || known.has(hex)) continue;
    known.add(hex);
    appendFileSync(join(secretsFolder ?? '', `${process.pid}.txt`), `${kind} ${hex}\n`);
  }
}

function bytesOf(value: unknown): Buffer[] {
  if (typeof value === 'string') return [Buffer.from(value)];
  if (value instanceof ArrayBuffer) return [Buffer.from(value)];
  if (ArrayBuffer.isView(value)) {
    return [Buffer.from(value.buffer, value.byteOffset, value.byteLength)];
  }
  if (!(value instanceof KeyObject) || value.type === 'public') return [];
  if (value.type === 'secret') return [value.export()];
  const { d } = value.export({ format: 'jwk' });
  return d === undefined ? [] : [Buffer.from(d, 'base64url')];
}

type Call = (...values: unknown[]) => unknown;

/** Afterwards every importer of node:crypto has the function that tells. */
function tap(name: string, tell: (values: readonly unknown[], result: unknown) => void): void {
  const module: Record<string, unknown> = crypto;
  const original = module[name] as Call;
  module[name] = (...values: unknown[]) => {
    const result = original(...values);
    tell(values, result);
    return result;
  };
}

if (secretsFolder !== undefined && outputFolder !== undefined) {
  tap('generateKeyPairSync', (_values, pair) => {
    note('private key', (pair as { readonly privateKey: unknown }).privateKey);
  });
  tap('createPrivateKey', (_values, key) => note('private key', key));
  tap('createSecretKey', (_values, key) => note('secret key', key));
  tap('diffieHellman', (_values, secret) => note('shared secret', secret));
  tap('createCipheriv', ([, key]) => note('cipher key', key));
  tap('createDecipheriv', ([, key]) => note('cipher key', key));
  tap('createHmac', ([, key]) => note('mac key', key));
  tap('hkdfSync', ([, secret]) => note('derivation', secret));
  tap('scrypt', (values) => note('passphrase', values[0]));
  syncBuiltinESMExports();
  for (const name of ['stdout', 'stderr'] as const) {
    const stream = process[name];
    const write = stream.write.bind(stream) as Call;
    const file = join(outputFolder, `${process.pid}.${name}`);
    Object.defineProperty(stream, 'write', {
      value: (part: string | Uint8Array, ...more: unknown[]) => {
        appendFileSync(file, part);
        return write(part, ...more);
      },
    });
  }
}
