/** Permission for acts of tests that are about something else: one person is enough. */
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { ActKind, ActRequests } from '../../src/trust/approvals/acts.ts';
import { type Approved, type Begun, Permissions } from '../../src/trust/approvals/permissions.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';

const permissions = new Permissions({
  store: {
    mode: async () => undefined,
    operators: async () => [],
    request: async () => undefined,
    begin: async () => 'approval-unknown',
    finish: async () => undefined,
  },
  crypto: nodeCrypto,
  clock: { nowMs: () => 0 },
});

export async function alone<Kind extends ActKind>(
  kind: Kind,
  request: ActRequests[Kind],
): Promise<Approved<Kind>> {
  const approved = await permissions.allow(kind, request, undefined);
  if (isRefusal(approved)) throw new Error(approved.reason);
  return approved;
}

export async function begunAlone<Kind extends ActKind>(
  kind: Kind,
  request: ActRequests[Kind],
): Promise<Begun<Kind>> {
  const begun = await permissions.begin(await alone(kind, request));
  if (isRefusal(begun)) throw new Error(begun.reason);
  return begun;
}
