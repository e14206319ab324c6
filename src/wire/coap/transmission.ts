/** Transmission parameters (RFC 7252 §4.8) and the timing of one confirmable message (§4.2). */

export interface TransmissionParameters {
  readonly ackTimeoutMs: number;
  readonly ackRandomFactor: number;
  readonly maximumRetransmits: number;
  /** Simultaneous outstanding interactions with one peer (§4.7). */
  readonly nstart: number;
  /** Towards a peer that does not answer (§4.7). */
  readonly probingBytesPerSecond: number;
  readonly maximumLatencyMs: number;
  readonly processingDelayMs: number;
}

export const defaultTransmission: TransmissionParameters = {
  ackTimeoutMs: 2_000,
  ackRandomFactor: 1.5,
  maximumRetransmits: 4,
  nstart: 1,
  probingBytesPerSecond: 1,
  maximumLatencyMs: 100_000,
  processingDelayMs: 2_000,
};

/** §4.8.2: from the first transmission of a confirmable message to its last. */
export function maximumTransmitSpanMs(parameters: TransmissionParameters): number {
  const { ackTimeoutMs, ackRandomFactor, maximumRetransmits } = parameters;
  return ackTimeoutMs * (2 ** maximumRetransmits - 1) * ackRandomFactor;
}

/** §4.8.2: from sending a confirmable message until its message ID may be used again. */
export function exchangeLifetimeMs(parameters: TransmissionParameters): number {
  const { maximumLatencyMs, processingDelayMs } = parameters;
  return maximumTransmitSpanMs(parameters) + 2 * maximumLatencyMs + processingDelayMs;
}

/** §4.8.2: the same for a non-confirmable message. */
export function nonLifetimeMs(parameters: TransmissionParameters): number {
  return maximumTransmitSpanMs(parameters) + parameters.maximumLatencyMs;
}

/** §4.2: the first timeout lies between ACK_TIMEOUT and that times ACK_RANDOM_FACTOR. `random`: 0 to 1. */
export function initialTimeoutMs(parameters: TransmissionParameters, random: number): number {
  const { ackTimeoutMs, ackRandomFactor } = parameters;
  return Math.round(ackTimeoutMs * (1 + (ackRandomFactor - 1) * random));
}

/** §4.7: how long a message to a silent peer keeps others waiting, so that PROBING_RATE holds. */
export function probingDelayMs(parameters: TransmissionParameters, lengthBytes: number): number {
  return (lengthBytes / parameters.probingBytesPerSecond) * 1000;
}
