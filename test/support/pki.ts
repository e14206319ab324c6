/**
 * A small hierarchy of authorities for tests, made by our own writer with keys of node:crypto:
 *
 *     const pki = testPki();
 *     const device = pki.ldevid('0123456789abcdef');
 *     connect({ key: device.privateKeyPem, cert: device.chainPem, ca: pki.server.pem });
 *
 * What a test wants to be wrong it changes: `pki.ldevid('...', { notAfterMs: 0 })`, `forged(device)`.
 * Certificates are good from 2020 to 2099, so that TLS libraries with a clock of their own take them.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import {
  encodeSignatureAlgorithm,
  type SignatureAlgorithmName,
} from '../../src/wire/x509/algorithms.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { encodeCertificate, encodeTbsCertificate } from '../../src/wire/x509/certificateWriter.ts';
import { prepareCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import * as extensions from '../../src/wire/x509/extensions.ts';
import {
  type GeneralName,
  hardwareModuleName,
  parseAddress,
} from '../../src/wire/x509/generalNames.ts';
import type { Certificate, Extension } from '../../src/wire/x509/model.ts';
import { encodeName } from '../../src/wire/x509/names.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { keyIdentifier, parseSpki } from '../../src/wire/x509/spki.ts';
import { noExpirationMs } from '../../src/wire/der/time.ts';

export const validFromMs: number = Date.UTC(2020, 0, 1);
export const validUntilMs: number = Date.UTC(2099, 0, 1);
/** An instant at which everything of `testPki` is good. */
export const testNowMs: number = Date.UTC(2026, 10, 22, 12);

export const testHwType = '1.3.6.1.4.1.55555.1';

/** A key pair as an element or an authority would hold it. */
export interface TestKey {
  readonly algorithm: SignatureAlgorithmName;
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
  readonly pem: string;
  sign(data: Uint8Array): Uint8Array;
}

export interface TestIdentity {
  readonly key: TestKey;
  readonly certificate: Certificate;
  readonly sha256: Uint8Array;
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
  readonly pem: string;
  readonly chainPem: string;
  readonly privateKeyPem: string;
}

export interface TestAuthority extends TestIdentity {
  issue(fields: IssueFields, changes?: Changes): TestIdentity;
  issueAuthority(commonName: string, fields?: AuthorityFields, changes?: Changes): TestAuthority;
}

export interface IssueFields {
  /** DER of Name. */
  readonly subject: Uint8Array;
  readonly extensions: readonly Extension[];
}

export interface AuthorityFields {
  readonly pathLength?: number;
  readonly nameConstraints?: extensions.NameConstraints;
  readonly extensions?: readonly Extension[];
}

/** What one certificate has otherwise than the rule. */
export interface Changes {
  readonly key?: TestKey;
  /** A public key whose private half is somebody else's, as in a request; `key` means nothing then. */
  readonly spki?: Uint8Array;
  readonly subject?: Uint8Array;
  readonly issuer?: Uint8Array;
  readonly notBeforeMs?: number;
  readonly notAfterMs?: number;
  readonly serialNumber?: Uint8Array;
  /** In place of all extensions. */
  readonly extensions?: readonly Extension[];
  readonly moreExtensions?: readonly Extension[];
}

export interface TestPki {
  readonly root: TestAuthority;
  readonly factory: TestAuthority;
  readonly operational: TestAuthority;
  readonly server: TestAuthority;
  idevid(deviceId: string, changes?: Changes): TestIdentity;
  ldevid(deviceId: string, changes?: Changes): TestIdentity;
  /** For `localhost` and 127.0.0.1, or the given names and addresses. */
  serverIdentity(names?: readonly string[], changes?: Changes): TestIdentity;
  station(name: string, changes?: Changes): TestIdentity;
  application(name: string, changes?: Changes): TestIdentity;
  operator(name: string, changes?: Changes): TestIdentity;
}

