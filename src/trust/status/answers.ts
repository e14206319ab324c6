/**
 * Answers for the status of certificates at the door: signed by the authority once, given out many times
 * (RFC 9919 §7). A revocation drops what was said of its certificates before anybody hears that it is
 * done. Whatever has to be signed is bounded by a rate, since anybody may ask.
 */
import { parseBase64, toBase64 } from '../../wire/bytes/base64.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { encodeOcspRequest, type OcspRequest, parseOcspRequest } from '../../wire/ocsp/request.ts';
import type { Unsuccessful } from '../../wire/ocsp/response.ts';
import type { Clock } from '../ports/clock.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { LiveConnections } from '../ports/liveConnections.ts';
import type { SignedAnswer, StatusAuthority } from '../ports/statusAuthority.ts';
import { type Rate, TokenBucket } from './tokenBucket.ts';

export interface AnswerLimits {
  /** Answers that are kept. */
  readonly answers: number;
  /** Signatures for questions that no kept answer fits: with a nonce, or for the first time. */
  readonly signing: Rate;
  /** A kept answer is replaced when it is so old. */
  readonly refreshMs: number;
}

export const answerLimits: AnswerLimits = {
  answers: 100_000,
  signing: { perSecond: 500, burst: 1_000 },
  refreshMs: 900_000,
};

/** Before an answer has to be replaced it is asked for anew in the background, so that nobody waits. */
const aheadMs = 60_000;

export interface AnswersOptions {
  readonly authority: Pick<StatusAuthority, 'ocsp'>;
  readonly clock: Clock;
  readonly limits?: Partial<AnswerLimits>;
  /** An answer could not be renewed; the old one serves on while it is good. */
  readonly onTrouble?: (error: unknown) => void;
}

/** An answer as it goes to a client. */
export interface DoorAnswer {
  readonly answer: SignedAnswer;
  /** From then on there is a newer one here, as far as the authority can be reached. */
  readonly freshUntilMs: number;
}

/** The authority is away: an answer that should have been replaced serves on, and is asked for again soon. */
const staleForMs = 60_000;

export class Answers implements LiveConnections {
  readonly name = 'status answers';
  readonly #options: AnswersOptions;
  readonly #limits: AnswerLimits;
  readonly #signing: TokenBucket;
  /** By authority and request, oldest first. */
  readonly #kept = new Map<string, DoorAnswer>();
  readonly #byHolder = new Map<string, Set<string>>();
  readonly #coming = new Map<string, Promise<SignedAnswer | Unsuccessful>>();
  /** Holders of whom something was revoked here that the authority may not have heard of yet. */
  readonly #unsettled = new Set<string>();

  constructor(options: AnswersOptions) {
    this.#options = options;
    this.#limits = { ...answerLimits, ...options.limits };
    this.#signing = new TokenBucket(this.#limits.signing, options.clock);
  }

  get size(): number {
    return this.#kept.size;
  }

  /**
   * `request` in base64, as a GET has it in its path. `undefined` when it has to be asked for: this is
   * the way of nearly all questions, and it waits for nothing.
   */
  kept(authority: string, request: string): DoorAnswer | undefined {
    const key = keyOf(authority, request);
    const found = this.#kept.get(key);
    if (found === undefined) return undefined;
    const nowMs = this.#options.clock.nowMs();
    if (nowMs >= found.freshUntilMs) return undefined;
    if (nowMs >= found.freshUntilMs - aheadMs) this.#renew(authority, request, key);
    return found;
  }

  /** The same for every question. Never rejects but for defects of ours. */
  async answer(authority: string, request: string): Promise<DoorAnswer | Unsuccessful> {
    const kept = this.kept(authority, request);
    if (kept !== undefined) return kept;
    const der = parseBase64(request);
    const parsed = der && parsedOr(der);
    if (der === undefined || parsed === undefined) return 'malformedRequest';
    const plain = plainOf(parsed);
    if (plain === undefined) return this.#answerOnce(authority, der);
    return this.keep(authority, plain);
  }

