/** One authority of every role, and whatever it is asked for, issued the regular way into a database in memory. */
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import {
  Issuance,
  type Issued,
  type IssueRefusal,
  type IssueRequest,
} from '../../../src/trust/issuance/issuance.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../../src/trust/issuance/issuer.ts';
import type { IssuerRole, Profile } from '../../../src/trust/issuance/profile.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testSigner, type TestSigner } from './world.ts';

const names: Readonly<Record<Exclude<IssuerRole, 'self'>, readonly [string, string]>> = {
  root: ['root', 'Root'],
  factory: ['issuing-factory', 'Factory'],
  operational: ['issuing', 'Operational'],
  server: ['issuing-server', 'Servers'],
  'chip-signer': ['chip-signer', 'Signer 00A1'],
  'matter-paa': ['matter-paa', 'PAA'],
  'matter-pai': ['matter-pai', 'PAI'],
};

const below: Partial<Record<IssuerRole, IssuerRole>> = {
  factory: 'root',
  operational: 'root',
  server: 'root',
  'chip-signer': 'root',
  'matter-pai': 'matter-paa',
};

export class EveryProfile {
  readonly store: SqliteIssuanceStore;
  readonly issuers = new Map<IssuerRole, Issuer>();
  readonly certificates = new Map<IssuerRole, Uint8Array>();
  readonly keys = new Map<IssuerRole, TestSigner>();
  nowMs: number;
  readonly #clock = { nowMs: (): number => this.nowMs };

  private constructor(database: SqliteDatabase, nowMs: number) {
    this.store = new SqliteIssuanceStore(database);
    this.nowMs = nowMs;
  }

  static async create(
    context: { after(done: () => void): void },
    nowMs: number,
  ): Promise<EveryProfile> {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-profiles-'));
    const path = join(folder, 'issuing.sqlite');
    const database = new SqliteDatabase({ path, migrations: issuingMigrations, cacheMebibytes: 4 });
    context.after(() => {
      database.close();
      rmSync(folder, { recursive: true, force: true });
    });
    const world = new EveryProfile(database, nowMs);
    for (const role of Object.keys(names) as Array<Exclude<IssuerRole, 'self'>>) {
      await world.#authority(role);
    }
    return world;
  }

  /** Asks the authority that the profile names. */
  async issue(
    request: IssueRequest,
    profiles: ReadonlyMap<string, Profile> = builtInProfiles,
  ): Promise<Issued | IssueRefusal> {
    const [outcome] = await this.issuance(profiles).issue([request]);
    if (outcome === undefined) throw new Error('no outcome');
    return outcome;
  }

  issuance(profiles: ReadonlyMap<string, Profile> = builtInProfiles): Issuance {
    return this.#issuance([...this.issuers.values()], profiles);
  }

  /** Certificates above one of that role, nearest first, without the root. */
  chainOf(role: IssuerRole): readonly Uint8Array[] {
    const own = this.certificates.get(role);
    const above = below[role];
    return own === undefined || above === undefined ? [] : [own, ...this.chainOf(above)];
  }

  anchorOf(role: IssuerRole): Uint8Array {
    const above = below[role];
    return above === undefined
      ? (this.certificates.get(role) ?? new Uint8Array(0))
      : this.anchorOf(above);
  }

  #issuance(issuers: readonly Issuer[], profiles: ReadonlyMap<string, Profile>): Issuance {
    return new Issuance({
      store: this.store,
      crypto: nodeCrypto,
      clock: this.#clock,
      profiles,
      issuers,
      decompress: decompressPoint,
    });
  }

  async #authority(role: Exclude<IssuerRole, 'self'>): Promise<void> {
    const [profile, name] = names[role];
    const key = testSigner();
    const above = below[role];
    const subject = encodeName(['organizationName', 'Maker'], ['commonName', name]);
    const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
    const issuer = (above && this.issuers.get(above)) ?? rootToBe(nodeCrypto, subject, key, period);
    const content = { spki: key.publicKeySpki, name };
    const [issued] = await this.#issuance([issuer], builtInProfiles).issue([{ profile, content }]);
    if (issued === undefined || isRefusal(issued)) throw new Error(issued?.reason);
    this.keys.set(role, key);
    this.certificates.set(role, issued.certificate);
    this.issuers.set(role, issuerFrom(role, issued.certificate, key));
  }
}
