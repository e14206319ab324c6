/** Certificates for tests of TLS clients and paths: any issuer, any extensions, no rules. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { encodeSignatureAlgorithm } from '../../src/wire/x509/algorithms.ts';
import { encodeCertificate, encodeTbsCertificate } from '../../src/wire/x509/certificateWriter.ts';
import {
  basicConstraints,
  encodeExtension,
  extKeyUsage,
  keyPurposes,
  keyUsage,
  subjectAltName,
} from '../../src/wire/x509/extensions.ts';
import type { Extension } from '../../src/wire/x509/model.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';

export interface TestIdentity {
  readonly name: string;
  readonly der: Uint8Array;
  readonly pem: string;
  readonly privateKey: KeyObject;
  readonly privateKeyPem: string;
  readonly spki: Uint8Array;
  readonly sha256: Uint8Array;
}

export interface TestCertificateOptions {
  readonly issuer?: TestIdentity;
  readonly extensions?: readonly Extension[];
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  /** Certifies a key that exists already. */
  readonly subject?: Pick<TestIdentity, 'privateKey' | 'spki'>;
}

const dayMs = 86_400_000;
const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');

/** Self-signed without an issuer. */
export function testCertificate(name: string, options: TestCertificateOptions = {}): TestIdentity {
  const { privateKey, spki } = options.subject ?? newKey();
  const tbs = encodeTbsCertificate({
    serialNumber: Uint8Array.of(0x40, ...randomBytes(15)),
    signatureAlgorithm: algorithm,
    issuer: encodeName(['commonName', options.issuer?.name ?? name]),
    notBeforeMs: options.notBeforeMs ?? Date.now() - dayMs,
    notAfterMs: options.notAfterMs ?? Date.now() + 30 * dayMs,
    subject: encodeName(['commonName', name]),
    spki,
    extensions: (options.extensions ?? []).map(encodeExtension),
  });
  const signature = sign('sha256', tbs, options.issuer?.privateKey ?? privateKey);
  const der = encodeCertificate(tbs, algorithm, new Uint8Array(signature));
  return {
    name,
    der,
    pem: encodePem('CERTIFICATE', der),
    privateKey,
    privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    spki,
    sha256: new Uint8Array(createHash('sha256').update(der).digest()),
  };
}

export function testAuthority(name: string, options: TestCertificateOptions = {}): TestIdentity {
  const extensions = [basicConstraints({ ca: true }), keyUsage('keyCertSign', 'cRLSign')];
  return testCertificate(name, { ...options, extensions });
}

/** For 127.0.0.1 and localhost. */
export function testServer(
  issuer: TestIdentity,
  options: TestCertificateOptions = {},
): TestIdentity {
  return testCertificate('server', {
    issuer,
    ...options,
    extensions: options.extensions ?? [serverNames, extKeyUsage(keyPurposes.serverAuth)],
  });
}

export const serverNames: Extension = subjectAltName([
  { kind: 'dNSName', text: 'localhost' },
  { kind: 'iPAddress', address: Uint8Array.of(127, 0, 0, 1) },
]);

function newKey(): Pick<TestIdentity, 'privateKey' | 'spki'> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })) };
}
