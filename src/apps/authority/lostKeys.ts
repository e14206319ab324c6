/**
 * What is done when a key is in wrong hands, for the keys that are the authority's own: an authority's, a
 * responder's, the log's. A case is written first; from then on a running authority certifies nothing with that
 * key, and none starts until another one has taken its place, or it is believed no more. Every step can be
 * taken again: what it made is found, what it revoked is passed over.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SnapshotCompromiseReader } from '../../drivers/store/compromiseReader.ts';
import type { RootUse } from '../../trust/approvals/acts.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { serialMagnitude } from '../../trust/issuance/certification.ts';
import type { CompromiseReader } from '../../trust/ports/compromiseReader.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import { isLost } from '../../trust/ports/issuanceStore.ts';
import { type CaseDesk, isOpen, type LossCase, nextStep } from '../../trust/ports/lossCase.ts';
import { changeOf } from '../../trust/status/notices.ts';
import { RevocationLists } from '../../trust/status/lists.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { findRevoked, parseCertificateList } from '../../wire/crl/certificateList.ts';
import type { RevocationReason } from '../../wire/crl/reason.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { completeEither } from '../../wire/c509/either.ts';
import { attributeText } from '../../wire/x509/names.ts';
import { authorityPaths, type AuthorityPaths, readCertificateFile } from './authorityFolder.ts';
import { aboveOf } from './authorityNames.ts';
import {
  active,
  type AuthorityRecord,
  offlineKey,
  readBook,
  withSuccessor,
  writeBook,
} from './book.ts';
import { withCasesAtRest } from './caseOffice.ts';
import { Cases } from './cases.ts';
import { Office, type OfficeOptions } from './office.ts';
import { publishRootLists } from './rootList.ts';
import { caseOfAuthority, type CaseOptions, lostAuthority, newCase } from './lostAuthority.ts';
import { presentLogName, recordLostLog, replaceLogKey } from './lostLog.ts';
import { certifyAnew, putUnder } from './lostRoot.ts';
import { requireCertificate, requireLists, successorIn } from './rootUse.ts';
import { openAuthoritySnapshot } from './stores.ts';

export interface LossOptions extends CaseOptions, OfficeOptions {
  /** Hears of each step before it is taken. */
  readonly onStep?: (name: string) => void;
}

/** A case that cannot go on by itself: what a person has to do before the same command goes on. */
export interface Answered {
  readonly case: LossCase;
  readonly waitsFor?: string;
}

/** Certificates that are revoked in one transaction. */
const revokedAtOnce = 500;

/** So long a last list is good, whose key will never sign another one: past every leaf that it names. */
const lastListMs = 20 * 365 * 86_400_000;

/**
 * The case of the authority that `whose` names, as it is or opened now: to stop needs nobody's permission.
 */
export async function beginLostAuthority(
  desk: CaseDesk,
  options: LossOptions,
  whose: string,
): Promise<LossCase> {
  const paths = authorityPaths(options.dataFolder);
  const open = (await desk.cases()).find(
    (one) => one.kind === 'authority' && isOpen(one) && one.subject === whose,
  );
  if (open !== undefined) return open;
  const book = await readBook(paths);
  const lost = lostAuthority(book, whose);
  // Before anything else: from here on the lost key certifies nothing in a process of ours.
  return desk.openCase(caseOfAuthority(options, paths, book, lost));
}

/** Takes the steps of the case that are left: the root certifies the authority that takes the place. */
export async function answerLostAuthority(
  options: LossOptions,
  whose: string,
  { request: use }: Begun<'root.use'>,
): Promise<Answered> {
  const begun = await withCasesAtRest(options, (desk) => beginLostAuthority(desk, options, whose));
  return carryOn(options, begun, {
    successor: (office, one) => makeSuccessor(office, one, use),
    replaced: (office, one) => replaceInBook(office, one),
    removed: (office, one) => removeFromBook(office, one),
    revoked: (office, one) => revokeLeaves(office, one, options),
    listed: (office, one) => listLost(office, one, options, use),
  });
}

/**
 * Keys of responders live in the memory of the process and end with it; their certificates, which nobody
 * asks the status of, end within a week. What there is of them is revoked.
 */
export async function answerLostResponder(options: LossOptions): Promise<Answered> {
  const begun = await withCasesAtRest(options, (desk) =>
    begin(desk, 'ocsp', async () =>
      newCase(options, `ocsp-${options.clock.nowMs()}`, 'ocsp', 'ocsp', ['revoked']),
    ),
  );
  return carryOn(options, begun, {
    revoked: async (office) => {
      const count = await revokeLive(office, options, 'keyCompromise', (reader, nowMs) =>
        reader.liveResponders(nowMs),
      );
      return `${count} certificates of responders; the next start makes new keys`;
    },
  });
}

