/**
 * Answers of the API to requests that carried an idempotency key. Whoever lost the answer asks again with
 * the same key and gets the same bytes, also after a restart; the act is not done twice.
 */

export interface KeptAnswer {
  /** SHA-256 over what was asked: the same key for something else is a mistake of the caller. */
  readonly fingerprint: Uint8Array;
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly keptMs: number;
}

export interface AnswerStore {
  answer(caller: string, key: string): Promise<KeptAnswer | undefined>;
  /** Durable when it resolves; the first answer of a key stays. Answers kept before `dropBeforeMs` go. */
  keep(caller: string, key: string, answer: KeptAnswer, dropBeforeMs: number): Promise<void>;
}
