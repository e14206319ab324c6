/** Which devices have been told of which authorities: what a rollover waits for. Losing it costs a count. */
export interface AnchorStore {
  /** `keys`: SHA-256 over SubjectPublicKeyInfo, of every certificate that the device was given. */
  noteTold(deviceId: string, keys: readonly Uint8Array[], nowMs: number): Promise<void>;
  /** Devices that were given a certificate of this key. */
  countTold(key: Uint8Array): Promise<number>;
}
