/**
 * The audit log: leaves from the database into tiles and a signed checkpoint, beside the bare hashes that
 * cannot be avoided; and the check of the whole log from its files.
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../src/drivers/keys/software/verifier.ts';
import { TileFolder } from '../src/drivers/store/files/tileFolder.ts';
import { SqliteAuditStore } from '../src/drivers/store/sqlite/auditStore.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { issuingMigrations } from '../src/drivers/store/sqlite/issuingTables.ts';
import { AuditLog, LogTree } from '../src/trust/audit/log.ts';
import { logKey } from '../src/trust/audit/publication.ts';
import { verifyLog } from '../src/trust/audit/verify.ts';
import type { Signer } from '../src/trust/ports/keys.ts';
import { leafHash, nodeHash, type TreeHash } from '../src/wire/tlog/tree.ts';
import { type BenchResult, row } from './result.ts';

const leaves = 100_000;
/** As an issued certificate has it. */
const entryBytes = 130;
const checkpoints = 50;

const hash: TreeHash = (data) => nodeCrypto.hash('SHA-256', data);
const clock = { nowMs: Date.now };

export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-log-'));
  const path = join(folder, 'issuing.sqlite');
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  try {
    const store = new SqliteAuditStore(database);
    const entries = Array.from({ length: leaves }, () => new Uint8Array(randomBytes(entryBytes)));
    const bareMs = await timed(() => bare(entries));
    const treeMs = await timed(() => grow(entries));
    const storeMs = await timed(() => store.append(entries));
    const tiles = new TileFolder(join(folder, 'log'));
    const signer = ed25519();
    const verifier = new SoftwareVerifier();
    const log = await AuditLog.open(store, clock, nodeCrypto, { tiles, signer, verifier });
    const logMs = await timed(() => log.advance());
    const checkpointMs = await timed(async () => {
      for (let count = 0; count < checkpoints; count++) {
        await store.append([new Uint8Array(randomBytes(entryBytes))]);
        await log.advance();
      }
    });
    const key = logKey(nodeCrypto, signer);
    const verifyMs = await timed(async () => {
      const report = await verifyLog({ files: tiles, hash, verifier, key, seen: [] });
      if (!report.ok) throw new Error(report.faults[0]?.text);
    });
    const perSecond = (ms: number): number => (leaves / ms) * 1000;
    return {
      rows: [
        row('bare: two hashes a leaf', perSecond(bareMs), 'leaves/s'),
        row('tree in memory', perSecond(treeMs), 'leaves/s'),
        row('tree in memory, of the bare hashes', bareMs / treeMs, ''),
        row('rows into the database', perSecond(storeMs), 'leaves/s'),
        row('rows into tiles, heads and checkpoints on disk', perSecond(logMs), 'leaves/s'),
        row('one leaf: row, tiles, head, checkpoint', checkpointMs / checkpoints, 'ms'),
        row('check of all files', perSecond(verifyMs), 'leaves/s'),
      ],
      promises: [],
    };
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}

function bare(entries: readonly Uint8Array[]): void {
  let last: Uint8Array = new Uint8Array(32);
  for (const entry of entries) last = nodeHash(hash, last, leafHash(hash, entry));
}

function grow(entries: readonly Uint8Array[]): void {
  const tree = new LogTree(hash, undefined);
  for (const entry of entries) tree.append(entry);
  tree.root();
}

async function timed(work: () => unknown): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}

function ed25519(): Signer {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  return {
    algorithm: 'Ed25519',
    publicKeySpki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    sign: async (data) => new Uint8Array(sign(undefined, data, privateKey)),
  };
}
