/** Who was told of which authorities: written when EST's cacerts is answered, read by a rollover. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { anchorMigrations, SqliteAnchorStore } from '../../drivers/store/sqlite/anchorStore.ts';
import { countDevices, countTold } from '../../drivers/store/knownAuthorities.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { openProvisionerSnapshot } from './stores.ts';

export interface Told {
  readonly store: SqliteAnchorStore;
  readonly note: (peer: VerifiedPeer, certificates: readonly Uint8Array[]) => void;
  close(): void;
}

export interface Knowing {
  /** Devices that were given a certificate of the key. */
  readonly told: number;
  /** Devices that are finished or enrolled, and not revoked. */
  readonly devices: number;
}

/** Of the provisioner's folder, whether or not it is running. `key`: SHA-256 over SubjectPublicKeyInfo. */
export async function countKnowing(
  folder: string,
  setting: StoreSetting | undefined,
  key: Uint8Array,
): Promise<Knowing> {
  const path = anchorsFile(folder);
  const anchors = existsSync(path) ? openSqliteSnapshot(path) : undefined;
  const told = await counted(anchors, (snapshot) => countTold(snapshot, key));
  const registry = await openProvisionerSnapshot(folder, setting);
  return { told, devices: await counted(registry, countDevices) };
}

/** Where nothing was ever written there is nothing. */
async function counted(
  snapshot: Snapshot | undefined,
  count: (snapshot: Snapshot) => Promise<number>,
): Promise<number> {
  if (snapshot === undefined) return 0;
  try {
    return await count(snapshot);
  } finally {
    await snapshot.close();
  }
}

function anchorsFile(folder: string): string {
  return join(folder, 'anchors.sqlite');
}

/** `onTrouble` hears of what could not be written: the device is counted when it asks again. */
export function openTold(folder: string, clock: Clock, onTrouble: (error: unknown) => void): Told {
  const database = new SqliteDatabase({
    path: anchorsFile(folder),
    migrations: anchorMigrations,
  });
  const store = new SqliteAnchorStore(database);
  return {
    store,
    note: ({ kind, holder }, certificates) => {
      if (kind !== 'idevid' && kind !== 'ldevid') return;
      const keys = certificates.map((der) =>
        nodeCrypto.hash('SHA-256', parseCertificate(der).publicKey.spki),
      );
      store.noteTold(holder, keys, clock.nowMs()).catch(onTrouble);
    },
    close: () => database.close(),
  };
}
