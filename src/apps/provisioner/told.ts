/** Who was told of which authorities: written when EST's cacerts is answered, read by a rollover. */
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { anchorMigrations, SqliteAnchorStore } from '../../drivers/store/sqlite/anchorStore.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import type { VerifiedPeer } from '../../trust/peers/verifiedPeer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';

export interface Told {
  readonly store: SqliteAnchorStore;
  readonly note: (peer: VerifiedPeer, certificates: readonly Uint8Array[]) => void;
  close(): void;
}

/** `onTrouble` hears of what could not be written: the device is counted when it asks again. */
export function openTold(folder: string, clock: Clock, onTrouble: (error: unknown) => void): Told {
  const database = new SqliteDatabase({
    path: join(folder, 'anchors.sqlite'),
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
