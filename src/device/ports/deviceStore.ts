/** A device's durable memory: a few small values by name, in flash or in a file. */

/** The largest value that every store takes. */
export const maximumValueBytes = 4096;

export interface DeviceStore {
  /** `undefined` when nothing is stored under that name. Rejects with a `DeviceFault`. */
  read(name: string): Promise<Uint8Array | undefined>;
  /**
   * Writes all of the changes or, after a loss of power, none of them; durable when the promise
   * resolves. `undefined` deletes. Rejects with a `DeviceFault`; what is stored is then unknown until
   * it is read again after a restart.
   */
  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): Promise<void>;
}
