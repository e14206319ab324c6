/**
 * An authority for tests: real database, real keys, a clock that stands where it is put, and a station
 * that asks it. The database outlives the authority, so that a test can let it die and start it anew.
 */
import { generateKeyPairSync, sign as signOnce } from 'node:crypto';
import { alone } from '../alone.ts';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fsck, type FsckReport } from '../../../src/apps/fsck/fsck.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { TileFolder } from '../../../src/drivers/store/files/tileFolder.ts';
import { DocumentFolder } from '../../../src/drivers/store/files/documentFolder.ts';
import { SqliteApprovalStore } from '../../../src/drivers/store/sqlite/approvalStore.ts';
import { SqliteAuditStore } from '../../../src/drivers/store/sqlite/auditStore.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../../src/drivers/store/sqlite/foreignStore.ts';
import { SqliteGrantStore } from '../../../src/drivers/store/sqlite/grantStore.ts';
import { SqliteIssuanceStore } from '../../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { openSqliteSnapshot } from '../../../src/drivers/store/sqlite/snapshot.ts';
import { SqliteOrderStore } from '../../../src/drivers/store/sqlite/orderStore.ts';
import { AuditLog } from '../../../src/trust/audit/log.ts';
import { Certification } from '../../../src/trust/issuance/certification.ts';
import { ForeignElements } from '../../../src/trust/issuance/foreign.ts';
import { EnrolmentGrants } from '../../../src/trust/issuance/grants.ts';
import { Issuance } from '../../../src/trust/issuance/issuance.ts';
import type { Issuer } from '../../../src/trust/issuance/issuer.ts';
import { builtInProfiles, deviceProfiles } from '../../../src/trust/issuance/profiles.ts';
import type { ClosingOptions } from '../../../src/trust/personalization/closing.ts';
import { LineService } from '../../../src/trust/personalization/lineService.ts';
import { Orders } from '../../../src/trust/personalization/orders.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { IssuanceStore } from '../../../src/trust/ports/issuanceStore.ts';
import type { SealingKey, Signer } from '../../../src/trust/ports/keys.ts';
import type { OrderStore, TicketRecord } from '../../../src/trust/ports/orderStore.ts';
import type { AuditStore } from '../../../src/trust/ports/auditStore.ts';
import type { StatusStore } from '../../../src/trust/ports/statusStore.ts';
import type { TicketLedger } from '../../../src/trust/ports/ticketLedger.ts';
import type { TileStore } from '../../../src/trust/ports/tileStore.ts';
import { SqliteStatusStore } from '../../../src/drivers/store/sqlite/statusStore.ts';
import { RevocationLists, usualSchedule } from '../../../src/trust/status/lists.ts';
import { StatusNotices } from '../../../src/trust/status/notices.ts';
import { startMs, type TestHierarchy, testHierarchy } from './hierarchy.ts';

export { startMs } from './hierarchy.ts';
export { testSigner, type TestSigner } from './signers.ts';

/** A world dies with its process, never with the machine: where there is a disk in memory it serves. */
const scratch = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const dayMs = 86_400_000;

/** What a test may put between the authority and its outside. */
export interface Between {
  readonly issuanceStore?: (store: IssuanceStore) => IssuanceStore;
  readonly orderStore?: (store: OrderStore) => OrderStore;
  readonly auditStore?: (store: AuditStore) => AuditStore;
  readonly statusStore?: (store: StatusStore) => StatusStore;
  readonly tiles?: (tiles: TileStore) => TileStore;
  readonly signer?: (signer: Signer) => Signer;
  readonly ledger?: TicketLedger;
  readonly isLost?: (issuer: string) => boolean;
}

export interface OpenAuthority {
  readonly database: SqliteDatabase;
  readonly issuanceStore: SqliteIssuanceStore;
  readonly orderStore: SqliteOrderStore;
  readonly auditStore: SqliteAuditStore;
  readonly lists: RevocationLists;
  /** With its files. */
  readonly openLog: () => Promise<AuditLog>;
  readonly issuance: Issuance;
  readonly certification: Certification;
  readonly statusNotices: StatusNotices;
  readonly foreign: ForeignElements;
  readonly grants: EnrolmentGrants;
  readonly orders: Orders;
  readonly line: LineService;
  readonly closing: ClosingOptions;
  readonly documents: DocumentFolder;
}

export class World {
  readonly folder: string;
  readonly keys: TestHierarchy['keys'];
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  readonly issuers: Issuer[];
  readonly manifestCertificate: Uint8Array;
  nowMs = startMs;
  readonly clock = { nowMs: (): number => this.nowMs };
  #open: SqliteDatabase | undefined;

  private constructor(folder: string, hierarchy: TestHierarchy) {
    this.folder = folder;
    this.keys = hierarchy.keys;
    this.certificates = hierarchy.certificates;
    this.issuers = [...hierarchy.issuers];
    this.manifestCertificate = hierarchy.manifestCertificate;
    writeFileSync(this.path, hierarchy.database);
  }

  /** Its folder is gone when the test is over. */
  static async create(context: { after(done: () => void): void }): Promise<World> {
    const folder = mkdtempSync(join(scratch, 'birthmark-issuing-'));
    const world = new World(folder, await testHierarchy());
    context.after(() => world.remove());
    return world;
  }

  remove(): void {
    this.#open?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get path(): string {
    return join(this.folder, 'issuing.sqlite');
  }

  get chain(): readonly Uint8Array[] {
    return [this.certificateOf('factory')];
  }

  certificateOf(role: string): Uint8Array {
    return this.certificates.get(role) ?? new Uint8Array(0);
  }

  issuer(name: string): Issuer {
    const issuer = this.issuers.find((candidate) => candidate.name === name);
    if (issuer === undefined) throw new Error(`no issuer ${name}`);
    return issuer;
  }

