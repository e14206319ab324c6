/** Orders about everything that has something in common, as both processes' doors read them. */
import {
  type ApprovedOrder,
  statusActs,
  type StatusOrder,
  type StatusScope,
} from '../../trust/ports/statusOrders.ts';
import { readApproval, readReason } from './authorityFields.ts';
import { FieldError, Fields } from './fields.ts';
import { readSelection } from './status.ts';

const maximumNamed = 1_000;

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
