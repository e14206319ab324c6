/** The authority's stores of both kinds, and rows that a test can make up by number. */
import type { PostgresDatabase } from '../../src/drivers/store/postgres/database.ts';
import { PostgresApprovalStore } from '../../src/drivers/store/postgres/approvalStore.ts';
import { PostgresAuditStore } from '../../src/drivers/store/postgres/auditStore.ts';
import { PostgresCaseStore } from '../../src/drivers/store/postgres/caseStore.ts';
import { PostgresForeignStore } from '../../src/drivers/store/postgres/foreignStore.ts';
import { PostgresGrantStore } from '../../src/drivers/store/postgres/grantStore.ts';
import { PostgresIssuanceStore } from '../../src/drivers/store/postgres/issuanceStore.ts';
import * as postgresTables from '../../src/drivers/store/postgres/issuingTables.ts';
import { PostgresOrderStore } from '../../src/drivers/store/postgres/orderStore.ts';
import { PostgresProfileStore } from '../../src/drivers/store/postgres/profileStore.ts';
import { PostgresRecoveryStore } from '../../src/drivers/store/postgres/recoveryStore.ts';
import { PostgresStatusStore } from '../../src/drivers/store/postgres/statusStore.ts';
import { SqliteApprovalStore } from '../../src/drivers/store/sqlite/approvalStore.ts';
import { SqliteAuditStore } from '../../src/drivers/store/sqlite/auditStore.ts';
import { SqliteCaseStore } from '../../src/drivers/store/sqlite/caseStore.ts';
import type { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../src/drivers/store/sqlite/foreignStore.ts';
import { SqliteGrantStore } from '../../src/drivers/store/sqlite/grantStore.ts';
import { SqliteIssuanceStore } from '../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../../src/drivers/store/sqlite/orderStore.ts';
import { SqliteProfileStore } from '../../src/drivers/store/sqlite/profileStore.ts';
import { SqliteRecoveryStore } from '../../src/drivers/store/sqlite/recoveryStore.ts';
import { SqliteStatusStore } from '../../src/drivers/store/sqlite/statusStore.ts';
import type { ApprovalStore } from '../../src/trust/ports/approvalStore.ts';
import type { AuditStore } from '../../src/trust/ports/auditStore.ts';
import type { CaseStore } from '../../src/trust/ports/caseStore.ts';
import type { ForeignStore } from '../../src/trust/ports/foreignStore.ts';
import type { GrantStore } from '../../src/trust/ports/grantStore.ts';
import type { Intent, IssuanceStore } from '../../src/trust/ports/issuanceStore.ts';
import type { OrderRecord, OrderStore, TicketRecord } from '../../src/trust/ports/orderStore.ts';
import type { ProfileStore } from '../../src/trust/ports/profileStore.ts';
import type { RecoveryStore } from '../../src/trust/ports/recoveryStore.ts';
import type { StatusStore } from '../../src/trust/ports/statusStore.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { deviceIdOf, sha256Of } from './registrySamples.ts';
import type { BackendParts } from './storeBackends.ts';

export interface IssuingStores {
  readonly issuance: IssuanceStore;
  readonly orders: OrderStore;
  readonly audit: AuditStore;
  readonly foreign: ForeignStore;
  readonly status: StatusStore;
  readonly grants: GrantStore;
  readonly approvals: ApprovalStore;
  readonly profiles: ProfileStore;
  readonly cases: CaseStore;
  readonly recovery: RecoveryStore;
}

export const issuingBackends: BackendParts<IssuingStores> = {
  sqlite: { migrations: issuingMigrations, stores: onSqlite },
  postgres: { migrations: postgresTables.issuingMigrations, stores: onPostgres },
};

export function onSqlite(database: SqliteDatabase): IssuingStores {
  return {
    issuance: new SqliteIssuanceStore(database),
    orders: new SqliteOrderStore(database),
    audit: new SqliteAuditStore(database),
    foreign: new SqliteForeignStore(database),
    status: new SqliteStatusStore(database),
    grants: new SqliteGrantStore(database),
    approvals: new SqliteApprovalStore(database),
    profiles: new SqliteProfileStore(database),
    cases: new SqliteCaseStore(database),
    recovery: new SqliteRecoveryStore(database),
  };
}

export function onPostgres(database: PostgresDatabase): IssuingStores {
  return {
    issuance: new PostgresIssuanceStore(database),
    orders: new PostgresOrderStore(database),
    audit: new PostgresAuditStore(database),
    foreign: new PostgresForeignStore(database),
    status: new PostgresStatusStore(database),
    grants: new PostgresGrantStore(database),
    approvals: new PostgresApprovalStore(database),
    profiles: new PostgresProfileStore(database),
    cases: new PostgresCaseStore(database),
    recovery: new PostgresRecoveryStore(database),
  };
}

export const bytesOf = (name: string, length: number): Uint8Array =>
  sha256Of(name).subarray(0, length);

export const leaf = (name: string): Uint8Array => utf8(`leaf ${name}`);

/** Its addresses begin where the number says. */
export function orderRow(number: number, quantity: number): OrderRecord {
  return {
    order: `order-${number}`,
    product: 'sensor',
    family: 'software',
    profile: 'idevid',
    hwType: '1.3.6.1.4.1.32473.1',
    partNumber: 'S-1',
    quantity,
    leastProof: 'line-anchored',
    eui64First: Uint8Array.of(2, 0, 0, 0xff, 0xfe, number, 0, 0),
    serverIdentity: Uint8Array.of(0xa1, 1, 2),
    createdMs: 1_000 + number,
  };
}

export function ticketRow(number: number, batch: string, count: number): TicketRecord {
  return {
    ticketId: bytesOf(`ticket ${number}`, 16),
    order: batch,
    batch,
    stationKeySpki: bytesOf(`station ${number}`, 32),
    count,
    taken: 0,
    leastProof: 'line-anchored',
    notBeforeMs: 1,
    notAfterMs: 9_000_000_000_000,
    signed: bytesOf(`signed ${number}`, 32),
    agreeKey: undefined,
    closedMs: undefined,
  };
}

/** An order with one batch of its name and one ticket for all of it; gives the ticket. */
export async function openTicket(
  { orders }: IssuingStores,
  count: number,
  number = 1,
): Promise<TicketRecord> {
  const order = orderRow(number, count);
  const batch = { batch: order.order, order: order.order, quantity: count, closedMs: undefined };
  await orders.createOrder(order, [batch], leaf(`order ${number}`));
  const ticket = ticketRow(number, order.order, count);
  await orders.createTicket(ticket, leaf(`ticket ${number}`));
  return ticket;
}

export function certificateIntent(number: number, changes: Partial<Intent> = {}): Intent {
  return {
    issuer: 'operational',
    profile: 'ldevid@1',
    serialNumber: bytesOf(`serial ${number}`, 16),
    holder: `holder-${number}`,
    keyIdentifier: bytesOf(`key ${number}`, 20),
    preparedMs: 5_000 + number,
    notAfterMs: 9_000_000_000_000,
    tbs: bytesOf(`tbs ${number}`, 32),
    unit: undefined,
    ...changes,
  };
}

export function unitIntent(
  number: number,
  { ticketId }: Pick<TicketRecord, 'ticketId'>,
  unit: Partial<NonNullable<Intent['unit']>> = {},
  changes: Partial<Intent> = {},
): Intent {
  return certificateIntent(number, {
    issuer: 'factory',
    profile: 'idevid@1',
    holder: deviceIdOf(number),
    unit: {
      ticketId,
      family: 'software',
      uid: bytesOf(`uid ${number}`, 9),
      model: 'M',
      firmware: '1.0',
      proofLevel: 'line-anchored',
      agreeKey: {
        point: bytesOf(`point ${number}`, 32),
        keyIdentifier: bytesOf(`agree ${number}`, 20),
      },
      ...unit,
    },
    ...changes,
  });
}