/**
 * The key that signs checkpoints. The log goes on as a new one, of another name, over the same leaves, one of
 * which says where the old one ended: whoever has a checkpoint of the old one can hold both against each other.
 */
export async function answerLostLog(
  options: LossOptions,
  { request }: Begun<'key.replace'>,
): Promise<Answered> {
  const paths = authorityPaths(options.dataFolder);
  const begun = await withCasesAtRest(options, (desk) => beginLostLog(desk, options));
  if (begun.subject !== request.subject) throw refused('another log was approved');
  return carryOn(options, begun, {
    recorded: recordLostLog,
    replaced: (_, one) => replaceLogKey(paths, one),
  });
}

/** As `beginLostAuthority`: no checkpoint is signed from then on, and who may have another key is asked then. */
export function beginLostLog(desk: CaseDesk, options: LossOptions): Promise<LossCase> {
  return begin(desk, 'log', () => caseOfLog(options, authorityPaths(options.dataFolder)));
}

/** The case of this kind that has a step to be done, or the one that is opened now. */
async function begin(
  desk: CaseDesk,
  kind: LossCase['kind'],
  make: () => Promise<LossCase>,
): Promise<LossCase> {
  const cases = await desk.cases();
  const open = cases.find((one) => one.kind === kind && nextStep(one) !== undefined);
  return open ?? desk.openCase(await make());
}

/** What a step did, in words; or what it waits for, and then it is not done. */
type StepResult = string | { readonly waitsFor: string };

type Steps = Readonly<Record<string, (office: Office, one: LossCase) => Promise<StepResult>>>;

async function carryOn(options: LossOptions, begun: LossCase, steps: Steps): Promise<Answered> {
  let one = begun;
  for (;;) {
    const name = nextStep(one);
    if (name === undefined) return { case: one };
    const take = steps[name];
    if (take === undefined) throw new TypeError(`no step is called ${name}`);
    options.onStep?.(name);
    // Opened anew for each step: the one before has changed the book.
    const office = await Office.open(options);
    try {
      const result = await take(office, one);
      if (typeof result !== 'string') return { case: one, waitsFor: result.waitsFor };
      const desk = await Cases.open(office.stores.cases);
      // A crash before this line takes the step again, which finds what it did.
      const step = { name, doneMs: options.clock.nowMs(), detail: result };
      const saved = await desk.finishStep(one.name, step);
      if (isRefusal(saved)) throw refused(saved.reason);
      one = saved;
    } finally {
      await office.close();
    }
  }
}

async function caseOfLog(options: LossOptions, paths: AuthorityPaths): Promise<LossCase> {
  const name = await presentLogName(paths);
  const at = options.clock.nowMs();
  return newCase(options, `log-${at}`, 'log', name, ['recorded', 'replaced']);
}

async function makeSuccessor(office: Office, one: LossCase, use: RootUse): Promise<StepResult> {
  const lost = recordOf(office, one.subject);
  const { role } = lost;
  const known = office.book.find(({ name }) => name === one.successor);
  const next = successorIn(office.book, lost, one);
  requireCertificate(use, office.organization, next, await office.keyOf(next));
  if (known === undefined) {
    await writeBook(office.paths, withSuccessor(office.book, lost, next));
  }
  if (role === 'root') return certifyAnew(office, next, use);
  // Devices pin the authority of servers: without a link from the lost key none of them would come along.
  const pending = await office.replace(lost, next, { follows: role === 'server' });
  if (pending !== undefined) {
    return {
      waitsFor: `the root: take ${pending} there, and what comes back to birthmark ca import`,
    };
  }
  if (role === 'server') await office.certifyManifests(next);
  return next.name;
}

/** In one write. Servers' authorities stay believed until devices were told of the next one. */
async function replaceInBook(
  office: Office,
  { subject, successor }: LossCase,
): Promise<StepResult> {
  const { role } = recordOf(office, subject);
  if (role === 'root') await putUnder(office, successor ?? '');
  const lostState = role === 'server' ? 'retired' : 'removed';
  await writeBook(
    office.paths,
    office.book.map((record) => {
      if (record.name === subject) return { ...record, state: lostState };
      return record.name === successor ? { ...record, state: 'active' } : record;
    }),
  );
  return role === 'server'
    ? `${subject} issues no more; birthmark ca rollover remove server when devices were told`
    : `${subject} issues no more, and is believed no more`;
}

/** Of one that does not issue: it is believed no more. */
async function removeFromBook({ book, paths }: Office, { subject }: LossCase): Promise<StepResult> {
  const { role } = recordOf({ book }, subject);
  if (role === 'root') await putUnder({ book, paths }, active(book, 'root').name);
  await writeBook(
    paths,
    book.map((record) => (record.name === subject ? { ...record, state: 'removed' } : record)),
  );
  return `${subject} is believed no more`;
}

