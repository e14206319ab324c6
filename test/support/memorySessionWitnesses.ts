/** Evidence of clones and shown chains in memory; the contract is tested on these and on the databases alike. */
import type { ChainStore, ShownChain, ThumbprintKind } from '../../src/trust/ports/chainStore.ts';
import { maximumShownChains } from '../../src/trust/ports/chainStore.ts';
import {
  type CloneRecord,
  type CloneStore,
  maximumCloneRecords,
} from '../../src/trust/ports/cloneStore.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';

export class MemoryCloneStore implements CloneStore {
  /** Newest first. */
  rows: readonly CloneRecord[] = [];

  async record(evidence: CloneRecord): Promise<boolean> {
    if (this.rows.some(({ messageHash }) => equal(messageHash, evidence.messageHash))) return false;
    const { deviceId } = evidence;
    const others = this.rows.filter((row) => row.deviceId !== deviceId);
    const ofDevice = [evidence, ...(await this.evidenceOf(deviceId))];
    this.rows = [...ofDevice.slice(0, maximumCloneRecords), ...others];
    return true;
  }

  async evidenceOf(deviceId: string): Promise<readonly CloneRecord[]> {
    return this.rows.filter((row) => row.deviceId === deviceId);
  }
}

export class MemoryChainStore implements ChainStore {
  /** Newest first. */
  rows: readonly ShownChain[] = [];

  async chain(kind: ThumbprintKind, hash: Uint8Array): Promise<readonly Uint8Array[] | undefined> {
    return this.rows.find((row) => row.kind === kind && equal(row.hash, hash))?.certificates;
  }

  async remember(shown: ShownChain): Promise<void> {
    const isSame = (row: ShownChain): boolean =>
      row.kind === shown.kind && equal(row.hash, shown.hash);
    const rest = this.rows.filter((row) => !isSame(row));
    const ofDevice = [shown, ...rest.filter((row) => row.deviceId === shown.deviceId)];
    const others = rest.filter((row) => row.deviceId !== shown.deviceId);
    this.rows = [...ofDevice.slice(0, maximumShownChains), ...others];
  }
}
