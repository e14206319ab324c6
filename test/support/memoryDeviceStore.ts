/** A device's flash in memory, with power cuts around any write. */
import type { DeviceStore } from '../../src/device/ports/deviceStore.ts';
import { DeviceFault } from '../../src/device/ports/faults.ts';

export class MemoryDeviceStore implements DeviceStore {
  readonly values: Map<string, Uint8Array> = new Map();
  commits = 0;
  /** Called before and after each write; who throws cuts the power there. */
  onCommit: (moment: 'before' | 'after', commit: number) => void = () => undefined;

  async read(name: string): Promise<Uint8Array | undefined> {
    return this.values.get(name)?.slice();
  }

  async commit(changes: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
    this.commits += 1;
    this.onCommit('before', this.commits);
    for (const [name, value] of changes) {
      if (value === undefined) this.values.delete(name);
      else this.values.set(name, value.slice());
    }
    this.onCommit('after', this.commits);
  }
}

/** Not retryable: whoever meets it stops, as a device without power does. */
export class PowerCut extends DeviceFault {
  constructor() {
    super('power cut', { retryable: false });
  }
}