/** Births stay as they are: an element gets no other identity, and a listed one is believed by its own bytes. */
async function revokeLeaves(
  office: Office,
  { subject }: LossCase,
  options: LossOptions,
): Promise<StepResult> {
  const count = await revokeLive(office, options, 'superseded', (reader, nowMs) =>
    reader.liveLeaves([subject], nowMs),
  );
  return `${count} certificates`;
}

/** The lost authority on the list of its root; and its own lists for the last time. */
async function listLost(
  office: Office,
  one: LossCase,
  options: LossOptions,
  use: RootUse,
): Promise<StepResult> {
  const lost = recordOf(office, one.subject);
  const own = await signLastLists(office, lost, options);
  const certificate = await readCertificateFile(office.paths, lost.name);
  const above = aboveOf(lost.role);
  const roots = office.book.filter(({ role, state }) => role === above && state !== 'removed');
  const isOffline = roots[0]?.key === offlineKey;
  if (isOffline && !(await isOnRootList(office, certificate))) {
    return {
      waitsFor: `the root: birthmark ca root revoke ${lost.name}.pem there, and its list to birthmark ca import`,
    };
  }
  await requireLists(use, options, certificate);
  await revokeAuthority(office, certificate, options);
  const here = roots.filter(({ key }) => key !== offlineKey);
  const issuers = await Promise.all(here.map((root) => office.issuer(root)));
  await publishRootLists(office.stores.status, issuers, options.clock);
  return `${lost.name} on the list of its root; its own lists ${own}`;
}

async function signLastLists(
  office: Office,
  lost: AuthorityRecord,
  { clock }: LossOptions,
): Promise<string> {
  const schedule = { everyMs: lastListMs, overlapMs: 0 };
  const issuers = [await office.issuer(lost)];
  const store = office.stores.status;
  try {
    await new RevocationLists({ store, clock, crypto: nodeCrypto, issuers, schedule }).advance();
    return 'signed for the last time';
  } catch (error) {
    // A token that was taken out of service signs nothing: the root's list says what matters.
    if (error instanceof EnvironmentError) return `not signed any more: ${error.message}`;
    throw error;
  }
}

/** Every certificate that a root here has given to that key. */
async function revokeAuthority(
  office: Office,
  certificate: Uint8Array,
  { reason, clock }: LossOptions,
): Promise<void> {
  const { subject, publicKey } = parseCertificate(certificate);
  const known = await office.stores.issuance.certificatesOf(
    attributeText(subject, 'commonName') ?? '',
  );
  const ofKey = known.filter((one) => {
    const { tbs, signature, profile } = one;
    if (profile.startsWith('link-') || isLost(one)) return false;
    return equal(parseCertificate(completeEither(tbs, signature)).publicKey.spki, publicKey.spki);
  });
  const atMs = clock.nowMs();
  await office.stores.issuance.revoke(
    ofKey.map((one) => changeOf(one.serialNumber, { code: 'cACompromise', reason, atMs })),
  );
}

async function isOnRootList(office: Office, certificate: Uint8Array): Promise<boolean> {
  const serialNumber = parseCertificate(certificate).serialNumber;
  const magnitude = serialMagnitude(serialNumber) ?? serialNumber;
  // The root that certified it may have been followed by another one since.
  for (const { name, role } of office.book) {
    if (role !== 'root') continue;
    const list = await office.stores.status.list({ authority: name, shard: 0 });
    if (list !== undefined && findRevoked(parseCertificateList(list.der), magnitude)) return true;
  }
  return false;
}

async function revokeLive(
  { paths, stores }: Office,
  { clock, reason, store }: LossOptions,
  code: RevocationReason,
  select: (reader: CompromiseReader, nowMs: number) => AsyncIterable<Uint8Array>,
): Promise<number> {
  const atMs = clock.nowMs();
  const snapshot = await openAuthoritySnapshot(paths, store);
  let count = 0;
  let batch: Uint8Array[] = [];
  const flush = async (): Promise<void> => {
    await stores.issuance.revoke(batch.map((serial) => changeOf(serial, { code, reason, atMs })));
    count += batch.length;
    batch = [];
  };
  try {
    for await (const serial of select(new SnapshotCompromiseReader(snapshot), atMs)) {
      batch.push(serial);
      if (batch.length === revokedAtOnce) await flush();
    }
    await flush();
  } finally {
    await snapshot.close();
  }
  return count;
}

function recordOf({ book }: Pick<Office, 'book'>, name: string): AuthorityRecord {
  const found = book.find((record) => record.name === name);
  if (found === undefined) throw refused(`there is no authority ${name}`);
  return found;
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
