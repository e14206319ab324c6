/** What the authority's records say of a device, for whoever has to prove it to others. */
import type { IssuedCertificate } from './issuanceStore.ts';
import type { UnitRecord } from './orderStore.ts';

export interface DeviceEvidence {
  readonly deviceId: string;
  /** How it was personalized; `undefined` for elements that another maker personalized. */
  readonly birth:
    | {
        readonly order: string;
        readonly batch: string;
        readonly unit: Pick<
          UnitRecord,
          | 'ticketId'
          | 'uid'
          | 'eui64'
          | 'model'
          | 'firmware'
          | 'proofLevel'
          | 'state'
          | 'reason'
          | 'endorsedMs'
        >;
      }
    | undefined;
  /** Oldest first. */
  readonly certificates: readonly EvidenceCertificate[];
}

export interface EvidenceCertificate extends Pick<
  IssuedCertificate,
  'issuer' | 'profile' | 'serialNumber' | 'revokedMs' | 'held'
> {
  readonly der: Uint8Array;
}

/** Where a page begins: units of one state after the other, each in the order of their birth. */
export interface EvidenceCursor {
  readonly state: number;
  readonly unit: number;
}

export interface EvidencePage {
  readonly deviceIds: readonly string[];
  /** `undefined` after the last page; a page may be empty before it. */
  readonly next: EvidenceCursor | undefined;
}

export interface EvidenceDesk {
  /** `undefined` for a device that never had a certificate of this authority. */
  device(deviceId: string): Promise<DeviceEvidence | undefined>;
  /** Devices of a batch, whatever became of them. `undefined` for a batch that there is not. */
  devicesOfBatch(batch: string, after: EvidenceCursor): Promise<EvidencePage | undefined>;
}
