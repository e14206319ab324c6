/** An authority with any number of certificates, some of them revoked, without having signed them all. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { newMemorySigner } from '../../src/drivers/keys/software/memorySigner.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteStatusStore } from '../../src/drivers/store/sqlite/statusStore.ts';
import { Issuance } from '../../src/trust/issuance/issuance.ts';
import { type Issuer, rootToBe } from '../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import type { Clock } from '../../src/trust/ports/clock.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { encodeRevokedEntry } from '../../src/wire/crl/certificateList.ts';
import { shardOf } from '../../src/wire/crl/shard.ts';
import { noExpirationMs } from '../../src/wire/der/time.ts';
import { encodeName } from '../../src/wire/x509/names.ts';

export const authorityName = 'operational';

export interface StatusWorld {
  readonly database: SqliteDatabase;
  readonly store: SqliteStatusStore;
  readonly issuances: SqliteIssuanceStore;
  readonly issuer: Issuer;
  readonly issuance: Issuance;
  readonly shards: number;
}

export async function openStatusWorld(
  folder: string,
  setting: { readonly name: string; readonly shards: number; readonly clock: Clock },
): Promise<StatusWorld> {
  const { name, shards, clock } = setting;
  const path = join(folder, `${name}.sqlite`);
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  const store = new SqliteStatusStore(database);
  const issuances = new SqliteIssuanceStore(database);
  const subject = encodeName(['organizationName', 'Bench'], ['commonName', 'Bench Operational']);
  const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
  const baseUrl = 'http://status.bench.example';
  const issuer: Issuer = {
    ...rootToBe(nodeCrypto, subject, newMemorySigner(), period),
    role: authorityName,
    name: authorityName,
    pathLength: 0,
    distribution: { authority: authorityName, baseUrl, shards, responder: true },
  };
  await store.createLists({ authority: authorityName, shards, baseUrl });
  const issuance = new Issuance({
    store: issuances,
    crypto: nodeCrypto,
    clock,
    profiles: builtInProfiles,
    issuers: [issuer],
  });
  return { database, store, issuances, issuer, issuance, shards };
}

const rowsInCommit = 50_000;

/**
 * Rows of certificates of device keys, as their issuance would leave them, but for the certificates
 * themselves: neither lists nor answers read those. Returns the serial numbers.
 */
export async function fillCertificates(
  world: StatusWorld,
  setting: { readonly count: number; readonly revoked: boolean },
): Promise<readonly Uint8Array[]> {
  const serials: Uint8Array[] = [];
  while (serials.length < setting.count) {
    const length = Math.min(rowsInCommit, setting.count - serials.length);
    const page = Array.from({ length }, newSerial);
    await insertPage(world, page, setting.revoked);
    serials.push(...page);
  }
  return serials;
}

function insertPage(
  { database, shards }: StatusWorld,
  page: readonly Uint8Array[],
  revoked: boolean,
): Promise<void> {
  return database.transact((connection) => {
    const lists = connection
      .prepare('SELECT id FROM lists WHERE authority = ? ORDER BY shard')
      .all(authorityName)
      .map((row) => Number(row['id']));
    const last = connection.prepare('SELECT coalesce(max(id), 0) AS id FROM issuances').get();
    const first = Number(last?.['id']) + 1;
    const certificate = connection.prepare(insertCertificate);
    const signature = connection.prepare('INSERT INTO signatures VALUES (?, ?)');
    const entry = connection.prepare(insertEntry);
    for (const [index, serialNumber] of page.entries()) {
      const id = first + index;
      certificate.run(id, serialNumber, authorityName, toHex(randomBytes(8)), randomBytes(20));
      signature.run(id, noSignature);
      if (!revoked) continue;
      const encoded = encodeRevokedEntry({
        serialNumber,
        revokedAtMs: longAgoMs,
        reason: 'keyCompromise',
      });
      entry.run(lists[shardOf(serialNumber, shards)] ?? 0, id, id, longAgoMs, encoded);
    }
  });
}

const longAgoMs = Date.UTC(2026, 0, 1);
const notAfterMs = Date.UTC(2099, 0, 1);
const noSignature = new Uint8Array(71);

const insertCertificate = `
  INSERT INTO issuances
  VALUES (?, ?, ?, 'ldevid@1', ?, ?, ${longAgoMs}, ${notAfterMs}, zeroblob(16))`;

const insertEntry = `
  INSERT INTO list_entries VALUES (?, ?, ?, 1, ?, ${notAfterMs}, 1, ?)`;

/** As they are drawn at issuance: 16 bytes, positive, never shorter. */
function newSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(16));
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}
