/**
 * Approvals while the authority rests: the same desk and the same checks on the stores themselves, for the
 * commands that open keys and need the server stopped.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SecurityLogFolder } from '../../drivers/store/files/securityLogFolder.ts';
import type { ActKind, ActRequests } from '../../trust/approvals/acts.ts';
import { ApprovalDesk } from '../../trust/approvals/desk.ts';
import { type Begun, Permissions } from '../../trust/approvals/permissions.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { authorityPaths, requireInstallation } from './authorityFolder.ts';
import { openAuthorityStores } from './stores.ts';

export interface OfficeOptions {
  readonly dataFolder: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

export interface ApprovalOffice {
  readonly desk: ApprovalDesk;
  readonly permissions: Permissions;
  close(): Promise<void>;
}

/** Rejects with an `EnvironmentError` while an authority runs on the folder. */
export async function openApprovalOffice(options: OfficeOptions): Promise<ApprovalOffice> {
  const { dataFolder, clock, store } = options;
  const paths = authorityPaths(dataFolder);
  await requireInstallation(paths);
  // A restored store that knows everything again waits for two persons, who sign here.
  const stores = await openAuthorityStores(paths, store, 'approval');
  const security = new SecurityLogFolder({
    folder: paths.security,
    clock,
    onTrouble: () => undefined,
  });
  const shared = { store: stores.approvals, crypto: nodeCrypto, clock, security };
  return {
    desk: new ApprovalDesk(shared),
    permissions: new Permissions(shared),
    close: async () => {
      security.close();
      await stores.close();
    },
  };
}

/**
 * An act of a resting authority, which opens the folder by itself. The approval is spent before it begins
 * and ends when it is done; cut short between, or when it waits for something, the same command takes it up
 * again.
 */
export async function carryOutAtRest<Kind extends ActKind, Result>(
  options: OfficeOptions,
  {
    kind,
    request,
    approval,
  }: {
    readonly kind: Kind;
    readonly request: ActRequests[Kind];
    readonly approval: Uint8Array | undefined;
  },
  act: (begun: Begun<Kind>) => Promise<Result>,
  isDone: (result: Result) => boolean = (result) => !isRefusal(result),
): Promise<Result | Refusal<string>> {
  const begun = await inOffice(options, async ({ permissions }) => {
    const approved = await permissions.allow(kind, request, approval);
    return isRefusal(approved) ? approved : permissions.begin(approved);
  });
  if (isRefusal(begun)) return begun;
  const result = await act(begun);
  if (isDone(result)) await inOffice(options, ({ permissions }) => permissions.finish(begun));
  return result;
}

async function inOffice<Value>(
  options: OfficeOptions,
  use: (office: ApprovalOffice) => Promise<Value>,
): Promise<Value> {
  const office = await openApprovalOffice(options);
  try {
    return await use(office);
  } finally {
    await office.close();
  }
}