/** root → factory (IDevIDs), operational (LDevIDs), server (the rest), as the design has them. */
export function testPki(): TestPki {
  const root = testRoot('Test Root');
  const excluded = {
    pathLength: 0,
    nameConstraints: { permitted: [], excluded: everyInternetName },
  };
  const factory = root.issueAuthority('Test Factory', excluded);
  const operational = root.issueAuthority('Test Operational', excluded);
  const server = root.issueAuthority('Test Server', { pathLength: 0 });
  const client = (unit: string) => (name: string, changes?: Changes) =>
    server.issue(
      {
        subject: encodeName(
          ['organizationName', 'Test'],
          ['organizationalUnitName', unit],
          ['commonName', name],
        ),
        extensions: [
          extensions.keyUsage('digitalSignature'),
          extensions.extKeyUsage(extensions.keyPurposes.clientAuth),
        ],
      },
      changes,
    );
  return {
    root,
    factory,
    operational,
    server,
    idevid: (deviceId, changes) =>
      factory.issue(idevidFields(deviceId), { notAfterMs: noExpirationMs, ...changes }),
    ldevid: (deviceId, changes) => operational.issue(ldevidFields(deviceId), changes),
    serverIdentity: (names = ['localhost', '127.0.0.1'], changes) =>
      server.issue(serverFields(names), changes),
    station: client('station'),
    application: client('application'),
    operator: client('operator'),
  };
}

export function testRoot(commonName: string, changes: Changes = {}): TestAuthority {
  const key = changes.key ?? testKey();
  const subject = encodeName(['organizationName', 'Test'], ['commonName', commonName]);
  const own = { subject, identifier: identifierOf(key.spki), key };
  const fields = { subject, extensions: authorityExtensions({}) };
  return authority(certify(own, key, fields, changes), key, 'root');
}

export function testKey(algorithm: SignatureAlgorithmName = 'ecdsa-with-SHA256'): TestKey {
  const { privateKey, publicKey } = generateKeys(algorithm);
  return {
    algorithm,
    privateKey,
    spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    pem: String(privateKey.export({ format: 'pem', type: 'pkcs8' })),
    sign: (data) => new Uint8Array(sign(digestOf(algorithm), data, privateKey)),
  };
}

/** A PKCS#10 request signed by the key. */
export function testRequest(
  key: TestKey,
  fields: {
    subject?: Uint8Array;
    challengePassword?: string;
    extensions?: readonly Extension[];
    others?: ReadonlyMap<string, Uint8Array>;
  } = {},
): Uint8Array {
  const prepared = prepareCertificationRequest({
    subject: encodeName(),
    spki: key.spki,
    ...fields,
  });
  return prepared.finish(key.algorithm, key.sign(prepared.toBeSigned));
}

/** The same certificate under a signature of somebody else's key. */
export function forged(identity: TestIdentity): TestIdentity {
  const { certificate, key, chain } = identity;
  const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
  const der = encodeCertificate(certificate.tbs, algorithm, testKey().sign(certificate.tbs));
  return testIdentity(der, key, chain.slice(1));
}

/** The names of a device at birth; for a `TestAuthority` that is not the factory. */
export function idevidFields(deviceId: string): IssueFields {
  const module = { hwType: testHwType, hwSerialNum: new TextEncoder().encode(`uid-${deviceId}`) };
  return {
    subject: encodeName(['organizationName', 'Test Maker'], ['serialNumber', deviceId]),
    extensions: [
      extensions.keyUsage('digitalSignature'),
      extensions.subjectAltName([hardwareModuleName(module)]),
    ],
  };
}

export function ldevidFields(deviceId: string): IssueFields {
  return {
    subject: encodeName(['organizationName', 'Test Owner'], ['serialNumber', deviceId]),
    extensions: [
      extensions.keyUsage('digitalSignature'),
      extensions.extKeyUsage(extensions.keyPurposes.clientAuth),
    ],
  };
}

export function serverFields(names: readonly string[]): IssueFields {
  return {
    subject: encodeName(['commonName', names[0] ?? 'server']),
    extensions: [
      extensions.keyUsage('digitalSignature'),
      extensions.extKeyUsage(extensions.keyPurposes.serverAuth),
      extensions.subjectAltName(names.map(internetName)),
    ],
  };
}

/** Name constraints that take every DNS name, address and URI away. */
export const everyInternetName: readonly GeneralName[] = [
  { kind: 'dNSName', text: '' },
  { kind: 'iPAddress', address: new Uint8Array(8) },
  { kind: 'iPAddress', address: new Uint8Array(32) },
  { kind: 'uniformResourceIdentifier', text: '' },
];

interface Issuer {
  readonly subject: Uint8Array;
  readonly identifier: Uint8Array;
  readonly key: TestKey;
}

