/** The authority's half of the line as it is (issuance, personalization, SQLite), without its process. */
import { alone } from '../alone.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../../src/drivers/keys/software/verifier.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../../../src/drivers/store/sqlite/orderStore.ts';
import { Issuance } from '../../../src/trust/issuance/issuance.ts';
import { issuerFrom } from '../../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { certificateOf } from '../../../src/trust/personalization/endorse.ts';
import { LineService } from '../../../src/trust/personalization/lineService.ts';
import { Orders } from '../../../src/trust/personalization/orders.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { SealingKey, Signer } from '../../../src/trust/ports/keys.ts';
import type { LineStep, LineTransport } from '../../../src/trust/ports/lineTransport.ts';
import { type TicketRecord, unitStates } from '../../../src/trust/ports/orderStore.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import type { PublicKey } from '../../../src/wire/crypto/crypto.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { p256Point } from '../../../src/wire/x509/spki.ts';
import { everyInternetName, testKey, testNowMs, testPki } from '../pki.ts';
import { type LedgerEntry, testStationSigner } from './testAuthority.ts';

const pki = testPki();
// Birth certificates have no end, so their authority has none either.
const birthAuthority = pki.root.issueAuthority(
  'Test Birth',
  { pathLength: 0, nameConstraints: { permitted: [], excluded: everyInternetName } },
  { notAfterMs: noExpirationMs },
);
const dayMs = 86_400_000;

export class RealAuthority implements LineTransport {
  readonly ticket: TicketRecord;
  readonly orderKey: PublicKey;
  readonly #service: LineService;
  readonly #store: SqliteOrderStore;
  readonly #batch: string;

  private constructor(
    ticket: TicketRecord,
    orderKey: PublicKey,
    service: LineService,
    store: SqliteOrderStore,
  ) {
    this.ticket = ticket;
    this.orderKey = orderKey;
    this.#service = service;
    this.#store = store;
    this.#batch = ticket.batch;
  }

  /** An order of one batch with one ticket for the station, in a database at `path`. */
  static async create(
    database: SqliteDatabase,
    station: Signer,
    count: number,
  ): Promise<RealAuthority> {
    const crypto = nodeCrypto;
    const clock = { nowMs: () => testNowMs };
    const store = new SqliteOrderStore(database);
    const orderSigner = testStationSigner(testKey());
    const factory = issuerFrom('factory', birthAuthority.certificate.der, {
      algorithm: 'ecdsa-with-SHA256',
      publicKeySpki: birthAuthority.key.spki,
      sign: async (data) => birthAuthority.key.sign(data),
    });
    const issuance = new Issuance({
      store: new SqliteIssuanceStore(database),
      crypto,
      clock,
      profiles: builtInProfiles,
      issuers: [factory],
    });
    const eui64Base = Uint8Array.of(0x02, 0, 0, 0xff, 0xfe, 0, 0, 0);
    const bears = (): boolean => true;
    const orders = new Orders({ crypto, clock, store, orderKey: orderSigner, bears, eui64Base });
    const order = await orders.create(
      await alone('order.create', {
        order: 'order-1',
        product: 'sensor',
        family: 'software',
        hwType: '1.3.6.1.4.1.55555.1',
        partNumber: 'S-1',
        quantity: count,
        leastProof: 'line-anchored',
        serverIdentity: Uint8Array.of(0xa1, 1, 2),
      }),
    );
    if (isRefusal(order)) throw new Error(order.reason);
    const ticket = await orders.issueTicket(
      await alone('ticket.issue', {
        batch: 'order-1',
        count,
        stationKeySpki: station.publicKeySpki,
        notBeforeMs: testNowMs - dayMs,
        notAfterMs: testNowMs + dayMs,
      }),
    );
    if (isRefusal(ticket)) throw new Error(ticket.reason);
    const orderKey = crypto.importPublicKey('P-256', p256Point(orderSigner.publicKeySpki));
    if (orderKey === undefined) throw new Error('no order key');
    const service = new LineService({
      crypto,
      clock,
      store,
      issuance,
      verifier: new SoftwareVerifier(),
      orderKey: orderSigner,
      sealingKey: openSeal,
      anchors: [pki.server.certificate.der],
      chain: () => birthAuthority.chain,
    });
    return new RealAuthority(ticket, orderKey, service, store);
  }

  post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
    return this.#service.answer(step, message);
  }

  /** What its database says, for the checker. */
  async ledger(): Promise<ReadonlyMap<string, LedgerEntry>> {
    const ledger = new Map<string, LedgerEntry>();
    for (const state of unitStates) {
      const page = { state, after: -1, limit: 10_000 };
      const { units } = await this.#store.unitsOfBatch(this.#batch, page);
      for (const unit of units) {
        if (unit.signature === undefined) throw new Error('an identity without its signature');
        const certificate = certificateOf(unit.tbs, unit.signature);
        ledger.set(toHex(unit.uid), {
          uid: unit.uid,
          signKey: p256Point(parseCertificate(certificate).publicKey.spki),
          agreeKey: unit.agreeKey,
          deviceId: unit.deviceId,
          eui64: unit.eui64,
          certificate,
          outcome: state === 'endorsed' ? 'issued' : state,
        });
      }
    }
    return ledger;
  }
}

export function issuingDatabase(path: string): SqliteDatabase {
  return new SqliteDatabase({ path, migrations: issuingMigrations, cacheMebibytes: 8 });
}

/** Sealing is tested where it is made. */
const openSeal: SealingKey = {
  seal: (plaintext) => plaintext.slice(),
  open: (sealed) => sealed.slice(),
};
