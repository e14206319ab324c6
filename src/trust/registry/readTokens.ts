/**
 * Bearer tokens (RFC 6750) of applications and automation that have no certificate: they read, they end,
 * and they never act. What acts is known by its certificate.
 */
import { toBase32 } from '../../wire/bytes/base32.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { TokenRecord, TokenStore } from '../ports/tokenStore.ts';

export interface ReadTokenOptions {
  readonly store: TokenStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
}

export interface CreatedToken extends TokenRecord {
  /** Told once, and known to nobody afterwards. */
  readonly token: string;
}

/** Who reads with a token. */
export interface Reader {
  readonly id: number;
  readonly holder: string;
}

/** A token that outlives this is a password that nobody changes. */
export const maximumTokenMs: number = 366 * 86_400_000;
/** Marks the text for scanners that look for secrets in the wrong places. */
const prefix = 'bmr_';

export class ReadTokens {
  readonly #options: ReadTokenOptions;

  constructor(options: ReadTokenOptions) {
    this.#options = options;
  }

  async create(holder: string, lifetimeMs: number): Promise<CreatedToken | Refusal<'rejected'>> {
    const { store, crypto, clock } = this.#options;
    if (lifetimeMs <= 0 || lifetimeMs > maximumTokenMs) {
      return refuse('rejected', 'A token lives a year at most.');
    }
    // 160 bits: nobody finds one by trying, so that a plain hash of it may be kept.
    const token = `${prefix}${toBase32(crypto.random(20))}`;
    const createdMs = clock.nowMs();
    const record = { holder, createdMs, expiresMs: createdMs + lifetimeMs };
    const id = await store.add(record, this.#hash(token));
    return { id, ...record, revokedMs: undefined, token };
  }

  /** A page, newest first; those older than the token `before`. */
  tokens(limit: number, before?: number): Promise<readonly TokenRecord[]> {
    return this.#options.store.tokens(limit, before);
  }

  async revoke(id: number): Promise<undefined | Refusal<'unknown'>> {
    const { store, clock } = this.#options;
    const changed = await store.revoke(id, clock.nowMs());
    return changed ? undefined : refuse('unknown', 'No such token is open.');
  }

  /** Whose token it is; `undefined` for a wrong, revoked or late one, between which nobody is told. */
  async verify(token: string): Promise<Reader | undefined> {
    const { store, clock } = this.#options;
    const known = await store.token(this.#hash(token));
    if (known === undefined || known.revokedMs !== undefined) return undefined;
    return clock.nowMs() < known.expiresMs ? { id: known.id, holder: known.holder } : undefined;
  }

  #hash(token: string): Uint8Array {
    return this.#options.crypto.hash('SHA-256', utf8(token));
  }
}