/** `issuers`: what stands between it and the root, nearest first. */
function authority(
  der: Uint8Array,
  key: TestKey,
  issuers: readonly Uint8Array[] | 'root',
): TestAuthority {
  const identity = testIdentity(der, key, issuers === 'root' ? [] : issuers);
  const { certificate } = identity;
  // A root is an anchor, which nobody sends.
  const above = issuers === 'root' ? [] : identity.chain;
  const issuer = { subject: certificate.subject.der, identifier: identifierOf(key.spki), key };
  return {
    ...identity,
    issue: (fields, changes = {}) => {
      const subjectKey = changes.key ?? testKey();
      return testIdentity(certify(issuer, subjectKey, fields, changes), subjectKey, above);
    },
    issueAuthority: (commonName, fields = {}, changes = {}) => {
      const subjectKey = changes.key ?? testKey();
      const subject = encodeName(['organizationName', 'Test'], ['commonName', commonName]);
      const issued = { subject, extensions: authorityExtensions(fields) };
      return authority(certify(issuer, subjectKey, issued, changes), subjectKey, above);
    },
  };
}

function certify(
  issuer: Issuer,
  subjectKey: TestKey,
  fields: IssueFields,
  changes: Changes,
): Uint8Array {
  const signatureAlgorithm = encodeSignatureAlgorithm(issuer.key.algorithm);
  const spki = changes.spki ?? subjectKey.spki;
  const list = changes.extensions ?? [
    extensions.authorityKeyIdentifier(issuer.identifier),
    extensions.subjectKeyIdentifier(identifierOf(spki)),
    ...fields.extensions,
    ...(changes.moreExtensions ?? []),
  ];
  const tbs = encodeTbsCertificate({
    serialNumber: changes.serialNumber ?? randomSerial(),
    signatureAlgorithm,
    issuer: changes.issuer ?? issuer.subject,
    notBeforeMs: changes.notBeforeMs ?? validFromMs,
    notAfterMs: changes.notAfterMs ?? validUntilMs,
    subject: changes.subject ?? fields.subject,
    spki,
    extensions: list.map(extensions.encodeExtension),
  });
  return encodeCertificate(tbs, signatureAlgorithm, issuer.key.sign(tbs));
}

function authorityExtensions(fields: AuthorityFields): readonly Extension[] {
  const { pathLength } = fields;
  return [
    extensions.basicConstraints(pathLength === undefined ? { ca: true } : { ca: true, pathLength }),
    extensions.keyUsage('keyCertSign', 'cRLSign'),
    ...(fields.nameConstraints === undefined
      ? []
      : [extensions.nameConstraints(fields.nameConstraints)]),
    ...(fields.extensions ?? []),
  ];
}

function testIdentity(der: Uint8Array, key: TestKey, issuers: readonly Uint8Array[]): TestIdentity {
  const chain = [der, ...issuers];
  return {
    key,
    certificate: parseCertificate(der),
    sha256: new Uint8Array(createHash('sha256').update(der).digest()),
    chain,
    pem: encodePem('CERTIFICATE', der),
    chainPem: chain.map((member) => encodePem('CERTIFICATE', member)).join(''),
    privateKeyPem: key.pem,
  };
}

function internetName(name: string): GeneralName {
  const address = parseAddress(name);
  return address === undefined ? { kind: 'dNSName', text: name } : { kind: 'iPAddress', address };
}

function identifierOf(spki: Uint8Array): Uint8Array {
  const sha1 = (data: Uint8Array): Uint8Array =>
    new Uint8Array(createHash('sha1').update(data).digest());
  return keyIdentifier(parseSpki(spki), sha1);
}

function randomSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(16));
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  return serial;
}

function generateKeys(algorithm: SignatureAlgorithmName): {
  privateKey: KeyObject;
  publicKey: KeyObject;
} {
  switch (algorithm) {
    case 'ecdsa-with-SHA256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'ecdsa-with-SHA384':
      return generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'ecdsa-with-SHA512':
      return generateKeyPairSync('ec', { namedCurve: 'P-521' });
    case 'Ed25519':
      return generateKeyPairSync('ed25519');
    case 'ML-DSA-44':
      return generateKeyPairSync('ml-dsa-44');
    case 'ML-DSA-65':
      return generateKeyPairSync('ml-dsa-65');
    case 'ML-DSA-87':
      return generateKeyPairSync('ml-dsa-87');
    case 'SLH-DSA-SHA2-128s':
      return generateKeyPairSync('slh-dsa-sha2-128s');
    case 'sha256WithRSAEncryption':
    case 'sha384WithRSAEncryption':
    case 'sha512WithRSAEncryption':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
  }
}

function digestOf(algorithm: SignatureAlgorithmName): string | null {
  const bits = /SHA(256|384|512)|sha(256|384|512)/.exec(algorithm);
  return bits === null ? null : `sha${bits[1] ?? bits[2]}`;
}
