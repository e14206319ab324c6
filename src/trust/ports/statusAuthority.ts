/** The status of certificates as the provisioner gets it from the authority, which holds the keys. */
import type { Unsuccessful } from '../../wire/ocsp/response.ts';
import type { DevicePageOfSelection, ListName, ListSummary, UnitSelection } from './statusStore.ts';

/** A signed answer of a responder. */
export interface SignedAnswer {
  /** DER of OCSPResponse. */
  readonly der: Uint8Array;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  /** Whose certificates it is about: when one of them changes its status the answer is old. */
  readonly holders: readonly string[];
}

/** How far somebody has followed what changes. */
export interface NewsCursor {
  readonly change: number;
  readonly publication: number;
}

export interface StatusNews {
  readonly cursor: NewsCursor;
  /** Whose certificates changed their status since. */
  readonly holders: readonly string[];
  /** Lists that were published since. */
  readonly lists: readonly ListName[];
  /** There is more already. */
  readonly more: boolean;
}

/** Every call rejects with an `EnvironmentError`, retryable, when the authority cannot be reached. */
export interface StatusAuthority {
  /** `request`: DER of OCSPRequest, as it came. Signed by the responder of that authority, or not signed. */
  ocsp(authority: string, request: Uint8Array): Promise<SignedAnswer | Unsuccessful>;
  /** DER; `undefined` for a name that no authority has or had. */
  certificate(authority: string): Promise<Uint8Array | undefined>;
  /** DER of the list that was published last; `undefined` for a name that no list has. */
  list(name: ListName): Promise<Uint8Array | undefined>;
  /** Every list that was published, the last one of its name. */
  lists(): Promise<readonly ListSummary[]>;
  /** At most a page. Without a cursor nothing is news: the answer says where to begin. */
  statusNews(cursor: NewsCursor | undefined): Promise<StatusNews>;
  /** Devices that were born under this authority, a page at a time. */
  devicesOf(selection: UnitSelection, after: string | undefined): Promise<DevicePageOfSelection>;
  /** Whether anything was ordered or certified here under that name. */
  isKnown(selection: UnitSelection): Promise<boolean>;
}
