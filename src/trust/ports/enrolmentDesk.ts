/** What an operator decides about enrolment at the authority: a process of its own, reached over its socket. */
import type { Refusal } from './faults.ts';
import type { ForeignAnchor } from './foreignStore.ts';
import type {
  ApprovalDecision,
  ApprovalRecord,
  ProfilePolicy,
  SecretRecord,
} from './grantStore.ts';

export interface AnchorDecision {
  readonly product: string;
  /** DER of the authority's certificate. */
  readonly certificate: Uint8Array;
  /** Devices of this product that may be bound to certificates below it. */
  readonly count: number;
}

/** Elements of other makers. Rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface ForeignDesk {
  /** Pinned again with another count, the count changes. */
  pin(decision: AnchorDecision, approval?: Uint8Array): Promise<ForeignAnchor | Refusal<string>>;
  /** Devices that are bound stay what they are; revoking them is another decision. */
  retire(
    product: string,
    sha256: Uint8Array,
    approval?: Uint8Array,
  ): Promise<undefined | Refusal<string>>;
  /** In the order they were pinned, retired ones included. */
  anchors(): Promise<readonly ForeignAnchor[]>;
}

export interface SecretOrder {
  /** A new device when absent. */
  readonly deviceId?: string;
  readonly product: string;
  readonly profile: string;
  readonly lifetimeMs: number;
}

export interface CreatedSecret {
  readonly id: number;
  /** 32 characters; told once, and kept as a hash only. */
  readonly secret: string;
  readonly deviceId: string;
  readonly product: string;
  readonly profile: string;
  readonly expiresMs: number;
}

/** One-time secrets, approvals and policies. Rejects with an `EnvironmentError` as above. */
export interface EnrolmentDesk {
  /** For a device that is named, and beyond a day's share, it takes an approval. */
  createSecret(order: SecretOrder, approval?: Uint8Array): Promise<CreatedSecret | Refusal<string>>;
  /** A page, newest first; those older than the secret `before`. */
  secrets(limit: number, before?: number): Promise<readonly SecretRecord[]>;
  voidSecret(id: number): Promise<undefined | Refusal<string>>;
  /** A page of undecided ones, oldest first; those younger than the request `after`. */
  approvals(limit: number, after?: number): Promise<readonly ApprovalRecord[]>;
  decide(
    id: number,
    decision: ApprovalDecision,
    decidedBy: string,
  ): Promise<undefined | Refusal<string>>;
  /** Of every profile of devices. */
  policies(): Promise<readonly ProfilePolicy[]>;
  savePolicy(policy: ProfilePolicy, approval?: Uint8Array): Promise<undefined | Refusal<string>>;
}
