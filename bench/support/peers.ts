/** How fast the certificate libraries of npm make a certificate like ours: key usage, identifiers, a name. */
import type * as X509 from '@peculiar/x509';
import { webcrypto } from 'node:crypto';
import * as pkijs from 'pkijs';

export interface PeerRate {
  readonly name: string;
  readonly perSecond: number;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const notBefore = new Date(Date.UTC(2026, 0, 1));
const notAfter = new Date(Date.UTC(9999, 11, 31, 23, 59, 59));

/** `example`: DER of a certificate; pkijs only puts another key into it and signs. */
export async function peerRates(example: Uint8Array, count = 300): Promise<readonly PeerRate[]> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  standInForReflection();
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  const engine = new pkijs.CryptoEngine({ name: 'node', crypto: webcrypto });
  pkijs.setEngine('node', engine);
  return [
    {
      name: '@peculiar/x509, certificate made',
      perSecond: await rate(count, () => peculiar(x509, keys)),
    },
    { name: 'pkijs, certificate signed', perSecond: await rate(count, pkiMaker(example, keys)) },
  ];
}

/** By the median, as our own steps are. */
async function rate(count: number, make: () => Promise<unknown>): Promise<number> {
  for (let warm = 0; warm < count; warm++) await make();
  const times: number[] = [];
  for (let made = 0; made < count; made++) {
    const startMs = performance.now();
    await make();
    times.push(performance.now() - startMs);
  }
  const median = times.toSorted((left, right) => left - right)[count >> 1];
  return 1000 / (median ?? Infinity);
}

function peculiar(x509: typeof X509, keys: webcrypto.CryptoKeyPair): Promise<unknown> {
  return x509.X509CertificateGenerator.create({
    serialNumber: '4142434445464748494a4b4c4d4e4f50',
    subject: 'O=Bench, 2.5.4.5=0123456789abcdef',
    issuer: 'O=Bench, CN=Bench Factory',
    notBefore,
    notAfter,
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: keys.privateKey,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.SubjectKeyIdentifierExtension('00'.repeat(20)),
      new x509.AuthorityKeyIdentifierExtension('11'.repeat(20)),
    ],
  });
}

function pkiMaker(example: Uint8Array, keys: webcrypto.CryptoKeyPair): () => Promise<unknown> {
  const certificate = pkijs.Certificate.fromBER(example.slice().buffer);
  return async () => {
    await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
    await certificate.sign(keys.privateKey, 'SHA-256');
    return certificate.toSchema(true).toBER();
  };
}

/** @peculiar/x509 finds its parts by reflect-metadata, of which it asks no more than this. */
function standInForReflection(): void {
  const known = new WeakMap<object, Map<unknown, unknown>>();
  const of = (target: object): Map<unknown, unknown> => {
    const own = known.get(target) ?? new Map<unknown, unknown>();
    known.set(target, own);
    return own;
  };
  Object.assign(Reflect, {
    defineMetadata: (name: unknown, value: unknown, target: object) => of(target).set(name, value),
    getMetadata: (name: unknown, target: object) => of(target).get(name),
    getOwnMetadata: (name: unknown, target: object) => of(target).get(name),
  });
}
