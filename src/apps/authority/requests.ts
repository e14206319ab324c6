/**
 * What goes to a root on another machine and what comes back. A request says what the authority is to be
 * called and what its profile fixes, and is signed by its key; a certificate is taken for a key that asked,
 * from the root that was pinned when the installation began, and only when it passes every lint of the
 * profile: the root's machine is trusted to have asked its people, not to have made no mistake.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import { identifierIn, type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import { lint } from '../../trust/issuance/lint.ts';
import { extensionsOf, encodeSubjectOf } from '../../trust/issuance/prepare.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  parseCertificationRequest,
  prepareCertificationRequest,
} from '../../wire/x509/certificationRequest.ts';
import {
  decodeKeyUsage,
  extensionOids,
  findExtension,
  subjectKeyIdentifier,
} from '../../wire/x509/extensions.ts';
import { attributeText, printName } from '../../wire/x509/names.ts';
import { encodePem, parsePem } from '../../wire/x509/pem.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import {
  type AuthorityPaths,
  certificatePath,
  readIfThere,
  writeCertificateFile,
  writeWhole,
} from './authorityFolder.ts';
import { commonNameOf } from './authorityNames.ts';
import { authorityAlgorithms, type AuthorityRecord } from './book.ts';

/** DER of the certificate where it came back; else the file of the request, which is there then. */
export async function certificateOrRequest(
  paths: AuthorityPaths,
  organization: string,
  asking: Asking,
): Promise<Uint8Array | string> {
  const text = await readIfThere(certificatePath(paths, asking.record.name));
  if (text !== undefined) return parsePem(text, 'CERTIFICATE');
  return writeRequest(paths, organization, asking);
}

export interface Asking {
  readonly record: AuthorityRecord;
  /** Of its certificate. */
  readonly profile: Profile;
  readonly signer: Signer;
  readonly audit: Pick<AuditStore, 'append'>;
  readonly clock: Clock;
}

/** The file; one that is there stays. The use of the key is in the log before the request is anywhere. */
export async function writeRequest(
  paths: AuthorityPaths,
  organization: string,
  { record, profile, signer, audit, clock }: Asking,
): Promise<string> {
  const file = requestPath(paths, record.name);
  if ((await readIfThere(file)) !== undefined) return file;
  await mkdir(requestFolder(paths), { recursive: true, mode: 0o700 });
  const name = commonNameOf(organization, record);
  const { key } = parseSpki(signer.publicKeySpki);
  const request = prepareCertificationRequest({
    subject: encodeSubjectOf(profile, organization, { name }),
    spki: signer.publicKeySpki,
    // Our root decides by the profile alone; other software copies what it is asked for.
    extensions: [
      ...extensionsOf(profile),
      subjectKeyIdentifier(identifierIn(profile, nodeCrypto, key)),
    ],
  });
  const signature = await signer.sign(request.toBeSigned);
  const der = request.finish(signer.algorithm, signature);
  const entry = encodeAuditEntry({
    kind: 'decision',
    atMs: clock.nowMs(),
    act: 'authority-request',
    subject: record.name,
    detail: toHex(nodeCrypto.hash('SHA-256', der)),
  });
  await audit.append([entry]);
  await writeWhole(file, encodePem('CERTIFICATE REQUEST', der));
  return file;
}

/** Authorities whose request was written, with the key that it names. */
export async function requested(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
): Promise<ReadonlyArray<{ readonly record: AuthorityRecord; readonly spki: Uint8Array }>> {
  const files = new Set(await readdir(requestFolder(paths)).catch(() => []));
  const waiting = book.filter(({ name }) => files.has(`${name}${suffix}`));
  return Promise.all(
    waiting.map(async (record) => {
      const text = await readFile(requestPath(paths, record.name), 'utf8');
      const request = parseCertificationRequest(parsePem(text, 'CERTIFICATE REQUEST'));
      return { record, spki: request.publicKey.spki };
    }),
  );
}

/**
 * Rejects with an `EnvironmentError` unless the certificate is signed by the root, called as the authority
 * is, of the agreed profile, and valid now.
 */
