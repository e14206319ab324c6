/** Gathers from the stores what was ordered, proven, issued and revoked of a device. */
import { completeCertificate } from '../../wire/x509/certificateWriter.ts';
import { InvariantError } from '../ports/faults.ts';
import type {
  DeviceEvidence,
  EvidenceCursor,
  EvidenceDesk,
  EvidencePage,
} from '../ports/evidence.ts';
import { isLost, type IssuanceStore } from '../ports/issuanceStore.ts';
import { type OrderStore, type UnitRecord, unitStates } from '../ports/orderStore.ts';

const pageUnits = 500;

export class Evidence implements EvidenceDesk {
  readonly #orders: Pick<OrderStore, 'unitByDevice' | 'ticket' | 'batch' | 'unitsOfBatch'>;
  readonly #certificates: Pick<IssuanceStore, 'certificatesOf'>;

  constructor(
    orders: Pick<OrderStore, 'unitByDevice' | 'ticket' | 'batch' | 'unitsOfBatch'>,
    certificates: Pick<IssuanceStore, 'certificatesOf'>,
  ) {
    this.#orders = orders;
    this.#certificates = certificates;
  }

  async device(deviceId: string): Promise<DeviceEvidence | undefined> {
    const unit = await this.#orders.unitByDevice(deviceId);
    const known = await this.#certificates.certificatesOf(deviceId);
    const issued = known.filter((certificate) => !isLost(certificate));
    if (unit === undefined && issued.length === 0) return undefined;
    return {
      deviceId,
      birth: unit === undefined ? undefined : await this.#birth(unit),
      certificates: issued.map(({ tbs, signature, ...certificate }) => ({
        ...certificate,
        der: completeCertificate(tbs, signature),
      })),
    };
  }

  async devicesOfBatch(batch: string, after: EvidenceCursor): Promise<EvidencePage | undefined> {
    if ((await this.#orders.batch(batch)) === undefined) return undefined;
    const state = unitStates[after.state];
    if (state === undefined) return { deviceIds: [], next: undefined };
    const limit = pageUnits;
    const { units, next } = await this.#orders.unitsOfBatch(batch, {
      state,
      after: after.unit,
      limit,
    });
    const following = { state: after.state + 1, unit: 0 };
    const cursor = next === undefined ? following : { state: after.state, unit: next };
    return {
      deviceIds: units.map(({ deviceId }) => deviceId),
      next: cursor.state < unitStates.length ? cursor : undefined,
    };
  }

  async #birth(unit: UnitRecord): Promise<NonNullable<DeviceEvidence['birth']>> {
    const ticket = await this.#orders.ticket(unit.ticketId);
    if (ticket === undefined) throw new InvariantError('a unit without its ticket');
    return { order: ticket.order, batch: ticket.batch, unit };
  }
}
