/** What waits to be sent: telemetry, where the newest says most, and requests that somebody waits for. */
import type { CoapContent } from '../../wire/coap/message.ts';
import { DeviceFault } from '../ports/faults.ts';

/** A request, until its answer. */
export interface WaitingRequest {
  readonly content: CoapContent;
  readonly resolve: (answer: CoapContent) => void;
  readonly reject: (fault: DeviceFault) => void;
}

export type Waiting =
  | { readonly kind: 'telemetry'; readonly payload: Uint8Array }
  | { readonly kind: 'request'; readonly request: WaitingRequest };

export class Outbox {
  readonly #maximumTelemetry: number;
  readonly #telemetry: Uint8Array[] = [];
  readonly #requests: WaitingRequest[] = [];

  constructor(maximumTelemetry: number) {
    this.#maximumTelemetry = maximumTelemetry;
  }

  /** Telemetry first. It stays in front until it is taken. */
  get next(): Waiting | undefined {
    const [payload] = this.#telemetry;
    if (payload !== undefined) return { kind: 'telemetry', payload };
    const [request] = this.#requests;
    return request === undefined ? undefined : { kind: 'request', request };
  }

  /** False when the oldest had to go; `isUnderWay`: the one in front stays whatever happens. */
  addTelemetry(payload: Uint8Array, isUnderWay: boolean): boolean {
    this.#telemetry.push(payload.slice());
    if (this.#telemetry.length <= this.#maximumTelemetry) return true;
    this.#telemetry.splice(isUnderWay ? 1 : 0, 1);
    return false;
  }

  takeTelemetry(): Uint8Array | undefined {
    return this.#telemetry.shift();
  }

  addRequest(request: WaitingRequest): void {
    this.#requests.push(request);
  }

  takeRequest(): void {
    this.#requests.shift();
  }

  /** Nobody will answer these any more. */
  end(): void {
    for (const { reject } of this.#requests.splice(0)) reject(sessionEnded());
  }
}

export function sessionEnded(): DeviceFault {
  return new DeviceFault('the session ended before the answer came', { retryable: true });
}
