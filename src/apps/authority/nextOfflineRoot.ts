/**
 * The next generation of a root on a machine of its own, made there: key and certificate, both links with the
 * present one (RFC 4210 §4.4), and a certificate of it for every authority below. What is made goes to the
 * server as files, and counts there from the moment on that a person says so. Every step may be taken again.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import { encodeSubjectOf } from '../../trust/issuance/prepare.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import { builtIn, builtInProfiles } from '../../trust/issuance/profiles.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { writeCertificateFile } from './authorityFolder.ts';
import { commonNameOf, linkProfileOf, underName } from './authorityNames.ts';
import { active, type AuthorityRecord, nextName, successorOf, writeBook } from './book.ts';
import { certifyOnce } from './certifyOnce.ts';
import { commitToNext, requireCommitted } from './nextRoot.ts';
import {
  issuerOf,
  type OpenRoot,
  publishLists,
  type SignRequest,
  signRequests,
} from './offlineRoot.ts';
import { readCertificateFile } from './authorityFolder.ts';

export interface NextRootPlan {
  /** That of the present one unless told. */
  readonly algorithm?: AuthorityRecord['algorithm'] | undefined;
  /** A PKCS#11 URI; absent for an encrypted file. */
  readonly key?: string | undefined;
  /** RFC 8649: it has a name of its own. */
  readonly newName?: boolean | undefined;
}

export interface NextRoot {
  readonly record: AuthorityRecord;
  /** DER of everything that the server needs, by the name of its file. */
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  /** PEM of the lists of both. */
  readonly lists: string;
}

/** `requests`: of the authorities that it certifies as well, by the names of their files. */
export async function makeNextRoot(
  root: OpenRoot,
  plan: NextRootPlan,
  requests: ReadonlyMap<string, SignRequest>,
): Promise<NextRoot> {
  const { paths, organization, book, stores, keys, issuer: present, clock } = root;
  const record = active(book, 'root');
  const next =
    book.find(({ state }) => state === 'announced') ??
    successorOf(record, nextName(book, 'root'), plan);
  const whole = [...book.filter(({ name }) => name !== next.name), next];
  // Written first: a crash behind this line is mended by the same command.
  await writeBook(paths, whole);
  const signer = await keys.make(next);
  const make = async (file: string, subject: Made, issuer: Issuer): Promise<Uint8Array> => {
    const name = commonNameOf(organization, subject.record);
    const certificate = await certifyOnce(
      { clock, store: stores.issuance },
      { ...subject, name, key: '' },
      issuer,
    );
    await writeCertificateFile(paths, file, certificate);
    made.set(file, certificate);
    return certificate;
  };
  const made = new Map<string, Uint8Array>();
  const presentCertificate = await readCertificateFile(paths, record.name);
  const nextRootSha256 = requireCommitted(presentCertificate, next.name, signer)
    ? await commitToNext(keys, whole, next.algorithm)
    : undefined;
  const profile = builtIn('root');
  const subject = encodeSubjectOf(profile, organization, {
    name: commonNameOf(organization, next),
  });
  const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
  const self = rootToBe(nodeCrypto, subject, signer, period);
  const own = await make(next.name, { profile, record: next, signer, nextRootSha256 }, self);
  const { distribution } = await issuerOf(paths, stores, keys, next);
  const issuer = issuerFrom('root', own, signer, { name: next.name, distribution });
  const link = linkProfileOf(next, builtInProfiles);
  if (link === undefined) throw new TypeError('roots link');
  await make(underName(next.name, record.name), { profile: link, record: next, signer }, present);
  const old = { profile: link, record, signer: present.signer };
  await make(underName(record.name, next.name), old, issuer);
  const names = [...requests.keys()];
  const certified = await signRequests(root, [...requests.values()], issuer);
  for (const [index, { certificate }] of certified.entries()) {
    made.set(underName(names[index] ?? '', next.name), certificate);
  }
  const lists = await publishLists(paths, stores, [present, issuer], clock);
  return { record: next, certificates: made, lists };
}

/** From now on the next one certifies here; the list of the former goes on. */
export async function switchRoot({ paths, book }: OpenRoot): Promise<AuthorityRecord> {
  const next = book.find(({ state }) => state === 'announced');
  if (next === undefined) {
    throw new EnvironmentError('no root is announced: birthmark ca root next', {
      retryable: false,
    });
  }
  const present = active(book, 'root');
  await writeBook(
    paths,
    book.map((record) => {
      if (record.name === next.name) return { ...record, state: 'active' };
      return record.name === present.name ? { ...record, state: 'retired' } : record;
    }),
  );
  return next;
}

interface Made {
  readonly profile: Profile;
  readonly record: AuthorityRecord;
  readonly signer: Pick<Signer, 'publicKeySpki' | 'algorithm'>;
  readonly nextRootSha256?: Uint8Array | undefined;
}
