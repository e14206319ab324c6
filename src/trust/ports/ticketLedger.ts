/**
 * Orders and tickets as they are written on another machine before they are made: what a database that was
 * put back to an earlier state cannot know. Addresses of an order that is lost here are still in the field.
 */
import type { BatchRecord, OrderRecord } from './orderStore.ts';

export type LedgerLine =
  | {
      readonly kind: 'order';
      readonly order: OrderRecord;
      readonly batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>;
    }
  | {
      readonly kind: 'ticket';
      readonly ticketId: Uint8Array;
      readonly batch: string;
      readonly count: number;
      readonly notAfterMs: number;
    };

export interface TicketLedger {
  /**
   * Durable when it resolves. Rejects with an `EnvironmentError` when it cannot be written: then the order
   * or ticket is not made. A line whose order was refused afterwards does no harm.
   */
  note(line: LedgerLine): Promise<void>;
}
