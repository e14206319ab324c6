/**
 * The status of issued certificates, and the lists that tell it, as a store. Status changes by
 * `IssuanceStore.revoke`, in one transaction with the list that has to show it: what is revoked is on the
 * next list whatever happens in between.
 */
import type { CertStatus } from '../../wire/ocsp/response.ts';

/** How the certificates of one authority are spread over lists. Decided when it is made, and kept. */
export interface AuthorityLists {
  /** As `Intent.issuer` names it: lists are of a key, not of a role. */
  readonly authority: string;
  readonly shards: number;
  /** `undefined`: certificates name no list, so there is one and it is complete. */
  readonly baseUrl: string | undefined;
}

/** What stands under the name of another authority that had the same role before keys were told apart. */
export interface Inheritance {
  readonly from: string;
  /** Of the key of the new one, as its certificates name it (RFC 5280 §4.2.1.1). */
  readonly keyIdentifier: Uint8Array;
}

export interface ListName {
  readonly authority: string;
  readonly shard: number;
}

/** A list that has to be signed. */
export interface PendingList extends ListName {
  readonly id: number;
  /** Counts what happened to its certificates; the next list shows at least this. */
  readonly revision: number;
  /** Its time has come, whether anything happened or not (RFC 5280 §3.3: regularly scheduled). */
  readonly regular: boolean;
}

export interface EntryPage {
  /** Encoded entries, one after the other. */
  readonly entries: Uint8Array;
  readonly count: number;
  /** Where the next page begins; `undefined` after the last. */
  readonly next: number | undefined;
}

export interface SignedList {
  readonly id: number;
  readonly revision: number;
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Present on regular lists: when the next one is due. */
  readonly nextRegularMs: number | undefined;
  /** The last change that can be on it, as `lastChange` said before its entries were read. */
  readonly lastChange: number;
  readonly count: number;
  readonly der: Uint8Array;
  /** Leaf of the audit log. */
  readonly entry: Uint8Array;
}

export interface ListSummary extends ListName {
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Entries on it. */
  readonly count: number;
  /** Counts what this installation published, over all lists. */
  readonly publication: number;
}

export interface CertificateStatus {
  readonly authority: string;
  /** deviceId, or the name of a server, station, application or authority. */
  readonly holder: string;
  readonly status: CertStatus;
}

export interface StatusChangeNote {
  /** Counts the changes of this installation. */
  readonly change: number;
  readonly holder: string;
}

/** Units by what they have in common. */
export type UnitSelection =
  | { readonly by: 'batch'; readonly name: string }
  | { readonly by: 'product'; readonly name: string }
  /** What the station with this name personalized, under any of its keys. */
  | { readonly by: 'station'; readonly name: string }
  | {
      readonly by: 'family';
      readonly name: string;
      /** Of the element, as it reported itself at birth. */
      readonly firmware: string | undefined;
    };

export interface DevicePageOfSelection {
  readonly deviceIds: readonly string[];
  /** Where the next page begins; `undefined` after the last. */
  readonly next: string | undefined;
}

export interface StatusStore {
  /**
   * Idempotent. Returns how the authority has it, which is as it was made first. What it inherits it takes
   * over in the same act, from one that has as many lists.
   */
  createLists(lists: AuthorityLists, inheritance?: Inheritance): Promise<AuthorityLists>;
  authorityLists(): Promise<readonly AuthorityLists[]>;

  /** Of these authorities, those whose last list is older than a change, or regularly due. */
  pendingLists(authorities: readonly string[], nowMs: number): Promise<readonly PendingList[]>;
  /** A number that no list of this name had or will have (RFC 5280 §5.2.3); durable before it is used. */
  takeNumber(listId: number): Promise<number>;
  lastChange(): Promise<number>;
  /** Behind `after`, which is 0 at first. Changes meanwhile may be in it or not. */
  entries(listId: number, after: number, limit: number): Promise<EntryPage>;
  /**
   * Durable. On a regular list those expired before it have appeared for the last time (RFC 5280 §3.3) and
   * are not among the entries of the next one.
   */
  saveList(list: SignedList): Promise<void>;
  list(name: ListName): Promise<(ListSummary & { readonly der: Uint8Array }) | undefined>;
  lastPublication(): Promise<number>;
  /** In the order of their publication, behind the given one. */
  listsAfter(publication: number, limit: number): Promise<readonly ListSummary[]>;

  /** `undefined` for a serial number that nothing was signed with. 16 bytes. */
  statusOf(serialNumber: Uint8Array): Promise<CertificateStatus | undefined>;
  /** In the order they happened, behind the given one. */
  changesAfter(change: number, limit: number): Promise<readonly StatusChangeNote[]>;

  /** Devices born here. `after`: as a page before said. */
  devicesOf(
    selection: UnitSelection,
    after: string | undefined,
    limit: number,
  ): Promise<DevicePageOfSelection>;
  /** Whether anything was ordered or certified under that name, whatever became of it. */
  isKnown(selection: UnitSelection): Promise<boolean>;
  /** Whether they are among those; devices that were not born here are not in the answer. */
  selected(
    selection: UnitSelection,
    deviceIds: readonly string[],
  ): Promise<ReadonlyMap<string, boolean>>;
}
