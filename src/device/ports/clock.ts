/** A device's clock, which may be unset, wrong or absent. */
export interface DeviceClock {
  /** Milliseconds since 1970-01-01T00:00:00Z; `undefined` when the device has no idea. */
  nowMs(): number | undefined;
}