  /** The same for exactly this request, which is kept whatever it asks: not for what strangers send. */
  async keep(authority: string, request: string): Promise<DoorAnswer | Unsuccessful> {
    // The same question in other words, for example with a requestor's name, may have been here before.
    const kept = this.kept(authority, request);
    if (kept !== undefined) return kept;
    const key = keyOf(authority, request);
    const old = this.#kept.get(key);
    const coming =
      this.#coming.get(key) ??
      (this.#signing.take() ? this.#fetch(authority, request, key) : undefined);
    const answer = coming === undefined ? 'tryLater' : this.#atDoor(await coming);
    return (answer === 'tryLater' ? this.#stillGood(key, old) : undefined) ?? answer;
  }

  /**
   * Something of these holders was revoked here. What was said of them is forgotten, and nothing new is
   * said before `settle`: the authority signs what it knows, and it may not know yet.
   */
  drop(holders: ReadonlySet<string>): Promise<number> {
    for (const holder of holders) this.#unsettled.add(holder);
    return Promise.resolve(this.forget(holders));
  }

  dropCertificate(_sha256: Uint8Array, holder: string): Promise<number> {
    return this.drop(new Set([holder]));
  }

  unsettled(): ReadonlySet<string> {
    return new Set(this.#unsettled);
  }

  /** The authority knows everything that was revoked of them before `unsettled` was asked. */
  settle(holders: ReadonlySet<string>): void {
    for (const holder of holders) this.#unsettled.delete(holder);
    this.forget(holders);
  }

  /** Their status has changed at the authority. Returns how many answers were dropped. */
  forget(holders: ReadonlySet<string>): number {
    // What is under way may be older than the change; whoever asks from now on must not get it.
    this.#coming.clear();
    let dropped = 0;
    for (const holder of holders) {
      for (const key of this.#byHolder.get(holder) ?? []) {
        this.#drop(key);
        dropped += 1;
      }
    }
    return dropped;
  }

  /** When what has changed is not known: everything. */
  forgetAll(): void {
    this.#coming.clear();
    this.#kept.clear();
    this.#byHolder.clear();
  }

  /** A nonce, or several certificates: nobody will ask exactly this again. */
  async #answerOnce(authority: string, der: Uint8Array): Promise<DoorAnswer | Unsuccessful> {
    if (!this.#signing.take()) return 'tryLater';
    return this.#atDoor(await this.#ask(authority, der));
  }

  #renew(authority: string, request: string, key: string): void {
    if (this.#coming.has(key) || !this.#signing.take()) return;
    void this.#fetch(authority, request, key);
  }

  #fetch(authority: string, request: string, key: string): Promise<SignedAnswer | Unsuccessful> {
    const coming = this.#ask(authority, parseBase64(request) ?? new Uint8Array(0)).then(
      (answer) => {
        if (this.#coming.get(key) === coming) {
          this.#coming.delete(key);
          if (typeof answer !== 'string') this.#keep(key, answer);
        }
        return answer;
      },
    );
    this.#coming.set(key, coming);
    return coming;
  }

  async #ask(authority: string, der: Uint8Array): Promise<SignedAnswer | Unsuccessful> {
    try {
      const answer = await this.#options.authority.ocsp(authority, der);
      return typeof answer !== 'string' && this.#isUnsettled(answer) ? 'tryLater' : answer;
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
      this.#options.onTrouble?.(error);
      return 'tryLater';
    }
  }

  #isUnsettled({ holders }: SignedAnswer): boolean {
    return this.#unsettled.size > 0 && holders.some((holder) => this.#unsettled.has(holder));
  }

  /** An answer past its time of renewal, when no newer one could be had; not one that was dropped since. */
  #stillGood(key: string, old: DoorAnswer | undefined): DoorAnswer | undefined {
    if (old === undefined || this.#kept.get(key) !== old) return undefined;
    const nowMs = this.#options.clock.nowMs();
    const { nextUpdateMs } = old.answer;
    if (nowMs >= nextUpdateMs) return undefined;
    return { answer: old.answer, freshUntilMs: Math.min(nowMs + staleForMs, nextUpdateMs) };
  }

  #keep(key: string, answer: SignedAnswer): void {
    this.#drop(key);
    this.#kept.set(key, this.#fresh(answer));
    for (const holder of answer.holders) {
      const keys = this.#byHolder.get(holder);
      if (keys === undefined) this.#byHolder.set(holder, new Set([key]));
      else keys.add(key);
    }
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > this.#limits.answers && oldest !== undefined) this.#drop(oldest);
  }

  #drop(key: string): void {
    const known = this.#kept.get(key);
    if (known === undefined) return;
    this.#kept.delete(key);
    for (const holder of known.answer.holders) {
      const keys = this.#byHolder.get(holder);
      keys?.delete(key);
      if (keys?.size === 0) this.#byHolder.delete(holder);
    }
  }

  #atDoor(answer: SignedAnswer | Unsuccessful): DoorAnswer | Unsuccessful {
    return typeof answer === 'string' ? answer : this.#fresh(answer);
  }

  #fresh(answer: SignedAnswer): DoorAnswer {
    const { thisUpdateMs, nextUpdateMs } = answer;
    const freshUntilMs = Math.min(thisUpdateMs + this.#limits.refreshMs, nextUpdateMs);
    return { answer, freshUntilMs };
  }
}

function keyOf(authority: string, request: string): string {
  return `${authority}/${request}`;
}

/** The request in base64 with everything left out that the answer does not depend on. */
function plainOf({ certIds, nonce }: OcspRequest): string | undefined {
  const [certId] = certIds;
  if (nonce !== undefined || certIds.length !== 1 || certId === undefined) return undefined;
  return toBase64(encodeOcspRequest(certId.der));
}

function parsedOr(der: Uint8Array): OcspRequest | undefined {
  try {
    return parseOcspRequest(der);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
