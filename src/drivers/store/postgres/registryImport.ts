/**
 * All devices of an import in one transaction, or none: what is there is read at once, decided device by
 * device in memory, and written at once.
 */
import type {
  DeviceIdentity,
  ImportedDevice,
  ImportOutcome,
  UniqueAttribute,
} from '../../../trust/ports/registryStore.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { deviceOf } from '../sqlite/registryTables.ts';
import { blob, text } from '../sqlite/rows.ts';
import type { Connection } from './connection.ts';

export async function importAll(
  connection: Connection,
  devices: readonly ImportedDevice[],
  nowMs: number,
): Promise<ImportOutcome> {
  const present = await Present.read(connection, devices);
  const added: ImportedDevice[] = [];
  for (const [index, device] of devices.entries()) {
    if (present.has(device)) continue;
    const attribute = present.conflictOf(device);
    if (attribute !== undefined) return { conflictAt: index, attribute };
    present.add(device);
    added.push(device);
  }
  for (let from = 0; from < added.length; from += rowsAtOnce) {
    await insert(connection, added.slice(from, from + rowsAtOnce), nowMs);
  }
  return { imported: added.length, unchanged: devices.length - added.length };
}

const rowsAtOnce = 1_000;

/** What the registry holds of everything that the import names, and what the import has added so far. */
class Present {
  readonly #devices = new Map<string, DeviceIdentity>();
  /** Certificates by their hash in hexadecimal. */
  readonly #holders = new Map<string, string>();
  readonly #taken = new Set<string>();

  static async read(connection: Connection, devices: readonly ImportedDevice[]): Promise<Present> {
    const present = new Present();
    for (let from = 0; from < devices.length; from += rowsAtOnce) {
      await present.#read(connection, devices.slice(from, from + rowsAtOnce));
    }
    return present;
  }

  /** Equal in every attribute, and every certificate is the device's own. */
  has({ identity, certificates }: ImportedDevice): boolean {
    const known = this.#devices.get(identity.deviceId);
    return (
      known !== undefined &&
      known.family === identity.family &&
      known.product === identity.product &&
      known.owner === identity.owner &&
      known.proofLevel === identity.proofLevel &&
      (['uid', 'eui64', 'signKeySpki', 'agreeKey', 'kid'] as const).every((name) =>
        same(known[name], identity[name]),
      ) &&
      certificates.every(({ sha256 }) => this.#holders.get(toHex(sha256)) === identity.deviceId)
    );
  }

  conflictOf(device: ImportedDevice): UniqueAttribute | undefined {
    for (const [attribute, name] of uniqueNames(device)) {
      if (this.#taken.has(name)) return attribute;
    }
    return undefined;
  }

  add(device: ImportedDevice): void {
    const { identity, certificates } = device;
    this.#devices.set(identity.deviceId, identity);
    for (const { sha256 } of certificates) this.#holders.set(toHex(sha256), identity.deviceId);
    for (const [, name] of uniqueNames(device)) this.#taken.add(name);
  }

  async #read(connection: Connection, devices: readonly ImportedDevice[]): Promise<void> {
    const identities = devices.map(({ identity }) => identity);
    const hashes = devices.flatMap(({ certificates }) => certificates.map(({ sha256 }) => sha256));
    const rows = await connection.all(
      selectDevices,
      identities.map(({ deviceId }) => deviceId),
      identities.map(({ uid }) => uid),
      identities.map(({ family }) => family),
      identities.flatMap(({ eui64 }) => eui64 ?? []),
      identities.map(({ signKeySpki }) => signKeySpki),
      identities.flatMap(({ agreeKey }) => agreeKey ?? []),
    );
    for (const row of rows)
      this.add({ identity: deviceOf(row), state: 'expected', certificates: [] });
    for (const row of await connection.all(selectHolders, hashes)) {
      const sha256 = toHex(blob(row, 'sha256'));
      this.#holders.set(sha256, text(row, 'holder'));
      this.#taken.add(`certificate ${sha256}`);
    }
  }
}

/** In the order in which conflicts are told. What a device does not have conflicts with nobody. */
function* uniqueNames({
  identity,
  certificates,
}: ImportedDevice): Generator<readonly [UniqueAttribute, string]> {
  const { deviceId, family, uid, eui64, signKeySpki, agreeKey } = identity;
  yield ['deviceId', `device ${deviceId}`];
  yield ['uid', `uid ${toHex(uid)} ${family}`];
  if (eui64 !== undefined) yield ['eui64', `eui64 ${toHex(eui64)}`];
  yield ['signKeySpki', `sign ${toHex(signKeySpki)}`];
  if (agreeKey !== undefined) yield ['agreeKey', `agree ${toHex(agreeKey)}`];
  for (const { sha256 } of certificates) yield ['certificate', `certificate ${toHex(sha256)}`];
}

const selectDevices = `
  SELECT * FROM device WHERE device_id = ANY ($1::text[])
  UNION
  SELECT device.* FROM device
  JOIN unnest($2::bytea[], $3::text[]) AS wanted (uid, family)
    ON device.uid = wanted.uid AND device.family = wanted.family
  UNION SELECT * FROM device WHERE eui64 = ANY ($4::bytea[])
  UNION SELECT * FROM device WHERE sign_key = ANY ($5::bytea[])
  UNION SELECT * FROM device WHERE agree_key = ANY ($6::bytea[])`;

const selectHolders = 'SELECT sha256, holder FROM certificate WHERE sha256 = ANY ($1::bytea[])';

async function insert(
  connection: Connection,
  devices: readonly ImportedDevice[],
  nowMs: number,
): Promise<void> {
  const identities = devices.map(({ identity }) => identity);
  await connection.run(
    insertDevices,
    identities.map(({ deviceId }) => deviceId),
    identities.map(({ family }) => family),
    identities.map(({ uid }) => uid),
    identities.map(({ eui64 }) => eui64 ?? null),
    identities.map(({ product }) => product),
    identities.map(({ owner }) => owner),
    identities.map(({ signKeySpki }) => signKeySpki),
    identities.map(({ agreeKey }) => agreeKey ?? null),
    identities.map(({ kid }) => kid ?? null),
    identities.map(({ proofLevel }) => proofLevel),
    devices.map(({ state }) => state),
    nowMs,
  );
  const certificates = devices.flatMap(({ identity, certificates: own }) =>
    own.map((certificate) => ({ ...certificate, holder: identity.deviceId })),
  );
  await connection.run(
    `INSERT INTO certificate (sha256, kind, holder, not_after_ms, state, added_ms)
     SELECT sha256, kind, holder, not_after_ms, 'active', $5
     FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY
       AS new (sha256, kind, holder, not_after_ms, number)
     ORDER BY number`,
    certificates.map(({ sha256 }) => sha256),
    certificates.map(({ kind }) => kind),
    certificates.map(({ holder }) => holder),
    certificates.map(({ notAfterMs }) => notAfterMs ?? null),
    nowMs,
  );
}

const insertDevices = `
  INSERT INTO device (device_id, family, uid, eui64, product, owner, sign_key, agree_key, kid,
    proof_level, state, role, imported_ms)
  SELECT new.*, coalesce(product.role, 'sensor'), $12
  FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[], $7::bytea[],
      $8::bytea[], $9::bytea[], $10::text[], $11::text[])
    AS new (device_id, family, uid, eui64, product, owner, sign_key, agree_key, kid, proof_level, state)
  LEFT JOIN product ON product.name = new.product`;

function same(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}
