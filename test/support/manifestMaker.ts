/** A maker of elements with a hierarchy and a manifest key of its own; entries may be made wrong on purpose. */
import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import type { ManifestTrust } from '../../src/trust/registry/manifestImport.ts';
import { concat } from '../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { noExpirationMs } from '../../src/wire/der/time.ts';
import { manifestText, prepareEntry } from '../../src/wire/manifest/writer.ts';
import { encodeSignatureAlgorithm } from '../../src/wire/x509/algorithms.ts';
import { encodeCertificate, encodeTbsCertificate } from '../../src/wire/x509/certificateWriter.ts';
import {
  authorityKeyIdentifier,
  basicConstraints,
  encodeExtension,
  keyUsage,
  subjectKeyIdentifier,
} from '../../src/wire/x509/extensions.ts';
import type { Extension } from '../../src/wire/x509/model.ts';
import { encodeDeviceName, encodeName } from '../../src/wire/x509/names.ts';

/** What may be different about one element. */
export interface EntryChange {
  readonly uid?: Uint8Array;
  readonly deviceId?: string;
  readonly eui64?: Uint8Array;
  /** Elements of one seed have the same keys. */
  readonly keySeed?: string;
  readonly signSlot?: string;
  readonly provisionedMs?: number;
  /** Device id in the certificate, where it shall differ from the entry's. */
  readonly certifiedDeviceId?: string;
  readonly certifiedKey?: 'another';
  /** Whose factory signs the certificate. */
  readonly issuer?: Maker;
  readonly offCurve?: boolean;
  readonly withoutCertificate?: boolean;
  readonly withoutBirth?: boolean;
  readonly brokenCertificate?: boolean;
}

export interface Maker {
  readonly trust: ManifestTrust;
  readonly rootCertificate: Uint8Array;
  readonly signerCertificate: Uint8Array;
  readonly manifest: (entries: readonly EntryChange[]) => Uint8Array;
  readonly certify: (deviceId: string, spki: Uint8Array) => readonly Uint8Array[];
}

const startMs = Date.parse('2026-01-01T00:00:00Z');
const yearMs = 365 * 86_400_000;
let made = 0;

export function makeMaker(): Maker {
  const [rootKey, factoryKey, signerKey] = [newKey(), newKey(), newKey()];
  const [rootName, factoryName, signerName] = ['Root', 'Factory', 'Manifests'].map((text) =>
    encodeName(['organizationName', 'Maker'], ['commonName', text]),
  ) as [Uint8Array, Uint8Array, Uint8Array];
  const root = certificate(rootKey, rootName, rootKey, rootName, [
    basicConstraints({ ca: true }),
    keyUsage('keyCertSign', 'cRLSign'),
  ]);
  const factory = certificate(rootKey, rootName, factoryKey, factoryName, [
    basicConstraints({ ca: true, pathLength: 0 }),
    keyUsage('keyCertSign', 'cRLSign'),
  ]);
  const signer = certificate(rootKey, rootName, signerKey, signerName, [
    basicConstraints({ ca: false }),
    keyUsage('digitalSignature'),
  ]);
  const certify = (deviceId: string, spki: Uint8Array): readonly Uint8Array[] => {
    const subject = encodeDeviceName('Maker', deviceId);
    const leaf = certificate(factoryKey, factoryName, { ...factoryKey, spki }, subject, [
      basicConstraints({ ca: false }),
      keyUsage('digitalSignature'),
    ]);
    return [leaf, factory];
  };
  const entry = (change: EntryChange): string => {
    const prepared = prepareEntry(recordOf(change, certify), {
      keyId: signerKey.keyId,
      certificateSha256: sha256(signer),
    });
    const key = { key: signerKey.privateKey, dsaEncoding: 'ieee-p1363' } as const;
    return prepared.finish(sign('sha256', prepared.toBeSigned, key));
  };
  return {
    trust: { format: 'birthmark', signers: [signer], anchors: [root] },
    rootCertificate: root,
    signerCertificate: signer,
    manifest: (entries) => utf8([...manifestText(entries.map(entry))].join('')),
    certify,
  };
}

function recordOf(change: EntryChange, certify: Maker['certify']) {
  const number = (made += 1);
  const keys = keysOf(change.keySeed ?? `element ${number}`);
  const deviceId = change.deviceId ?? String(number).padStart(16, '0');
  const certified = change.certifiedKey === 'another' ? newKey() : keys.sign;
  const chain = (change.issuer?.certify ?? certify)(
    change.certifiedDeviceId ?? deviceId,
    certified.spki,
  );
  const [leaf = new Uint8Array(), ...others] = chain;
  const certificates = change.brokenCertificate === true ? [leaf.subarray(1), ...others] : chain;
  const agreePoint = keys.agree.point.slice();
  if (change.offCurve === true) agreePoint[64] = (agreePoint[64] ?? 0) ^ 1;
  return {
    model: 'soft-1',
    partNumber: 'thermometer',
    manufacturer: { organizationName: 'Maker' },
    provisioner: { organizationName: 'Maker' },
    distributor: { organizationName: 'Maker' },
    groupId: 'batch-1',
    provisionedMs: change.provisionedMs ?? startMs + 1000,
    uniqueId: change.uid ?? sha256(utf8(`uid ${number}`)).slice(0, 9),
    keys: [
      {
        slot: change.signSlot ?? 'sign',
        point: keys.sign.point,
        certificates: change.withoutCertificate === true ? [] : certificates,
      },
      { slot: 'agree', point: agreePoint, certificates: [] },
    ],
    modelInfo: undefined,
    birth:
      change.withoutBirth === true
        ? undefined
        : {
            deviceId,
            eui64: change.eui64 ?? sha256(utf8(`eui ${number}`)).slice(0, 8),
            product: 'thermometer',
            batch: 'batch-1',
            family: 'software',
            proofLevel: 'line-anchored' as const,
          },
  };
}

interface TestKey {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
  readonly point: Uint8Array;
  readonly keyId: Uint8Array;
}

const seeded = new Map<string, { sign: TestKey; agree: TestKey }>();

function keysOf(seed: string): { sign: TestKey; agree: TestKey } {
  const keys = seeded.get(seed) ?? { sign: newKey(), agree: newKey() };
  seeded.set(seed, keys);
  return keys;
}

function newKey(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const point = spki.slice(-65);
  return { privateKey, spki, point, keyId: new Uint8Array(hash('sha1', point, 'buffer')) };
}

function certificate(
  issuerKey: TestKey,
  issuer: Uint8Array,
  subjectKey: TestKey,
  subject: Uint8Array,
  extensions: readonly Extension[],
): Uint8Array {
  const algorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
  const keyId = new Uint8Array(hash('sha1', subjectKey.spki.slice(-65), 'buffer'));
  const tbs = encodeTbsCertificate({
    serialNumber: concat(Uint8Array.of(0x40), keyId.slice(0, 15)),
    signatureAlgorithm: algorithm,
    issuer,
    notBeforeMs: startMs,
    notAfterMs: subject === issuer ? noExpirationMs : startMs + 20 * yearMs,
    subject,
    spki: subjectKey.spki,
    extensions: [
      ...extensions,
      subjectKeyIdentifier(keyId),
      authorityKeyIdentifier(issuerKey.keyId),
    ].map(encodeExtension),
  });
  return encodeCertificate(tbs, algorithm, sign('sha256', tbs, issuerKey.privateKey));
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', bytes, 'buffer'));
}
