/** One leg of a radio as its driver offers it: whole frames, no promise of delivery, order or number. */

/** At a sensor: frames to and from whoever listens on the air. */
export interface Link {
  readonly maximumFrameBytes: number;
  /** Done when the radio has taken the frame. Rejects with a `DeviceFault`. */
  send(frame: Uint8Array): Promise<void>;
  /** There is one receiver; its promise never rejects, and the next frame waits for it. */
  onFrame(receive: (frame: Uint8Array) => Promise<void>): void;
}

/** At a gateway: frames of many sensors, each with the address that its radio gives it. */
export interface RadioPort {
  readonly maximumFrameBytes: number;
  /** Done when the radio has taken the frame. Rejects with a `DeviceFault`. */
  send(linkAddress: Uint8Array, frame: Uint8Array): Promise<void>;
  onFrame(receive: (linkAddress: Uint8Array, frame: Uint8Array) => Promise<void>): void;
}