  /** A second call, as after a crash, first lets go of the database. */
  open(between: Between = {}): OpenAuthority {
    this.#open?.close();
    const database = new SqliteDatabase({
      path: this.path,
      migrations: issuingMigrations,
      cacheMebibytes: 4,
    });
    this.#open = database;
    const { clock } = this;
    const crypto = nodeCrypto;
    const issuanceStore = new SqliteIssuanceStore(database);
    const orderStore = new SqliteOrderStore(database);
    const auditStore = new SqliteAuditStore(database);
    const store = between.orderStore?.(orderStore) ?? orderStore;
    const certificates = between.issuanceStore?.(issuanceStore) ?? issuanceStore;
    const issuers = this.issuers.map((issuer) => ({
      ...issuer,
      signer: between.signer?.(issuer.signer) ?? issuer.signer,
    }));
    const issuance = new Issuance({
      store: certificates,
      crypto,
      clock,
      profiles: builtInProfiles,
      issuers,
      decompress: decompressPoint,
      isLost: (issuer) => between.isLost?.(issuer) === true,
    });
    const verifier = new SoftwareVerifier();
    const foreign = new ForeignElements({
      store: new SqliteForeignStore(database),
      crypto,
      clock,
      verifier,
    });
    const grants = new EnrolmentGrants({
      store: new SqliteGrantStore(database),
      crypto,
      clock,
      profiles: deviceProfiles(builtInProfiles),
    });
    const documents = new DocumentFolder(join(this.folder, 'documents'));
    const eui64Base = Uint8Array.of(2, 0, 0, 0xff, 0xfe, 0, 0, 0);
    const { order: orderKey, manifest: manifestKey } = this.keys;
    const { chain, manifestCertificate } = this;
    return {
      database,
      issuanceStore,
      orderStore,
      auditStore,
      issuance,
      certification: new Certification({
        crypto,
        issuance,
        certificates: issuanceStore,
        units: orderStore,
        foreign,
        grants,
        clock,
        verifier,
        decompress: decompressPoint,
      }),
      foreign,
      grants,
      statusNotices: new StatusNotices({
        crypto,
        clock,
        certificates,
        units: new SqliteStatusStore(database),
        audit: auditStore,
        approvals: new SqliteApprovalStore(database),
        foreign,
      }),
      lists: this.#lists(database, between, issuers),
      openLog: () => this.#openLog(auditStore, between),
      orders: new Orders({
        crypto,
        clock,
        store,
        orderKey,
        bears: (birth) => issuance.authorityOf(birth) !== undefined,
        eui64Base,
        ledger: between.ledger,
      }),
      line: new LineService({
        crypto,
        clock,
        store,
        issuance,
        verifier,
        orderKey,
        sealingKey: xorSeal,
        anchors: [this.certificateOf('server')],
        chain: () => chain,
      }),
      closing: {
        crypto,
        clock,
        store,
        documents,
        manifestKey,
        manifestCertificate,
        chain: () => chain,
        maker: 'Test',
      },
      documents,
    };
  }

  #lists(database: SqliteDatabase, between: Between, issuers: readonly Issuer[]): RevocationLists {
    const store = new SqliteStatusStore(database);
    return new RevocationLists({
      store: between.statusStore?.(store) ?? store,
      clock: this.clock,
      crypto: nodeCrypto,
      issuers,
      schedule: usualSchedule,
    });
  }

  #openLog(store: AuditStore, between: Between): Promise<AuditLog> {
    const tiles = new TileFolder(join(this.folder, 'log'));
    return AuditLog.open(between.auditStore?.(store) ?? store, this.clock, nodeCrypto, {
      tiles: between.tiles?.(tiles) ?? tiles,
      signer: logSigner,
      verifier: new SoftwareVerifier(),
    });
  }

  fsck(): Promise<FsckReport> {
    return fsck({ snapshot: openSqliteSnapshot(this.path), issuers: this.certificates });
  }

  async logHead(authority: OpenAuthority): Promise<number> {
    const log = await AuditLog.open(authority.auditStore, this.clock, nodeCrypto);
    return (await log.advance()).treeSize;
  }

  /** An order with one batch of its name and one ticket for the station. */
  async ticket(
    authority: OpenAuthority,
    station: Signer,
    count: number,
    order = 'order-1',
  ): Promise<TicketRecord> {
    const made = await authority.orders.create(
      await alone('order.create', {
        order,
        product: 'sensor',
        family: 'software',
        hwType: '1.3.6.1.4.1.32473.1',
        partNumber: 'S-1',
        quantity: count,
        leastProof: 'line-anchored',
        serverIdentity: Uint8Array.of(0xa1, 1, 2),
      }),
    );
    if (isRefusal(made)) throw new Error(made.reason);
    const ticket = await authority.orders.issueTicket(
      await alone('ticket.issue', {
        batch: order,
        count,
        stationKeySpki: station.publicKeySpki,
        notBeforeMs: this.nowMs - dayMs,
        notAfterMs: this.nowMs + dayMs,
      }),
    );
    if (isRefusal(ticket)) throw new Error(ticket.reason);
    return ticket;
  }
}

const logKey = generateKeyPairSync('ed25519');

const logSigner: Signer = {
  algorithm: 'Ed25519',
  publicKeySpki: new Uint8Array(logKey.publicKey.export({ format: 'der', type: 'spki' })),
  sign: async (data) => new Uint8Array(signOnce(null, data, logKey.privateKey)),
};

/** Not a seal; enough to see that what is stored is not what is used. */
export const xorSeal: SealingKey = {
  seal: (plaintext) => plaintext.map((byte) => byte ^ 0x5a),
  open: (sealed) => sealed.map((byte) => byte ^ 0x5a),
};
