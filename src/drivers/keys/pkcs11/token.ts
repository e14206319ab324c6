/**
 * Keys in a PKCS#11 token, as Signers. The vendor's module lives in a child process: when it crashes the
 * child is started again, when it blocks the child is killed and started again; the authority goes on and
 * answers `EnvironmentError` (retryable) meanwhile.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Signer } from '../../../trust/ports/keys.ts';
import { derSignature } from '../../../wire/der/ecdsa.ts';
import type { Answer, Command, Outcome, TokenAlgorithm, TokenKey } from './protocol.ts';

export interface TokenOptions {
  /** The vendor's library, for example /usr/lib/softhsm/libsofthsm2.so. */
  readonly modulePath: string;
  readonly tokenLabel: string;
  readonly pin: string;
  /** Signatures under way at the same time; 4 unless told. */
  readonly sessions?: number;
  /** After this long without an answer the module counts as blocked; 10 s unless told. */
  readonly timeoutMs?: number;
  /** Entry of the child; tests hand in one that misbehaves. */
  readonly processFile?: string;
}

/** Requests that wait for the token; more are refused, since the caller's own queue is the place to wait. */
const maximumPending = 10_000;

interface Pending {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: EnvironmentError) => void;
  readonly timer: NodeJS.Timeout;
}

export class Pkcs11Token {
  readonly #options: TokenOptions;
  readonly #pending = new Map<number, Pending>();
  #child: Promise<ChildProcess> | undefined;
  #running: ChildProcess | undefined;
  #nextId = 1;
  #closed = false;

  private constructor(options: TokenOptions) {
    this.#options = options;
  }

  /** Rejects with an `EnvironmentError` when module, token or PIN are wrong. */
  static async open(options: TokenOptions): Promise<Pkcs11Token> {
    const token = new Pkcs11Token(options);
    try {
      await token.#started();
    } catch (error) {
      token.close();
      throw error;
    }
    return token;
  }

  /** `undefined` when the token holds no key of that label. */
  async signer(keyLabel: string): Promise<Signer | undefined> {
    const outcome = await this.#ask({ command: 'find', keyLabel });
    if (outcome.kind === 'absent') return undefined;
    return this.#signerOf(keyLabel, keyOf(outcome));
  }

  /** The caller makes sure that the label is free. */
  async generate(keyLabel: string, algorithm: TokenAlgorithm): Promise<Signer> {
    const outcome = await this.#ask({ command: 'generate', keyLabel, algorithm });
    return this.#signerOf(keyLabel, keyOf(outcome));
  }

  close(): void {
    this.#closed = true;
    this.#failAll('the token was closed');
    this.#running?.disconnect();
    this.#running = undefined;
    this.#child = undefined;
  }

  #signerOf(keyLabel: string, key: TokenKey): Signer {
    const { algorithm } = key;
    return {
      algorithm,
      publicKeySpki: spkiOf(key),
      sign: async (data) => {
        const outcome = await this.#ask({ command: 'sign', keyLabel, data });
        if (outcome.kind !== 'signature') {
          throw new EnvironmentError(`the token has lost the key ${keyLabel}`, {
            retryable: false,
          });
        }
        return algorithm === 'Ed25519' ? outcome.signature : derSignature(outcome.signature);
      },
    };
  }

  async #ask(command: Command): Promise<Outcome> {
    const child = await this.#started();
    const outcome = await this.#send(child, command);
    if (outcome.kind === 'failed') {
      throw new EnvironmentError(`PKCS#11 token: ${outcome.problem}`, {
        retryable: outcome.retryable,
      });
    }
    return outcome;
  }

  async #started(): Promise<ChildProcess> {
    if (this.#closed) throw new EnvironmentError('the token was closed', { retryable: false });
    this.#child ??= this.#launch().catch((error: unknown) => {
      this.#child = undefined;
      throw error;
    });
    return this.#child;
  }

  async #launch(): Promise<ChildProcess> {
    const file = this.#options.processFile ?? fileURLToPath(new URL('process.ts', import.meta.url));
    const child = fork(file, [], {
      serialization: 'advanced',
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#running = child;
    child.on('message', (answer: Answer) => this.#settle(answer));
    child.on('error', () => this.#lost(child));
    child.on('exit', () => this.#lost(child));
    const { modulePath, tokenLabel, pin, sessions = 4 } = this.#options;
    const outcome = await this.#send(child, {
      command: 'open',
      modulePath,
      tokenLabel,
      pin,
      sessions,
    });
    if (outcome.kind === 'opened') return child;
    child.kill('SIGKILL');
    const problem = outcome.kind === 'failed' ? outcome.problem : outcome.kind;
    const retryable = outcome.kind === 'failed' && outcome.retryable;
    throw new EnvironmentError(`PKCS#11 token ${tokenLabel}: ${problem}`, { retryable });
  }

  #send(child: ChildProcess, body: Command): Promise<Outcome> {
    if (this.#pending.size >= maximumPending) {
      throw new EnvironmentError('the token has too many requests waiting', { retryable: true });
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      // A blocked module never answers; only the end of its process frees what it holds.
      const timer = setTimeout(() => child.kill('SIGKILL'), this.#options.timeoutMs ?? 10_000);
      this.#pending.set(id, { resolve, reject, timer });
      child.send({ id, body }, (error) => {
        if (error !== null) this.#lost(child);
      });
    });
  }

  #settle({ id, outcome }: Answer): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    clearTimeout(pending.timer);
    this.#pending.delete(id);
    pending.resolve(outcome);
  }

  /** Whether a signature was made before the process died is unknown; the caller signs the same bytes again. */
  #lost(child: ChildProcess): void {
    if (this.#running !== child) return;
    this.#running = undefined;
    this.#child = undefined;
    this.#failAll('the process of the PKCS#11 module ended; it is started again at the next call');
  }

  #failAll(problem: string): void {
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new EnvironmentError(problem, { retryable: true }));
    }
    this.#pending.clear();
  }
}

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
