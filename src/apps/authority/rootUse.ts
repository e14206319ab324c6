/**
 * What the root's key is opened for, in full: two persons sign it, and what is about to be signed is held
 * against it once more where the key is open.
 */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SnapshotIssuingReader } from '../../drivers/store/issuingReader.ts';
import { encodeParameters, type RootUse } from '../../trust/approvals/acts.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { IssuingReader } from '../../trust/ports/issuingReader.ts';
import type { LossCase } from '../../trust/ports/lossCase.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import type { StoreSetting } from '../storeSetting.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  readCertificateFile,
  requireInstallation,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { believedBelowRoots, commonNameOf, isSelfSigned, profileNameOf } from './authorityNames.ts';
import {
  type AuthorityRecord,
  lineOf,
  nextName,
  offlineKey,
  readBook,
  successorOf,
} from './book.ts';
import { openAuthoritySnapshot } from './stores.ts';

export interface RootUseOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly store?: StoreSetting | undefined;
}

/** Makes the key of the authority that takes the place of the lost one: until it is certified it is nothing. */
export async function useForLoss(options: RootUseOptions, one: LossCase): Promise<RootUse> {
  const paths = authorityPaths(options.dataFolder);
  const { organization } = await requireInstallation(paths);
  const book = await readBook(paths);
  const lost = book.find(({ name }) => name === one.subject);
  if (lost === undefined) throw refused(`there is no authority ${one.subject}`);
  const certificate = await readCertificateFile(paths, lost.name);
  const lists = await listsOf(paths, options.store, book, certificate);
  const revokes = [nodeCrypto.hash('SHA-256', certificate)];
  if (!one.steps.some(({ name }) => name === 'successor')) {
    return { what: `end the lost key of ${lost.name}`, certificates: [], revokes, lists };
  }
  const next = successorIn(book, lost, one);
  const below = lost.role === 'root' ? believedBelowRoots(book) : [];
  const { passphrase } = options;
  const keys = new AuthorityKeys(await KeyFolder.open({ folder: paths.keys, passphrase }));
  try {
    const { publicKeySpki } = await keys.make(next);
    return {
      what: `replace the lost key of ${lost.name}`,
      certificates: [
        certifiedAs(organization, next, publicKeySpki),
        ...(await Promise.all(
          below.map(async (record) => {
            const own = parseCertificate(await readCertificateFile(paths, record.name));
            return certifiedAs(organization, record, own.publicKey.spki);
          }),
        )),
      ],
      revokes,
      lists,
    };
  } finally {
    await keys.close();
  }
}

/** Throws an `EnvironmentError` where no root is here. */
export async function useForLists({
  dataFolder,
  store,
}: Omit<RootUseOptions, 'passphrase'>): Promise<RootUse> {
  const paths = authorityPaths(dataFolder);
  await requireInstallation(paths);
  const lists = await listsOf(paths, store, await readBook(paths), undefined);
  if (lists.length === 0) {
    throw refused(
      'the root is on another machine: birthmark ca root list there, then birthmark ca import here',
    );
  }
  return { what: 'sign its revocation list', certificates: [], revokes: [], lists };
}

/** Of roots and of others: who has a list to sign now. */
export async function dueLists(
  { dataFolder, store }: Omit<RootUseOptions, 'passphrase'>,
  nowMs: number,
): Promise<readonly string[]> {
  const snapshot = await openAuthoritySnapshot(authorityPaths(dataFolder), store);
  try {
    return await new SnapshotIssuingReader(snapshot).dueLists(nowMs);
  } finally {
    await snapshot.close();
  }
}

/** As the book has it already, or will have it. */
export function successorIn(
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
  { successor }: LossCase,
): AuthorityRecord {
  const known = book.find(({ name }) => name === successor);
  // Of a lost root the next one has another name: under the same one it would be taken for its renewal.
  const newName = lost.role === 'root' ? { newName: true } : {};
  return known ?? successorOf(lost, successor ?? nextName(book, lineOf(lost)), newName);
}

/** Where the keys are open. Throws an `EnvironmentError` when the root is about to certify anything else. */
export function requireCertificate(
  use: RootUse,
  organization: string,
  record: AuthorityRecord,
  key: Uint8Array,
): void {
  const wanted = encodeParameters(certifiedAs(organization, record, key));
  const isApproved = use.certificates.some((one) => equal(encodeParameters(one), wanted));
  if (!isApproved) throw refused(`another key, name or profile of ${record.name} was approved`);
}

/** The same for lists; `lost`: the certificate that they are to name now. */
export async function requireLists(
  use: RootUse,
  { dataFolder, store }: Omit<RootUseOptions, 'passphrase'>,
  lost: Uint8Array | undefined,
): Promise<void> {
  const paths = authorityPaths(dataFolder);
  const lists = await listsOf(paths, store, await readBook(paths), lost);
  const revokes = lost === undefined ? [] : [nodeCrypto.hash('SHA-256', lost)];
  const about = (one: Pick<RootUse, 'lists' | 'revokes'>): Uint8Array =>
    encodeParameters({ lists: one.lists, revokes: one.revokes });
  if (equal(about(use), about({ lists, revokes }))) return;
  throw refused('the list of the root would say something else than what was approved');
}

function certifiedAs(
  organization: string,
  record: AuthorityRecord,
  key: Uint8Array,
): RootUse['certificates'][number] {
  const name = commonNameOf(organization, record);
  return { profile: profileNameOf(record), name, key };
}

/** Of the roots that are here: what their lists say of everybody but the key of `lost`. */
async function listsOf(
  paths: AuthorityPaths,
  store: StoreSetting | undefined,
  book: readonly AuthorityRecord[],
  lost: Uint8Array | undefined,
): Promise<RootUse['lists']> {
  const lists: Array<RootUse['lists'][number]> = [];
  const except = lost === undefined ? undefined : keyIdentifierOf(lost);
  const snapshot = await openAuthoritySnapshot(paths, store);
  try {
    const reader: IssuingReader = new SnapshotIssuingReader(snapshot);
    for (const record of book) {
      const { name: authority, key, state } = record;
      if (!isSelfSigned(record) || key === offlineKey || state === 'removed') continue;
      const entries: Uint8Array[] = [];
      for await (const { serialNumber, keyIdentifier, code, atMs } of reader.listed(authority)) {
        if (toHex(keyIdentifier) === except) continue;
        entries.push(cbor.array(cbor.bytes(serialNumber), cbor.integer(code), cbor.integer(atMs)));
      }
      const sha256 = nodeCrypto.hash('SHA-256', cbor.array(...entries));
      lists.push({ authority, entries: entries.length, sha256 });
    }
  } finally {
    await snapshot.close();
  }
  return lists;
}

/** As `issuances.key_id`: RFC 7093 §2, method 1, hexadecimal. */
function keyIdentifierOf(certificate: Uint8Array): string {
  const { key } = parseSpki(parseCertificate(certificate).publicKey.spki);
  return toHex(nodeCrypto.hash('SHA-256', key).slice(0, 20));
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
