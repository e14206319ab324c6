/** Cases of lost keys for commands: at the authority where it runs, else in its stores. */
import { CaseClient } from '../../drivers/links/local/caseClient.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { CaseDesk } from '../../trust/ports/lossCase.ts';
import { withCasesAtRest } from '../authority/caseOffice.ts';
import { socketPathFor } from '../socketPath.ts';
import { readStoreSetting } from '../storeSetting.ts';

/** `use` hears whether the authority runs. */
export async function withCases<Value>(
  { data, store }: { readonly data: string; readonly store?: string | undefined },
  use: (desk: CaseDesk, runs: boolean) => Promise<Value>,
): Promise<Value> {
  const client = new CaseClient(socketPathFor(data, 'authority'));
  try {
    try {
      await client.cases();
    } catch (error) {
      if (!(error instanceof EnvironmentError) || !error.retryable) throw error;
      const rests = { dataFolder: data, store: readStoreSetting(store) };
      return await withCasesAtRest(rests, (desk) => use(desk, false));
    }
    return await use(client, true);
  } finally {
    client.close();
  }
}
