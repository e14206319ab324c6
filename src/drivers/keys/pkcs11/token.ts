/**
 * Keys in a PKCS#11 token, as Signers. The vendor's module lives in a child process. When it crashes, blocks
 * or loses its token, that process is ended and every call under way refused, as a retryable
 * `EnvironmentError`; the next call starts another, which finds token and keys anew. A PIN that was refused is
 * never tried again.
 */
import { createPublicKey } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Signer } from '../../../trust/ports/keys.ts';
import { derSignature } from '../../../wire/der/ecdsa.ts';
import type { FailureCause } from './failures.ts';
import { ModuleProcess } from './moduleProcess.ts';
import type { Command, Failure, Outcome, TokenAlgorithm, TokenKey } from './protocol.ts';
import { Starts } from './starts.ts';

export interface TokenOptions {
  /** The vendor's library, for example /usr/lib/softhsm/libsofthsm2.so. */
  readonly modulePath: string;
  readonly tokenLabel: string;
  /** Asked at each start of the process: a person may have corrected it. Throws an `EnvironmentError`. */
  readonly pin: () => string;
  /** Signatures under way at the same time; 4 unless told. */
  readonly sessions?: number;
  /** After this long without an answer the module counts as blocked; 10 s unless told. */
  readonly timeoutMs?: number;
  /** Entry of the child; tests hand in one that misbehaves. */
  readonly processFile?: string;
}

/** Requests that wait for the token; more are refused, since the caller's own queue is the place to wait. */
const maximumWaiting = 10_000;

/** Opened by the first call that needs it. Every call rejects with an `EnvironmentError` that names the token. */
export class Pkcs11Token {
  readonly #options: TokenOptions;
  readonly #starts = new Starts();
  readonly #closing = new AbortController();
  #starting: Promise<ModuleProcess> | undefined;
  #running: ModuleProcess | undefined;
  #refused: { readonly pin: string; readonly failure: Failure } | undefined;
  #waiting = 0;

  constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** `undefined` when the token holds no key of that label. */
  async signer(keyLabel: string): Promise<Signer | undefined> {
    const outcome = await this.#ask({ command: 'find', keyLabel });
    return outcome.kind === 'absent' ? undefined : this.#signerOf(keyLabel, keyOf(outcome));
  }

  /** The caller makes sure that the label is free. */
  async generate(keyLabel: string, algorithm: TokenAlgorithm): Promise<Signer> {
    const outcome = await this.#ask({ command: 'generate', keyLabel, algorithm });
    return this.#signerOf(keyLabel, keyOf(outcome));
  }

  close(): void {
    this.#closing.abort();
    this.#running?.close('closed');
  }

  #signerOf(keyLabel: string, key: TokenKey): Signer {
    const { algorithm, point } = key;
    return {
      algorithm,
      publicKeySpki: spkiOf(key),
      sign: async (data) => {
        const outcome = await this.#ask({ command: 'sign', keyLabel, point, data });
        if (outcome.kind !== 'signature') throw this.#error(`does not hold the key ${keyLabel}`);
        return algorithm === 'Ed25519' ? outcome.signature : derSignature(outcome.signature);
      },
    };
  }

  async #ask(command: Command): Promise<Outcome> {
    if (this.#waiting >= maximumWaiting) throw this.#error('has too many requests waiting');
    this.#waiting++;
    try {
      const process = await this.#started();
      const outcome = await process.ask(command);
      if (outcome.kind !== 'failed') return outcome;
      if (outcome.cause === 'lost') process.kill(outcome.problem);
      throw this.#failure(outcome);
    } finally {
      this.#waiting--;
    }
  }

  async #started(): Promise<ModuleProcess> {
    if (this.#starting === undefined && this.#running?.ended === false) return this.#running;
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #start(): Promise<ModuleProcess> {
    const pin = this.#options.pin();
    if (pin === this.#refused?.pin) throw this.#failure(this.#refused.failure);
    await this.#turn();
    const { modulePath, tokenLabel, sessions = 4, timeoutMs = 10_000, processFile } = this.#options;
    const process = new ModuleProcess({ file: processFile, timeoutMs });
    this.#running = process;
    const outcome = await process.ask({ command: 'open', modulePath, tokenLabel, pin, sessions });
    if (outcome.kind !== 'failed') return process;
    process.kill(outcome.problem);
    if (outcome.cause === 'pin') this.#refused = { pin, failure: outcome };
    // Whatever it was, a person may mend it while this process runs: the certificate says there is a key.
    throw this.#failure(outcome, true);
  }

  /** A token that stays away costs a process now and then, however many calls ask for it. */
  async #turn(): Promise<void> {
    const { signal } = this.#closing;
    const waitMs = this.#starts.next(performance.now());
    if (waitMs > 0) await pause(waitMs, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) throw this.#closed();
  }

  #failure({ cause, problem }: Failure, retryable = cause !== 'other'): EnvironmentError {
    if (this.#closing.signal.aborted) return this.#closed();
    return this.#error(whatToDo[cause](problem), retryable);
  }

  #closed(): EnvironmentError {
    return this.#error('is closed here', false);
  }

  #error(problem: string, retryable = true): EnvironmentError {
    const text = `PKCS#11 token ${this.#options.tokenLabel} ${problem}`;
    return new EnvironmentError(text, { retryable });
  }
}

/** For a person. */
const whatToDo: Readonly<Record<FailureCause, (problem: string) => string>> = {
  lost: (problem) =>
    `is out of reach (${problem}): it was taken out or switched off, or its module failed. The next call looks for it anew.`,
  pin: (problem) =>
    `refuses the PIN (${problem}). That PIN is not tried again, since a token locks after a few wrong ones: correct it where it is kept.`,
  other: (problem) => `fails: ${problem}`,
};

function keyOf(outcome: Outcome): TokenKey {
  if (outcome.kind === 'key') return outcome.key;
  throw new EnvironmentError('the token did not say which key it holds', { retryable: false });
}

const spkiPrefixes: Readonly<Record<TokenAlgorithm, string>> = {
  'ecdsa-with-SHA256': '3059301306072a8648ce3d020106082a8648ce3d030107034200',
  'ecdsa-with-SHA384': '3076301006072a8648ce3d020106052b81040022036200',
  Ed25519: '302a300506032b6570032100',
};

function spkiOf({ algorithm, point }: TokenKey): Uint8Array {
  const spki = Buffer.concat([Buffer.from(spkiPrefixes[algorithm], 'hex'), point]);
  // Throws when the token's point is not on its curve: better here than in the first certificate.
  createPublicKey({ key: spki, format: 'der', type: 'spki' });
  return Uint8Array.from(spki);
}
