/**
 * What is read of an authority's whole database as it is at one moment: to plan ahead, to copy it, to hold it
 * against something else. Reads only; the authority may be running.
 */
import type { AuditStore } from './auditStore.ts';
import type { ProfileRecord } from './profileStore.ts';
import type { AuthorityLists } from './statusStore.ts';
import type { LedgerLine } from './ticketLedger.ts';

/** When the certificates of one profile end. */
export interface CertificateEnds {
  /** As `Intent.profile`: name and version. */
  readonly profile: string;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** When the revocation lists of one authority ask for the next ones. */
export interface ListEnds {
  readonly authority: string;
  readonly count: number;
  readonly firstMs: number;
}

/** A certificate that the next list has to name. */
export interface ListedCertificate {
  readonly serialNumber: Uint8Array;
  readonly keyIdentifier: Uint8Array;
  /** CRLReason (RFC 5280 §5.3.1). */
  readonly code: number;
  readonly atMs: number;
}

export interface IssuingReader extends Pick<AuditStore, 'countLeaves' | 'leaves'> {
  /** All versions. */
  profiles(): Promise<ReadonlyArray<Pick<ProfileRecord, 'text'>>>;
  /** Of what is signed, not revoked, and ends behind `nowMs`; what has no end is not counted. */
  certificateEnds(nowMs: number): Promise<readonly CertificateEnds[]>;
  listEnds(): Promise<readonly ListEnds[]>;
  /** How the lists of each authority were made. */
  authorityLists(): Promise<readonly AuthorityLists[]>;
  /** Who has a list to sign: it is older than a change, or regularly due. */
  dueLists(nowMs: number): Promise<readonly string[]>;
  /** Over all lists of the authority, in the order of issuing. */
  listed(authority: string): AsyncIterable<ListedCertificate>;
  /** All orders, then all tickets, oldest first: a ledger that begins later than the database. */
  ledgerLines(): Promise<readonly LedgerLine[]>;
}
