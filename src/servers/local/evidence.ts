/** What the authority tells of its devices to whoever gathers evidence at this machine. */
import type { FastifyInstance } from 'fastify';
import type { DeviceEvidence, EvidenceDesk } from '../../trust/ports/evidence.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { sendProblem } from '../http/problem.ts';

export function evidenceRoutes(app: FastifyInstance, desk: EvidenceDesk): void {
  app.get<{ Params: { device: string } }>(
    '/v1/evidence/devices/:device',
    async (request, reply) => {
      const evidence = await desk.device(request.params.device);
      return evidence === undefined
        ? sendProblem(reply, { status: 404, code: 'unknown-device', detail: 'No such device.' })
        : deviceDocument(evidence);
    },
  );

  app.get<{ Params: { batch: string }; Querystring: { state?: string; unit?: string } }>(
    '/v1/evidence/batches/:batch',
    async (request, reply) => {
      const { state, unit } = request.query;
      const page = await desk.devicesOfBatch(request.params.batch, {
        state: wholeOr0(state),
        unit: wholeOr0(unit),
      });
      return page === undefined
        ? sendProblem(reply, { status: 404, code: 'unknown-batch', detail: 'No such batch.' })
        : { deviceIds: page.deviceIds, next: page.next ?? null };
    },
  );
}

function deviceDocument({ deviceId, birth, certificates }: DeviceEvidence): object {
  return {
    deviceId,
    birth:
      birth === undefined
        ? null
        : {
            order: birth.order,
            batch: birth.batch,
            ticketId: toHex(birth.unit.ticketId),
            uid: toHex(birth.unit.uid),
            eui64: toHex(birth.unit.eui64),
            model: birth.unit.model,
            firmware: birth.unit.firmware,
            proofLevel: birth.unit.proofLevel,
            state: birth.unit.state,
            reason: birth.unit.reason,
            endorsedMs: birth.unit.endorsedMs,
          },
    certificates: certificates.map(({ issuer, profile, serialNumber, revokedMs, held, der }) => ({
      issuer,
      profile,
      serialNumber: toHex(serialNumber),
      revokedMs: revokedMs ?? null,
      held,
      der: toBase64(der),
    })),
  };
}

function wholeOr0(text: string | undefined): number {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