export function checkCertificate(
  certificate: Uint8Array,
  record: AuthorityRecord,
  {
    organization,
    profile,
    root,
    nowMs,
    subject: named,
  }: {
    /** DER, where the record does not say it. */
    readonly subject?: Uint8Array;
    readonly organization: string;
    readonly profile: Profile;
    readonly root: Issuer;
    readonly nowMs: number;
  },
): void {
  const parsed = parseCertificate(certificate);
  const { subject, tbs, notBeforeMs, notAfterMs } = parsed;
  const told = printName(subject);
  const name = commonNameOf(organization, record);
  const expected = named ?? encodeSubjectOf(profile, organization, { name });
  if (!equal(subject.der, expected)) throw refused(`${told} is not the name of ${record.name}`);
  if (!isSignedBy({ ...parsed, oid: parsed.signatureAlgorithm.oid }, root.signer.publicKeySpki)) {
    throw refused(`${told} is not signed by the root of this installation`);
  }
  if (notBeforeMs > nowMs || notAfterMs <= nowMs) throw refused(`${told} is not valid now`);
  // Judged as of its making, which the root may date back by the tolerance for clocks that are behind.
  const madeMs = Math.min(nowMs, notBeforeMs + toleranceMs);
  const linted = lint(nodeCrypto, { tbs, profile, issuer: root, nowMs: madeMs });
  if (isRefusal(linted)) throw refused(`${told}: ${linted.reason}`);
}

/** Rejects with an `EnvironmentError` unless it is a root of this organization and algorithm. */
export function checkRoot(
  certificate: Uint8Array,
  organization: string,
  algorithm: AuthorityRecord['algorithm'],
): void {
  const parsed = parseCertificate(certificate);
  const { subject, publicKey, extensions } = parsed;
  const told = printName(subject);
  if (attributeText(subject, 'organizationName') !== organization) {
    throw refused(`${told} is no root of ${organization}`);
  }
  const { oid } = parsed.signatureAlgorithm;
  if (oid !== signatureAlgorithmOids[algorithm]) {
    throw refused(`${told} does not sign with ${algorithm}`);
  }
  if (!equal(subject.der, parsed.issuer.der) || !isSignedBy({ ...parsed, oid }, publicKey.spki)) {
    throw refused(`${told} is not signed by itself`);
  }
  const usage = findExtension(extensions, extensionOids.keyUsage);
  const usages = usage === undefined ? undefined : decodeKeyUsage(usage.value);
  if (usages?.has('keyCertSign') !== true || !usages.has('cRLSign')) {
    throw refused(`${told} may not sign certificates and lists`);
  }
  const { pathLength } = issuerFrom('root', certificate, publicSigner(publicKey.spki, algorithm));
  if (pathLength === 0) throw refused(`${told} may have no authority below it`);
}

/** Throws an `EnvironmentError` when it is none of ours. */
export function algorithmOfRoot(certificate: Uint8Array): AuthorityRecord['algorithm'] {
  const { oid } = parseCertificate(certificate).signatureAlgorithm;
  const found = authorityAlgorithms.find((name) => signatureAlgorithmOids[name] === oid);
  if (found !== undefined) return found;
  throw refused('the root signs with an algorithm that is not known here');
}

/** A certificate file is written once: another one for the same place is somebody's mistake, or worse. */
export async function pinOnce(
  paths: AuthorityPaths,
  name: string,
  certificate: Uint8Array,
): Promise<void> {
  const text = await readIfThere(certificatePath(paths, name));
  if (text !== undefined && !equal(parsePem(text, 'CERTIFICATE'), certificate)) {
    throw refused(`${certificatePath(paths, name)} holds another certificate already`);
  }
  await writeCertificateFile(paths, name, certificate);
}

/** A key of which only the public half is here. */
export function publicSigner(publicKeySpki: Uint8Array, algorithm: Signer['algorithm']): Signer {
  const sign = (): Promise<never> => Promise.reject(refused('this key is on another machine'));
  return { algorithm, publicKeySpki, sign };
}

/** `oid`: dotted, of the signature algorithm. */
export function isSignedBy(
  {
    tbs,
    signature,
    oid,
  }: {
    readonly tbs: Uint8Array;
    readonly signature: Uint8Array;
    readonly oid: string;
  },
  spki: Uint8Array,
): boolean {
  return new SoftwareVerifier().verify(spki, oid, tbs, signature);
}

const suffix = '.csr';

/** As far as our own profiles date a certificate back. */
const toleranceMs = 300_000;

function requestFolder({ folder }: AuthorityPaths): string {
  return join(folder, 'requests');
}

function requestPath(paths: AuthorityPaths, name: string): string {
  return join(requestFolder(paths), `${name}${suffix}`);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
