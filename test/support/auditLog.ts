/** A log for tests: a real database, a real folder of tiles, a key, a clock that stands where it is put. */
import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { TileFolder } from '../../src/drivers/store/files/tileFolder.ts';
import { SqliteAuditStore } from '../../src/drivers/store/sqlite/auditStore.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { issuingMigrations } from '../../src/drivers/store/sqlite/issuingTables.ts';
import { encodeAuditEntry } from '../../src/trust/audit/entry.ts';
import { AuditLog } from '../../src/trust/audit/log.ts';
import type { AuditStore } from '../../src/trust/ports/auditStore.ts';
import type { Signer } from '../../src/trust/ports/keys.ts';
import type { TileStore } from '../../src/trust/ports/tileStore.ts';

export class LogWorld {
  readonly folder: string;
  readonly signer: Signer = noteSigner();
  readonly verifier: SoftwareVerifier = new SoftwareVerifier();
  nowMs: number = Date.UTC(2026, 5, 1);
  readonly clock: { nowMs(): number } = { nowMs: () => this.nowMs };
  #database: SqliteDatabase | undefined;
  #made = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Its folder is gone when the test is over. */
  static create(context: { after(done: () => void): void }): LogWorld {
    const world = new LogWorld(mkdtempSync(join(tmpdir(), 'birthmark-log-')));
    context.after(() => {
      world.close();
      rmSync(world.folder, { recursive: true, force: true });
    });
    return world;
  }

  get logFolder(): string {
    return join(this.folder, 'log');
  }

  get tiles(): TileFolder {
    return new TileFolder(this.logFolder);
  }

  get databasePath(): string {
    return join(this.folder, 'issuing.sqlite');
  }

  get database(): SqliteDatabase {
    this.#database ??= new SqliteDatabase({
      path: this.databasePath,
      migrations: issuingMigrations,
      cacheMebibytes: 4,
    });
    return this.#database;
  }

  get store(): SqliteAuditStore {
    return new SqliteAuditStore(this.database);
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  open(
    between: { readonly tiles?: TileStore; readonly store?: AuditStore } = {},
  ): Promise<AuditLog> {
    const { signer, verifier, tiles } = this;
    return AuditLog.open(between.store ?? this.store, this.clock, nodeCrypto, {
      tiles: between.tiles ?? tiles,
      signer,
      verifier,
    });
  }

  /** Entries of different lengths, no two the same. */
  async append(count: number): Promise<void> {
    await this.store.append(
      Array.from({ length: count }, () => {
        this.#made += 1;
        return encodeAuditEntry({
          kind: 'revoked',
          atMs: this.nowMs,
          serialNumber: Buffer.from(String(this.#made).padStart(16, '0')),
          reason: 'x'.repeat(this.#made % 40),
        });
      }),
    );
  }
}

/** Ed25519. */
export function noteSigner(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    algorithm: 'Ed25519',
    publicKeySpki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    sign: async (data) => new Uint8Array(sign(undefined, data, privateKey)),
  };
}
