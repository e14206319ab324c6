/** The keys of the authorities, for whoever doubts their signatures. */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';

export class IssuerKeys {
  readonly #keys = new Map<string, KeyObject>();
  readonly #identifiers = new Map<string, string>();

  /** `issuers`: DER certificates by name. */
  constructor(issuers: ReadonlyMap<string, Uint8Array>) {
    for (const [name, certificate] of issuers) {
      const { publicKey, extensions } = parseCertificate(certificate);
      const { spki } = publicKey;
      const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
      this.#keys.set(name, key);
      const named = findExtension(extensions, extensionOids.subjectKeyIdentifier);
      if (named === undefined) continue;
      this.#identifiers.set(name, toHex(decodeSubjectKeyIdentifier(named.value)));
    }
  }

  /** By the key of that name and no other of its role. */
  signed(issuer: string, data: Uint8Array, signature: Uint8Array): boolean {
    const named = this.#keys.get(issuer);
    // A root signs itself: under its own name its key is looked for among all.
    const keys = issuer === 'self' ? [...this.#keys.values()] : named === undefined ? [] : [named];
    return keys.some((key) => verify(digestOf(key), data, key, signature));
  }

  /** Hexadecimal, as its certificate and the log name it. */
  identifierOf(issuer: string): string | undefined {
    return this.#identifiers.get(issuer);
  }
}

/** `bits`: content of the BIT STRING; the first 160 bits of SHA-256 over it, hexadecimal. */
export function keyIdentifierOf(bits: Uint8Array): string {
  return createHash('sha256').update(bits).digest('hex').slice(0, 40);
}

/** `null` where the algorithm hashes by itself. */
function digestOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | null {
  if (asymmetricKeyType !== 'ec') return null;
  return asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'sha384' : 'sha256';
}
