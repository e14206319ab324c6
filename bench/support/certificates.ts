/** A root, its servers and its devices, for benches that need TLS on both sides. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
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
import type { Certificate, Extension } from '../../src/wire/x509/model.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';

export interface BenchIdentity {
  readonly privateKeyPem: string;
  readonly chainPem: string;
  readonly certificate: Certificate;
  readonly sha256: Uint8Array;
}

export interface BenchAuthority {
  readonly certificate: Certificate;
  readonly pem: string;
  server(): BenchIdentity;
  device(deviceId: string): BenchIdentity;
}

const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
const validity = { notBeforeMs: Date.UTC(2020, 0, 1), notAfterMs: Date.UTC(2099, 0, 1) };

export function benchAuthority(): BenchAuthority {
  const own = newKey();
  const name = encodeName(['commonName', 'Bench']);
  const issue = (key: Key, subject: Uint8Array, extensions: readonly Extension[]): Uint8Array => {
    const serialNumber = new Uint8Array(randomBytes(16));
    serialNumber[0] = ((serialNumber[0] ?? 0) & 0x7f) | 0x40;
    const tbs = encodeTbsCertificate({
      serialNumber,
      signatureAlgorithm: algorithm,
      issuer: name,
      ...validity,
      subject,
      spki: key.spki,
      extensions: extensions.map(encodeExtension),
    });
    return encodeCertificate(tbs, algorithm, new Uint8Array(sign('sha256', tbs, own.privateKey)));
  };
  const identity = (subject: Uint8Array, extensions: readonly Extension[]): BenchIdentity => {
    const key = newKey();
    const der = issue(key, subject, [keyUsage('digitalSignature'), ...extensions]);
    return {
      privateKeyPem: key.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      chainPem: encodePem('CERTIFICATE', der),
      certificate: parseCertificate(der),
      sha256: nodeCrypto.hash('SHA-256', der),
    };
  };
  const der = issue(own, name, [basicConstraints({ ca: true }), keyUsage('keyCertSign')]);
  const { clientAuth, serverAuth } = keyPurposes;
  return {
    certificate: parseCertificate(der),
    pem: encodePem('CERTIFICATE', der),
    server: () =>
      identity(encodeName(['commonName', 'localhost']), [
        extKeyUsage(serverAuth),
        subjectAltName([{ kind: 'dNSName', text: 'localhost' }]),
      ]),
    device: (deviceId) =>
      identity(encodeName(['serialNumber', deviceId]), [extKeyUsage(clientAuth)]),
  };
}

interface Key {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
}

function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })) };
}
