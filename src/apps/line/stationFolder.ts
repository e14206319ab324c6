/**
 * What a station keeps, in one folder: its key (encrypted), its certificate, the authority of servers and
 * the order key that it pins, and the journal of its units.
 *
 *     station.key  station.pem  servers.pem  order-key.pem  journal.sqlite
 */
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { TlsIdentity } from '../../drivers/links/tls/client.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { PublicKey } from '../../wire/crypto/crypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { prepareCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { encodeName } from '../../wire/x509/names.ts';
import { encodePem, findPem, parsePem } from '../../wire/x509/pem.ts';
import { p256Point } from '../../wire/x509/spki.ts';

/** What the authority gives a station when it enrols it. */
export interface StationCredentials {
  /** DER, leaf first, without the root. */
  readonly certificates: readonly Uint8Array[];
  /** DER certificates of the authority that certifies servers. */
  readonly serverAnchors: readonly Uint8Array[];
  /** DER of SubjectPublicKeyInfo. */
  readonly orderKeySpki: Uint8Array;
}

export interface OpenedStation {
  readonly folder: string;
  readonly signer: Signer;
  readonly tls: TlsIdentity;
  readonly serverAnchors: readonly Uint8Array[];
  readonly orderKey: PublicKey;
}

/**
 * DER of a certification request for the station's key, which is made when there is none yet: a second
 * call after a crash asks for the same key. `costLog2` of the key's file is for tests.
 */
export async function requestStation(
  folder: string,
  passphrase: string,
  name: string,
  costLog2?: number,
): Promise<Uint8Array> {
  const cost = costLog2 === undefined ? {} : { costLog2 };
  const keys = await KeyFolder.open({ folder, passphrase, ...cost });
  if (!(await keys.names()).includes(keyName)) await keys.create(keyName, 'p256-sign');
  const signer = await keys.signer(keyName);
  const request = prepareCertificationRequest({
    subject: encodeName(['commonName', name]),
    spki: signer.publicKeySpki,
  });
  return request.finish('ecdsa-with-SHA256', await signer.sign(request.toBeSigned));
}

/** The certificate comes last: a folder that has it has everything. */
export async function saveStation(folder: string, credentials: StationCredentials): Promise<void> {
  const { certificates, serverAnchors, orderKeySpki } = credentials;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await save(join(folder, files.orderKey), encodePem('PUBLIC KEY', orderKeySpki));
  await save(join(folder, files.serverAnchors), pemOf(serverAnchors));
  await save(join(folder, files.certificates), pemOf(certificates));
}

export function isEnrolled(folder: string): boolean {
  return existsSync(certificateFileOf(folder));
}

/** Rejects with an `EnvironmentError` when it is not enrolled, with a `MalformedError` for a broken file. */
export async function openStation(folder: string, passphrase: string): Promise<OpenedStation> {
  if (!isEnrolled(folder)) throw notEnrolled(folder);
  const keys = await KeyFolder.open({ folder, passphrase });
  const signer = await keys.signer(keyName);
  const certificates = await certificatesOf(certificateFileOf(folder));
  const [leaf] = certificates;
  if (leaf === undefined || !equal(parseCertificate(leaf).publicKey.spki, signer.publicKeySpki)) {
    throw new EnvironmentError(`the certificate in ${folder} is not that of its key`, {
      retryable: false,
    });
  }
  const tls = { certificates, privateKeyPem: await keys.tlsKeyPem(keyName) };
  return {
    folder,
    signer,
    // A key in clear must not reach a log with the object around it.
    tls: Object.defineProperty(tls, 'privateKeyPem', { enumerable: false }),
    serverAnchors: await certificatesOf(join(folder, files.serverAnchors)),
    orderKey: orderKeyOf(await readFile(join(folder, files.orderKey), 'utf8')),
  };
}

/** DER, leaf first. Rejects with an `EnvironmentError` when the station is not enrolled. */
export async function readStationCertificates(folder: string): Promise<readonly Uint8Array[]> {
  if (!isEnrolled(folder)) throw notEnrolled(folder);
  return certificatesOf(certificateFileOf(folder));
}

export function certificateFileOf(folder: string): string {
  return join(folder, files.certificates);
}

export function journalFileOf(folder: string): string {
  return join(folder, files.journal);
}

const keyName = 'station';

const files = {
  certificates: 'station.pem',
  serverAnchors: 'servers.pem',
  orderKey: 'order-key.pem',
  journal: 'journal.sqlite',
} as const;

function notEnrolled(folder: string): EnvironmentError {
  const problem = `${folder} holds no enrolled station: see birthmark station enrol`;
  return new EnvironmentError(problem, { retryable: false });
}

async function certificatesOf(file: string): Promise<readonly Uint8Array[]> {
  const blocks = findPem(await readFile(file, 'utf8'));
  const certificates = blocks.flatMap(({ label, der }) => (label === 'CERTIFICATE' ? [der] : []));
  if (certificates.length === 0) throw new MalformedError('pem', 0, `no certificate in ${file}`);
  return certificates;
}

function orderKeyOf(pem: string): PublicKey {
  const point = p256Point(parsePem(pem, 'PUBLIC KEY'));
  const key = nodeCrypto.importPublicKey('P-256', point);
  if (key === undefined) throw new MalformedError('pem', 0, 'the order key is not on its curve');
  return key;
}

function pemOf(certificates: readonly Uint8Array[]): string {
  return certificates.map((certificate) => encodePem('CERTIFICATE', certificate)).join('');
}

async function save(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}
