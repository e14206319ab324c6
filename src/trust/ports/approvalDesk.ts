/** Where operators ask for, see and decide what takes two persons: the authority, or its stores while it rests. */
import type { OperatorRecord, RequestRecord, TwoPersonMode } from './approvalStore.ts';
import type { Refusal } from './faults.ts';

/** Rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface ApprovalDeskPort {
  /** `undefined`: one person is enough. */
  mode(): Promise<TwoPersonMode | undefined>;
  /** Devices whose status one person may still change today; `undefined` where one is enough for all. */
  soleChangesLeft(): Promise<number | undefined>;
  /** By name, revoked ones included. */
  operators(): Promise<readonly OperatorRecord[]>;
  request(id: Uint8Array): Promise<RequestRecord | undefined>;
  /** A page, newest first; those taken in before the request `before`. */
  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]>;
  /** Takes a signed request in. The same one twice is one. */
  submit(signed: Uint8Array): Promise<RequestRecord | Refusal<string>>;
  /** Takes a signed decision in. */
  decide(signed: Uint8Array): Promise<RequestRecord | Refusal<string>>;
}
