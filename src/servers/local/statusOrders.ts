/** The provisioner's local door: orders about everything that has something in common, a step a request. */
import type { FastifyInstance } from 'fastify';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import {
  type ApprovedOrder,
  statusActs,
  type StatusOrder,
  type StatusScope,
  type StatusStep,
} from '../../trust/ports/statusOrders.ts';
import { sendRefusal } from '../http/problem.ts';
import { readApproval, readReason } from './authorityFields.ts';
import { FieldError, Fields } from './fields.ts';
import { readSelection } from './status.ts';

export interface StatusOrderActs {
  readonly statusStep: (
    order: StatusOrder,
    after: string | undefined,
    approval: Uint8Array | undefined,
  ) => Promise<StatusStep | Refusal<string>>;
}

const maximumNamed = 1_000;

export function statusOrderRoutes(app: FastifyInstance, acts: StatusOrderActs): void {
  app.post('/v1/status/orders', async (request, reply) => {
    const fields = new Fields(request.body);
    const order: StatusOrder = { ...readStatusOrder(fields), dryRun: fields.flag('dryRun') };
    const after = fields.optionalText('after', 60);
    const step = await acts.statusStep(order, after, readApproval(fields));
    if (isRefusal(step)) return sendRefusal(reply, step);
    const { next, ...counts } = step;
    return { ...counts, ...(next === undefined ? {} : { next }) };
  });
}

export function readStatusOrder(fields: Fields): Omit<StatusOrder, 'dryRun'> {
  return {
    act: fields.oneOf('act', statusActs),
    scope: readScope(fields),
    code: readReason(fields),
    reason: fields.text('reason'),
  };
}

/** Beside what is to be changed under it. */
export function readApprovedOrder(body: unknown): ApprovedOrder | undefined {
  const fields = new Fields(body);
  const approval = readApproval(fields);
  if (approval === undefined) return undefined;
  return { order: readStatusOrder(new Fields(fields.value('order'))), approval };
}

function readScope(fields: Fields): StatusScope {
  const by = fields.oneOf('by', ['device', 'certificate', 'batch', 'product', 'station', 'family']);
  if (by === 'device') return { by, deviceIds: fields.texts('deviceIds', maximumNamed) };
  if (by === 'certificate') {
    const sha256 = fields.hex('sha256');
    if (sha256.length !== 32) throw new FieldError('sha256 is 32 bytes');
    return { by, sha256 };
  }
  const selection = readSelection(fields);
  if (selection.by !== 'station') return selection;
  return { by: 'station', name: selection.name, withDevices: fields.flag('withDevices') };
}
