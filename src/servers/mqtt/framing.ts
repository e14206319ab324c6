/**
 * Watches the packet lengths of an MQTT byte stream (MQTT 3.1.1 §2.2), so that nobody makes the broker
 * collect a packet of 256 MiB before it learns that it does not want it. Contents are not looked at.
 */

export type FramingFault = 'packet-too-large' | 'packet-length-malformed';

/** Remaining length takes one to four bytes (§2.2.3). */
const maximumLengthBytes = 4;

export class PacketMeter {
  readonly #maximumBytes: number;
  /** Bytes of the present packet's body still to come; undefined while its head is read. */
  #body: number | undefined;
  #lengthBytes = 0;
  #length = 0;
  #inHead = false;

  /** `maximumBytes` of one packet behind its fixed header. */
  constructor(maximumBytes: number) {
    this.#maximumBytes = maximumBytes;
  }

  /** Counts a chunk in. After a fault the stream has no meaning any more. */
  take(chunk: Uint8Array): FramingFault | undefined {
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#body !== undefined) {
        const step = Math.min(this.#body, chunk.length - offset);
        offset += step;
        this.#body = this.#body === step ? undefined : this.#body - step;
        continue;
      }
      const fault = this.#takeHead(chunk[offset] ?? 0);
      if (fault !== undefined) return fault;
      offset += 1;
    }
    return undefined;
  }

  #takeHead(byte: number): FramingFault | undefined {
    if (!this.#inHead) {
      // The packet type and its flags; the broker's parser judges them.
      this.#inHead = true;
      return undefined;
    }
    this.#length += (byte & 127) * 128 ** this.#lengthBytes;
    this.#lengthBytes += 1;
    if (this.#length > this.#maximumBytes) return 'packet-too-large';
    if ((byte & 128) !== 0) {
      return this.#lengthBytes < maximumLengthBytes ? undefined : 'packet-length-malformed';
    }
    this.#body = this.#length === 0 ? undefined : this.#length;
    this.#length = 0;
    this.#lengthBytes = 0;
    this.#inHead = false;
    return undefined;
  }
}
