/** What was seen of a second holder of a device's keys, for as long as a person may ask. */
import type { Endpoint } from './sessionStore.ts';

export const cloneReasons = ['number-used-twice', 'superseded-keys'] as const;

export type CloneReason = (typeof cloneReasons)[number];

export interface CloneRecord extends Endpoint {
  readonly deviceId: string;
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly reason: CloneReason;
  readonly seenMs: number;
  /** SHA-256 of the protected part of the message. */
  readonly messageHash: Uint8Array;
}

/** Records of one device that are kept; beyond it the oldest goes. */
export const maximumCloneRecords = 100;

export interface CloneStore {
  /** Durable when it resolves. False, and nothing is written, for a message that was recorded before. */
  record(evidence: CloneRecord): Promise<boolean>;
  /** Newest first. */
  evidenceOf(deviceId: string): Promise<readonly CloneRecord[]>;
}
