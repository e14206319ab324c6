/** The authority as the provisioner sees it: a process of its own on the same machine, reached over its socket. */
import type { EnrolmentAuthority } from './enrolment.ts';
import type { SessionEnrolmentAuthority } from './sessionEnrolment.ts';
import type { Refusal } from './faults.ts';
import type { ProfilePolicy } from './grantStore.ts';
import type { Link } from './link.ts';
import type { LineTransport } from './lineTransport.ts';
import type { AuthorityNotice } from './registryStore.ts';
import type { ApprovedOrder, StatusOrder } from './statusOrders.ts';

/** DER certificates of the hierarchy. Several of a kind while one takes over from another. */
export interface Hierarchy {
  readonly roots: readonly Uint8Array[];
  /** Issue identities from birth. */
  readonly factory: readonly Uint8Array[];
  /** Issue LDevIDs. */
  readonly operational: readonly Uint8Array[];
  /** Issue certificates of servers, stations, applications and operators. */
  readonly server: readonly Uint8Array[];
  /** Between generations of an authority and between roots, for whoever believes only one of them. */
  readonly links: readonly Uint8Array[];
  /** Certificates of the keys that sign manifests. */
  readonly manifestSigners: readonly Uint8Array[];
}

export interface StationEnrolment extends IssuedChain {
  /** DER certificates of the authority of servers. */
  readonly serverAnchors: readonly Uint8Array[];
  /** DER of SubjectPublicKeyInfo of the key that signs tickets and answers. */
  readonly orderKeySpki: Uint8Array;
}

export interface IssuedChain {
  /** DER, leaf first, without the root. */
  readonly chain: readonly Uint8Array[];
}

/** A manifest that the authority signed at the close of a batch. */
export interface PublishedManifest {
  /** Counts the manifests of this authority from 1. */
  readonly sequence: number;
  readonly batch: string;
  readonly bytes: Uint8Array;
}

/** Every call rejects with an `EnvironmentError`, retryable, when the authority cannot be reached. */
export interface ProvisioningAuthority
  extends LineTransport, EnrolmentAuthority, SessionEnrolmentAuthority, Link {
  hierarchy(): Promise<Hierarchy>;
  /** How each profile of devices is given out. */
  policies(): Promise<readonly ProfilePolicy[]>;
  /**
   * For the doors of this server. `request` is DER of PKCS#10; its key is certified for `names`, DNS names
   * and IP addresses in text form.
   */
  issueServer(
    request: Uint8Array,
    names: readonly string[],
  ): Promise<IssuedChain | Refusal<string>>;
  /** For an application or an operator called `name`. */
  issueClient(
    kind: 'application' | 'operator',
    name: string,
    request: Uint8Array,
  ): Promise<IssuedChain | Refusal<string>>;
  /** A machine of the line: takes two persons where they are needed. */
  enrolStation(
    name: string,
    request: Uint8Array,
    approval?: Uint8Array,
  ): Promise<StationEnrolment | Refusal<string>>;
  /** The credential of this server that elements get at birth, for orders that name none. */
  publishServerIdentity(identity: Uint8Array): Promise<void>;
  /** In order, those after `sequence`; at most a page. */
  manifestsAfter(sequence: number): Promise<readonly PublishedManifest[]>;
  /** Devices whose status one person may still change today; `undefined` where one is enough for all. */
  soleChangesLeft(): Promise<number | undefined>;
  /** Whether an order about more of them may go on; `done` after its last step. */
  permitStatusOrder(
    order: Omit<StatusOrder, 'dryRun'>,
    approval: Uint8Array | undefined,
    done: boolean,
  ): Promise<undefined | Refusal<string>>;
  /** Durable and idempotent. Returns the sequences of those that it does not take without an approval. */
  recordRevocations(notices: readonly AuthorityNotice[]): Promise<readonly number[]>;
  /** All of them, under an approval whose order has begun; it decides itself whether they are of that order. */
  recordOrdered(
    notices: readonly AuthorityNotice[],
    approved: ApprovedOrder,
  ): Promise<undefined | Refusal<string>>;
}
