/** What all states of a handshake share: a step consumes its state, and so does giving up. */
import { type EdhocRefusal, errorMessageFor, isEdhocRefusal, reading, refuse } from './refusal.ts';

/** A value that one step consumes. Its contents are dropped with it, so that nothing can reuse a key. */
export abstract class SingleUse<Values> {
  #values: Values | undefined;

  constructor(values: Values) {
    this.#values = values;
  }

  /** Whether a step was taken from here: every further use is a `TypeError`. */
  get spent(): boolean {
    return this.#values === undefined;
  }

  protected look(): Values {
    if (this.#values === undefined) throw new TypeError('this state of the handshake is spent');
    return this.#values;
  }

  protected spend(): Values {
    const values = this.look();
    this.#values = undefined;
    return values;
  }
}

export abstract class HandshakeState<Values> extends SingleUse<Values> {
  /**
   * Ends the handshake and gives the error message to send, if any may be sent. RFC 9528 §6: whoever sends
   * an error has aborted, so the message is had only by spending the state. Not to answer and to go on
   * waiting is right where the bytes may be an attacker's (RFC 9528 §9.7).
   */
  abort(refusal: EdhocRefusal): Uint8Array | undefined {
    this.spend();
    return errorMessageFor(refusal);
  }
}

/**
 * Refusals that a state survives: of messages while it waits, of candidates while it looks for the
 * credential. Each try at a MAC of 8 bytes has one chance in 2^64, so a few cost nothing, and one forged
 * frame does not end a handshake of days.
 */
export const maximumRefusals = 16;

export abstract class BoundedState<Values> extends HandshakeState<Values> {
  #refusalsLeft: number;

  constructor(values: Values, refusalsLeft: number = maximumRefusals) {
    super(values);
    this.#refusalsLeft = refusalsLeft;
  }

  protected get refusalsLeft(): number {
    return this.#refusalsLeft;
  }

  protected attempt<Step extends object>(
    step: (values: Values) => Step | EdhocRefusal,
  ): Step | EdhocRefusal {
    const outcome = step(this.look());
    if (!isEdhocRefusal(outcome)) {
      this.spend();
      return outcome;
    }
    // An error message costs nothing to forge and nothing to read: it decides nothing.
    if (outcome.refused === 'peer-error') return outcome;
    this.#refusalsLeft -= 1;
    if (this.#refusalsLeft > 0) return outcome;
    this.spend();
    return refuse('exhausted', `too many refusals: ${outcome.reason}`);
  }

  protected attemptMessage<Step extends object>(
    bytes: Uint8Array,
    step: (values: Values) => Step | EdhocRefusal,
  ): Step | EdhocRefusal {
    return this.attempt((values) => reading(bytes, () => step(values)));
  }
}
