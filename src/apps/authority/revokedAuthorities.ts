/**
 * Authorities that are believed here and revoked: a folder that was put back to before a key was lost brings
 * them back. What the registry and the lists of the roots say counts, whatever the book says.
 */
import { serialMagnitude } from '../../trust/issuance/certification.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { StatusStore } from '../../trust/ports/statusStore.ts';
import {
  type CertificateList,
  findRevoked,
  parseCertificateList,
} from '../../wire/crl/certificateList.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { type AuthorityPaths, readCertificateFile } from './authorityFolder.ts';
import { type AuthorityRecord, lineOf } from './book.ts';

type Status = Pick<StatusStore, 'statusOf' | 'list'>;

/**
 * `book`: those that have certificates, roots among them. Rejects with an `EnvironmentError` that names the
 * first one that is revoked, and the command that ends it.
 */
export async function requireUnrevoked(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  status: Status,
): Promise<void> {
  const lists = await rootLists(book, status);
  for (const record of book) {
    if (!isBelieved(record)) continue;
    const { serialNumber } = parseCertificate(await readCertificateFile(paths, record.name));
    const magnitude = serialMagnitude(serialNumber) ?? serialNumber;
    if (!(await isRevoked(magnitude, lists, status))) continue;
    throw new EnvironmentError(
      `the certificate of ${record.name} is revoked, and the authority does not start with it: ${wayOut(record)}; see docs/stores.md`,
      { retryable: false },
    );
  }
}

/** A lost authority of servers stays believed until devices were told of the next one. */
function isBelieved({ state, role }: AuthorityRecord): boolean {
  return state === 'active' || state === 'announced' || (state === 'retired' && role !== 'server');
}

function wayOut(record: AuthorityRecord): string {
  if (record.state === 'retired') return `birthmark ca rollover remove ${lineOf(record)} ends it`;
  return `birthmark ca compromise ${record.name} puts another one in its place`;
}

async function rootLists(
  book: readonly AuthorityRecord[],
  status: Status,
): Promise<readonly CertificateList[]> {
  const roots = book.filter(({ role }) => role === 'root');
  const lists = await Promise.all(
    roots.map(({ name }) => status.list({ authority: name, shard: 0 })),
  );
  return lists.flatMap((list) => (list === undefined ? [] : parseCertificateList(list.der)));
}

async function isRevoked(
  serialNumber: Uint8Array,
  lists: readonly CertificateList[],
  status: Status,
): Promise<boolean> {
  const known = (await status.statusOf(serialNumber))?.status;
  if (known?.kind === 'revoked' && known.reason !== 'certificateHold') return true;
  // What a root on another machine has revoked is known from its list alone.
  return lists.some((list) => findRevoked(list, serialNumber) !== undefined);
}
