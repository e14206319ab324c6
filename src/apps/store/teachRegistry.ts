/** What was revoked or held after a backup is so at the doors too, whatever database of theirs came back. */
import { existsSync } from 'node:fs';
import { type IssuedEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import type { Revocation } from '../../trust/ports/issuanceStore.ts';
import type { RegistryStore } from '../../trust/ports/registryStore.ts';
import { isFinal } from '../../trust/status/notices.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { entriesOf } from '../audit/logCopy.ts';
import { openStores } from '../provisioner/stores.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { households } from './household.ts';
import type { CheckedCopy } from './keptElsewhere.ts';
import { type Source, statusChangeOf } from './relearn.ts';

interface TeachOptions {
  readonly dataFolder: string;
  readonly store?: StoreSetting | undefined;
  readonly nowMs: number;
}

export async function teachRegistry(
  { dataFolder, store, nowMs }: TeachOptions,
  log: CheckedCopy,
  { leaves, lists }: Pick<Source, 'leaves' | 'lists'>,
): Promise<void> {
  const [, { place }] = households(dataFolder);
  const isThere = existsSync(store === undefined ? place.database : place.folder);
  if (!isThere) return;
  const changes = [
    ...leaves.flatMap((leaf) => statusChangeOf(readAuditEntry(leaf), leaf) ?? []),
    ...lists.flatMap(({ revoked }) => revoked),
  ];
  const issued = await issuedWith(
    log,
    new Set(changes.map(({ serialNumber }) => toHex(serialNumber))),
  );
  const stores = await openStores(place.folder, 1, store, 'recover');
  try {
    // Which of them were revoked since no log tells: programs get new ones.
    await stores.tokens.revokeAll(nowMs);
    const known = changes.flatMap((change) => {
      const entry = issued.get(toHex(change.serialNumber));
      return entry === undefined ? [] : { change, entry };
    });
    for (let from = 0; from < known.length; from += changesAtOnce) {
      const some = known.slice(from, from + changesAtOnce);
      await Promise.all(some.flatMap((one) => teach(stores.registry, one)));
    }
  } finally {
    await stores.close();
  }
}

/** Entries of the log about these serial numbers. */
async function issuedWith(
  log: CheckedCopy,
  serialNumbers: ReadonlySet<string>,
): Promise<ReadonlyMap<string, IssuedEntry>> {
  const found = new Map<string, IssuedEntry>();
  if (serialNumbers.size === 0) return found;
  for await (const { entry } of entriesOf(log, log.checkpoint)) {
    const read = readAuditEntry(entry);
    if (read.kind !== 'issued') continue;
    const serialNumber = toHex(read.serialNumber);
    if (serialNumbers.has(serialNumber)) found.set(serialNumber, read);
  }
  return found;
}

/** Calls share a commit, in their order. */
const changesAtOnce = 250;

function teach(
  registry: RegistryStore,
  { change, entry }: { readonly change: Revocation; readonly entry: IssuedEntry },
): ReadonlyArray<Promise<unknown>> {
  const { code, reason, atMs } = change;
  const { ticketId, holder, certificateSha256 } = entry;
  const set = (state: 'active' | 'held' | 'revoked'): Promise<unknown> =>
    registry.setCertificateState(certificateSha256, state, reason, atMs, code);
  if (!isFinal(code)) return [set(code === 'certificateHold' ? 'held' : 'active')];
  if (ticketId === undefined) return [set('revoked')];
  // Whoever's birth certificate is revoked has nothing left.
  return [registry.revokeDevices([holder], reason, atMs, code), set('revoked')];
}
