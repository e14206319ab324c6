/**
 * What is done when the key of a root is in wrong hands. The keys below it are not: another root certifies them
 * anew, under the same names, and what they gave stays good. Nothing leads to it from the lost one; whoever
 * pinned that one knows the next one when it was named in time (RFC 8649), or is told by people.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { RootUse } from '../../trust/approvals/acts.ts';
import { findExtension } from '../../wire/x509/extensions.ts';
import { hashOfRootKeyOid } from '../../wire/x509/hashOfRootKey.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { certificatePath, readCertificateFile, writeCertificateFile } from './authorityFolder.ts';
import { believedBelowRoots, underName } from './authorityNames.ts';
import { active, type AuthorityRecord } from './book.ts';
import type { Office } from './office.ts';
import { requireCertificate } from './rootUse.ts';

/** The next root, and a certificate of it for every authority below. */
export async function certifyAnew(
  office: Office,
  next: AuthorityRecord,
  use: RootUse,
): Promise<string> {
  const { book, paths, organization } = office;
  for (const record of believedBelowRoots(book)) {
    const { publicKey } = parseCertificate(await readCertificateFile(paths, record.name));
    requireCertificate(use, organization, record, publicKey.spki);
  }
  await office.certifyRootAlone(next);
  const lost = parseCertificate(await readCertificateFile(paths, active(book, 'root').name));
  return findExtension(lost.extensions, hashOfRootKeyOid) === undefined
    ? `${next.name}, which the lost one has not named: whoever pins a root is told by people`
    : `${next.name}, whose key the lost one has named: whoever pins that one can follow`;
}

/** The certificates of the next root take the place of those of the lost one. Goes on where it was cut short. */
export async function putUnder(
  { book, paths }: Pick<Office, 'book' | 'paths'>,
  next: string,
): Promise<void> {
  for (const { name } of believedBelowRoots(book)) {
    const file = underName(name, next);
    if (!existsSync(certificatePath(paths, file))) continue;
    await writeCertificateFile(paths, name, await readCertificateFile(paths, file));
    await rm(certificatePath(paths, file));
  }
}
