/** What the provisioner keeps in its folder: a database and keys. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SqliteAnswerStore } from '../../drivers/store/sqlite/answerStore.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteRegistryStore } from '../../drivers/store/sqlite/registryStore.ts';
import { provisionerMigrations } from '../../drivers/store/sqlite/provisionerTables.ts';
import { openSessionLife } from '../../drivers/store/sqlite/sessionLife.ts';
import { SqliteSessionStore } from '../../drivers/store/sqlite/sessionStore.ts';
import { SqliteChainStore, SqliteCloneStore } from '../../drivers/store/sqlite/sessionWitnesses.ts';
import { SqliteTelemetryStore } from '../../drivers/store/sqlite/telemetryStore.ts';
import type { AnswerStore } from '../../trust/ports/answerStore.ts';
import type { ChainStore } from '../../trust/ports/chainStore.ts';
import type { CloneStore } from '../../trust/ports/cloneStore.ts';
import type { KeyAgreement, SealingKey } from '../../trust/ports/keys.ts';
import type { RegistryStore } from '../../trust/ports/registryStore.ts';
import type { SessionStore } from '../../trust/ports/sessionStore.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import {
  type AgreeCredential,
  encodeServerIdentity,
  readServerIdentity,
} from '../../wire/edhoc/agreeCredential.ts';

export interface Stores {
  readonly registry: RegistryStore;
  readonly telemetry: TelemetryStore;
  readonly sessions: SessionStore;
  readonly clones: CloneStore;
  readonly chains: ChainStore;
  readonly answers: AnswerStore;
  close(): void;
}

/** Makes the folder when it is missing. Rejects with an `EnvironmentError` when another process has it. */
export async function openStores(folder: string, telemetryWindow: number): Promise<Stores> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const database = new SqliteDatabase({
    path: join(folder, 'provisioner.sqlite'),
    migrations: provisionerMigrations,
  });
  const life = await openSessionLife(database, join(folder, 'sessions.life'));
  return {
    registry: new SqliteRegistryStore(database),
    telemetry: new SqliteTelemetryStore(database, telemetryWindow),
    sessions: new SqliteSessionStore(database, life),
    clones: new SqliteCloneStore(database),
    chains: new SqliteChainStore(database),
    answers: new SqliteAnswerStore(database),
    close: () => {
      database.close();
      life.close();
    },
  };
}

export interface ServerKeys {
  readonly folder: KeyFolder;
  /** Static key of EDHOC. */
  readonly agreement: KeyAgreement;
  readonly sealing: SealingKey;
  /** The credential with the public half of `agreement`, and its bytes as elements store them. */
  readonly identity: AgreeCredential;
  readonly identityBytes: Uint8Array;
}

const keyNames = { agreement: 'edhoc', sealing: 'sessions' } as const;

/** Makes the keys at the first start. `owner` tells a person whose server the credential names. */
export async function openKeys(
  options: { readonly folder: string; readonly passphrase: string; readonly costLog2?: number },
  owner: string,
): Promise<ServerKeys> {
  const folder = await KeyFolder.open(options);
  const names = await folder.names();
  if (!names.includes(keyNames.agreement)) await folder.create(keyNames.agreement, 'p256-agree');
  if (!names.includes(keyNames.sealing)) await folder.create(keyNames.sealing, 'sealing');
  const agreement = await folder.agreement(keyNames.agreement);
  const identityBytes = encodeServerIdentity(nodeCrypto, owner, agreement.publicKey);
  return {
    folder,
    agreement,
    sealing: await folder.sealingKey(keyNames.sealing),
    identity: readServerIdentity(nodeCrypto, identityBytes),
    identityBytes,
  };
}
