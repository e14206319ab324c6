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
    for (const change of changes) {
      const known = issued.get(toHex(change.serialNumber));
      if (known !== undefined) await teach(stores.registry, change, known);
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

async function teach(
  registry: RegistryStore,
  { code, reason, atMs }: Revocation,
  { ticketId, holder, certificateSha256 }: IssuedEntry,
): Promise<void> {
  if (isFinal(code)) {
    // Whoever's birth certificate is revoked has nothing left.
    if (ticketId !== undefined) await registry.revokeDevices([holder], reason, atMs, code);
    await registry.setCertificateState(certificateSha256, 'revoked', reason, atMs, code);
    return;
  }
  const state = code === 'certificateHold' ? 'held' : 'active';
  await registry.setCertificateState(certificateSha256, state, reason, atMs);
}
