/** Permission for acts of tests that are about something else: one person is enough. */
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { ActKind, ActRequests } from '../../src/trust/approvals/acts.ts';
import { type Approved, Permissions } from '../../src/trust/approvals/permissions.ts';
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
