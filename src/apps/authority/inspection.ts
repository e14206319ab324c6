/** What can be seen of the authorities: by the commands of this machine, and through the running authority. */
import { Worker } from 'node:worker_threads';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { LogFolder } from '../../drivers/store/files/tileFolder.ts';
import type { AuditLog } from '../../trust/audit/log.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { AuthorityView, Horizon, InspectionDesk } from '../../trust/ports/inspection.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { encodeNote, type SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import { entriesOf, proofText } from '../audit/logCopy.ts';
import type { StoreSetting } from '../storeSetting.ts';
import {
  type AuthorityPaths,
  certificatePath,
  type Installation,
  otherKeys,
  readCertificateFile,
} from './authorityFolder.ts';
import { offlineKey, readCertifiedBook } from './book.ts';
import { horizonOf } from './horizon.ts';
import { openAuthoritySnapshot } from './stores.ts';

/** As on this machine: `key` is the URI of a token where it is in one. */
export interface ShownAuthority extends AuthorityView {
  readonly file: string;
}

export interface InspectionOptions {
  readonly paths: AuthorityPaths;
  readonly installation: Installation;
  readonly store: StoreSetting | undefined;
  readonly clock: Clock;
  readonly log: Pick<AuditLog, 'advance' | 'published'>;
}

export async function readAuthorities(paths: AuthorityPaths): Promise<readonly ShownAuthority[]> {
  const manifest = {
    name: otherKeys.manifest,
    role: otherKeys.manifest,
    algorithm: 'ecdsa-with-SHA256',
    state: 'active',
  };
  return Promise.all(
    [...(await readCertifiedBook(paths)), manifest].map(async (record) => {
      const { name, role, state, algorithm } = record;
      const der = await readCertificateFile(paths, name);
      const { subject, notAfterMs } = parseCertificate(der);
      return {
        name,
        role,
        state,
        algorithm,
        key: 'key' in record ? (record.key ?? 'file') : 'file',
        subject: printName(subject),
        sha256: toHex(nodeCrypto.hash('SHA-256', der)),
        file: certificatePath(paths, name),
        notAfterMs: notAfterMs === noExpirationMs ? undefined : notAfterMs,
      };
    }),
  );
}

/** Of the running authority. */
export function inspection(options: InspectionOptions): InspectionDesk {
  const { paths, installation, log } = options;
  const horizons = new Map<number, Promise<Horizon>>();
  return {
    authorities: async () => ({
      ...installation,
      authorities: (await readAuthorities(paths)).map(
        ({ name, role, state, algorithm, key, subject, sha256, notAfterMs }) => ({
          name,
          role,
          state,
          algorithm,
          // Where a token is plugged in is nobody's business elsewhere.
          key: key === 'file' || key === offlineKey ? key : 'token',
          subject,
          sha256,
          notAfterMs,
        }),
      ),
    }),
    // It counts every certificate: who asks while it is made gets the one that is made.
    horizon: (untilYear) => {
      const made =
        horizons.get(untilYear) ??
        makeHorizon(options, untilYear).finally(() => horizons.delete(untilYear));
      horizons.set(untilYear, made);
      return made;
    },
    log: async () => {
      await log.advance();
      const { origin, treeSize, root, text, signatures } = checkpointOf(log);
      return { log: origin, treeSize, root, checkpoint: encodeNote(text, signatures) };
    },
    leaf: async (index) => {
      const checkpoint = checkpointOf(log);
      const files = { files: new LogFolder(paths.log) };
      for await (const { entry } of entriesOf(files, checkpoint, index)) {
        return { bytes: entry, proof: await proofText(files, checkpoint, index) };
      }
      return undefined;
    },
  };
}

/** What `horizonWorker.ts` is told. */
export interface HorizonTask {
  readonly paths: AuthorityPaths;
  readonly nowMs: number;
  readonly untilMs: number;
}

export function endOfYear(year: number): number {
  return Date.UTC(year, 11, 31, 23, 59, 59);
}

function checkpointOf({ published }: InspectionOptions['log']): SignedCheckpoint {
  if (published !== undefined) return published.checkpoint;
  throw new EnvironmentError('the log has no checkpoint yet', { retryable: true });
}

/** SQLite answers on the thread that asks, and this one has certificates to issue. */
async function makeHorizon(
  { paths, store, clock }: InspectionOptions,
  untilYear: number,
): Promise<Horizon> {
  const task: HorizonTask = { paths, nowMs: clock.nowMs(), untilMs: endOfYear(untilYear) };
  if (store !== undefined) {
    return horizonOf({ ...task, snapshot: await openAuthoritySnapshot(paths, store) });
  }
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('horizonWorker.ts', import.meta.url));
    worker.postMessage(task, []);
    worker.once('message', resolve);
    // Behind the message it says nothing any more.
    worker.once('exit', () =>
      reject(new EnvironmentError('no horizon was made', { retryable: true })),
    );
    worker.once('error', (cause) => {
      const message = cause instanceof Error ? cause.message : String(cause);
      reject(new EnvironmentError(message, { retryable: false, cause }));
    });
  });
}
