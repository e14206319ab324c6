/** As an authority that lets the certificate go on that it issued before: which one a device showed is not looked at. */
import type { LdevidOutcome } from '../../src/trust/ports/enrolment.ts';
import { sha256Of } from './registrySamples.ts';

export class IssuedOneByOne {
  readonly #last = new Map<string, Uint8Array>();

  take(deviceId: string, certificate: Uint8Array): LdevidOutcome {
    const before = this.#last.get(deviceId);
    this.#last.set(deviceId, sha256Of(certificate));
    return { certificate, beside: before === undefined ? [] : [before] };
  }
}
