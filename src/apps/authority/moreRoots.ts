/**
 * One more root beside the first, of another algorithm say: it certifies every authority below the first one as
 * well. Its key is here, or on another machine, from which its certificates come as files.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { ActRequests } from '../../trust/approvals/acts.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import { readCertificateFile } from './authorityFolder.ts';
import {
  authorityAlgorithms,
  type AuthorityRecord,
  faultOfBook,
  offlineKey,
  readBook,
  writeBook,
} from './book.ts';
import { Office, type OfficeOptions } from './office.ts';
import { missingOf } from './offlineRoots.ts';
import { checkRoot, pinOnce } from './requests.ts';

export interface AddedRoot {
  readonly record: AuthorityRecord;
  /** Certificates that its machine has to give, by the names of their files. */
  readonly pending: readonly string[];
}

/** `certificate`: DER of a root's on another machine, which is pinned. Given again it goes on. */
export async function addRoot(
  options: OfficeOptions,
  { request }: Begun<'authority.announce'>,
  certificate?: Uint8Array,
): Promise<AddedRoot> {
  const office = await Office.open(options);
  try {
    const { paths } = office;
    const { record, whole } = await plannedRoot(office, request, certificate);
    if (certificate === undefined) {
      await office.certifyRootBeside(record);
    } else {
      await pinOnce(paths, record.name, certificate);
      await office.writeRequests();
    }
    // Written last: until here it is nothing, and the same command finds what there is of it.
    await writeBook(paths, whole);
    const pending =
      certificate === undefined ? [] : missingOf(paths, await readBook(paths), record);
    return { record, pending };
  } finally {
    await office.close();
  }
}

/** Beside those that are there. Rejects with an `EnvironmentError` that says what is in its way. */
export async function plannedRoot(
  place: Pick<Office, 'paths' | 'book' | 'organization'>,
  { role: name, key, rootSha256, algorithm: wanted }: ActRequests['authority.announce'],
  certificate?: Uint8Array,
): Promise<{ readonly record: AuthorityRecord; readonly whole: readonly AuthorityRecord[] }> {
  const algorithm = authorityAlgorithms.find((one) => one === wanted);
  if (algorithm === undefined) throw refused(`${wanted} is no algorithm of authorities`);
  // Digits count generations, the keys of which may rest here already.
  if (!/^root-[a-z][a-z0-9-]*$/.test(name)) throw refused(`${name}: it is called root-NAME`);
  const record: AuthorityRecord = {
    name,
    role: 'root',
    algorithm,
    ...(key === undefined ? {} : { key }),
    state: 'active',
  };
  const whole = [...place.book.filter((one) => one.name !== name), record];
  const fault = faultOfBook(whole);
  if (fault !== undefined) throw refused(fault);
  if (certificate !== undefined) {
    const sha256 = nodeCrypto.hash('SHA-256', certificate);
    if (key !== offlineKey || rootSha256 === undefined || !equal(sha256, rootSha256)) {
      throw refused('another certificate of the root was approved');
    }
    checkRoot(certificate, place.organization, algorithm);
    await requireOtherName(place, name, certificate);
  }
  return { record, whole };
}

/** Two roots of one name and two keys would be taken for generations of one. */
async function requireOtherName(
  { book, paths }: Pick<Office, 'book' | 'paths'>,
  own: string,
  certificate: Uint8Array,
): Promise<void> {
  const { subject } = parseCertificate(certificate);
  for (const { name, role, state } of book) {
    if (role !== 'root' || name === own || state === 'announced') continue;
    const other = parseCertificate(await readCertificateFile(paths, name));
    if (equal(other.subject.der, subject.der)) {
      throw refused(
        `${printName(subject)} is the name of ${name}: birthmark ca root create --name`,
      );
    }
  }
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
