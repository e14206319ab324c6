/** Orders of an operator about everything that has something in common. */
import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { UnitSelection } from './statusStore.ts';

/** For good; for now; and back again. */
export const statusActs = ['revoke', 'hold', 'reinstate'] as const;

export type StatusAct = (typeof statusActs)[number];

export type StatusScope =
  | { readonly by: 'device'; readonly deviceIds: readonly string[] }
  /** SHA-256 over the whole certificate. */
  | { readonly by: 'certificate'; readonly sha256: Uint8Array }
  | {
      readonly by: 'station';
      readonly name: string;
      /** Everything that it personalized, too. */
      readonly withDevices: boolean;
    }
  | Exclude<UnitSelection, { readonly by: 'station' }>;

export interface StatusOrder {
  readonly act: StatusAct;
  readonly scope: StatusScope;
  /** Of a revocation; the other acts have codes of their own. */
  readonly code: RevocationReason;
  readonly reason: string;
  /** Counts and changes nothing. */
  readonly dryRun: boolean;
}

/** Of an order about so many devices, how many it is about in all. */
export function holdersOf({ by }: StatusScope, devices: number): number {
  return by === 'certificate' || by === 'station' ? devices + 1 : devices;
}

/** As lists and notices say it. */
export function codeOfOrder({ act, code }: Pick<StatusOrder, 'act' | 'code'>): RevocationReason {
  if (act === 'revoke') return code;
  return act === 'hold' ? 'certificateHold' : 'removeFromCRL';
}

/** An order that takes two persons, and what they signed. */
export interface ApprovedOrder {
  readonly order: Omit<StatusOrder, 'dryRun'>;
  /** SHA-256 over the approved request. */
  readonly approval: Uint8Array;
}

/** What one step of an order did, or would do. */
export interface StatusStep {
  readonly devices: number;
  /** Devices, or certificates that were named, whose status was another before. */
  readonly changed: number;
  readonly certificates: number;
  /** Devices that the registry does not know: only the authority's lists and answers change. */
  readonly notHere: number;
  /** Connections and sessions that ended. */
  readonly ended: number;
  /** Where the next step begins; `undefined` after the last. */
  readonly next: string | undefined;
}
