/**
 * An authority for tests: real database, real keys, a clock that stands where it is put, and a station
 * that asks it. The database outlives the authority, so that a test can let it die and start it anew.
 */
import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign as signOnce,
} from 'node:crypto';
import { alone } from '../alone.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fsck, type FsckReport } from '../../../src/apps/fsck/fsck.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { DocumentFolder } from '../../../src/drivers/store/files/documentFolder.ts';
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
import { type Issuer, issuerFrom, rootToBe } from '../../../src/trust/issuance/issuer.ts';
import { builtInProfiles, deviceProfiles } from '../../../src/trust/issuance/profiles.ts';
import type { ClosingOptions } from '../../../src/trust/personalization/closing.ts';
import { LineService } from '../../../src/trust/personalization/lineService.ts';
import { Orders } from '../../../src/trust/personalization/orders.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { IssuanceStore } from '../../../src/trust/ports/issuanceStore.ts';
import type { SealingKey, Signer } from '../../../src/trust/ports/keys.ts';
import type { OrderStore, TicketRecord } from '../../../src/trust/ports/orderStore.ts';
import { StatusNotices } from '../../../src/trust/status/notices.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';

export const startMs: number = Date.UTC(2026, 5, 1, 12);
const dayMs = 86_400_000;

/** What a test may put between the authority and its outside. */
export interface Between {
  readonly issuanceStore?: (store: IssuanceStore) => IssuanceStore;
  readonly orderStore?: (store: OrderStore) => OrderStore;
  readonly signer?: (signer: Signer) => Signer;
}

export interface OpenAuthority {
  readonly database: SqliteDatabase;
  readonly issuanceStore: SqliteIssuanceStore;
  readonly orderStore: SqliteOrderStore;
  readonly auditStore: SqliteAuditStore;
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
  readonly keys = {
    root: testSigner(),
    factory: testSigner(),
    operational: testSigner(),
    server: testSigner(),
    order: testSigner(),
    manifest: testSigner(),
  };
  readonly certificates = new Map<string, Uint8Array>();
  readonly issuers: Issuer[] = [];
  manifestCertificate: Uint8Array = new Uint8Array(0);
  nowMs = startMs;
  readonly clock = { nowMs: (): number => this.nowMs };
  #open: SqliteDatabase | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Its folder is gone when the test is over. */
  static async create(context: { after(done: () => void): void }): Promise<World> {
    const world = new World(mkdtempSync(join(tmpdir(), 'birthmark-issuing-')));
    context.after(() => {
      world.#open?.close();
      rmSync(world.folder, { recursive: true, force: true });
    });
    await world.#makeHierarchy();
    return world;
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

  issuer(role: string): Issuer {
    const issuer = this.issuers.find((candidate) => candidate.role === role);
    if (issuer === undefined) throw new Error(`no issuer ${role}`);
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
    const issuance = new Issuance({
      store: between.issuanceStore?.(issuanceStore) ?? issuanceStore,
      crypto,
      clock,
      profiles: builtInProfiles,
      issuers: this.issuers.map((issuer) => ({
        ...issuer,
        signer: between.signer?.(issuer.signer) ?? issuer.signer,
      })),
      decompress: decompressPoint,
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
        certificates: issuanceStore,
        audit: auditStore,
        foreign,
      }),
      orders: new Orders({ crypto, clock, store, orderKey, eui64Base }),
      line: new LineService({
        crypto,
        clock,
        store,
        issuance,
        verifier,
        orderKey,
        sealingKey: xorSeal,
        anchors: [this.certificateOf('server')],
        chain,
      }),
      closing: {
        crypto,
        clock,
        store,
        documents,
        manifestKey,
        manifestCertificate,
        chain,
        maker: 'Test',
      },
      documents,
    };
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

  async #makeHierarchy(): Promise<void> {
    const subject = encodeName(['organizationName', 'Test'], ['commonName', 'Test Root']);
    const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
    const root = rootToBe(nodeCrypto, subject, this.keys.root, period);
    const database = new SqliteDatabase({ path: this.path, migrations: issuingMigrations });
    try {
      const store = new SqliteIssuanceStore(database);
      const issue = async (
        issuer: Issuer,
        profile: string,
        name: string,
        key: Signer,
      ): Promise<Uint8Array> => {
        const issuance = new Issuance({
          store,
          crypto: nodeCrypto,
          clock: this.clock,
          profiles: builtInProfiles,
          issuers: [issuer],
        });
        const content = { spki: key.publicKeySpki, name };
        const [issued] = await issuance.issue([{ profile, content }]);
        if (issued === undefined || isRefusal(issued)) throw new Error(issued?.reason);
        return issued.certificate;
      };
      this.certificates.set('root', await issue(root, 'root', 'Test Root', this.keys.root));
      const rootIssuer = issuerFrom('root', this.certificateOf('root'), this.keys.root);
      for (const [role, profile] of [
        ['factory', 'issuing-factory'],
        ['operational', 'issuing'],
        ['server', 'issuing-server'],
      ] as const) {
        const certificate = await issue(rootIssuer, profile, `Test ${role}`, this.keys[role]);
        this.certificates.set(role, certificate);
        this.issuers.push(issuerFrom(role, certificate, this.keys[role]));
      }
      const { manifest } = this.keys;
      this.manifestCertificate = await issue(
        this.issuer('server'),
        'documents',
        'Test Manifests',
        manifest,
      );
    } finally {
      database.close();
    }
  }
}

export interface TestSigner extends Signer {
  readonly privateKey: KeyObject;
}

export function testSigner(
  privateKey: KeyObject = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey,
): TestSigner {
  const publicKey = createPublicKey(privateKey);
  return {
    algorithm: 'ecdsa-with-SHA256',
    publicKeySpki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    privateKey,
    sign: async (data) => new Uint8Array(signOnce('sha256', data, privateKey)),
  };
}

/** Not a seal; enough to see that what is stored is not what is used. */
export const xorSeal: SealingKey = {
  seal: (plaintext) => plaintext.map((byte) => byte ^ 0x5a),
  open: (sealed) => sealed.map((byte) => byte ^ 0x5a),
};
