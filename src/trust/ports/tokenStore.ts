/** Bearer tokens of the API, as a store. A token is kept as a hash: whoever reads the store has none. */

export interface TokenRecord {
  readonly id: number;
  /** Of the program that has it, for people. */
  readonly holder: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly revokedMs: number | undefined;
}

export interface TokenStore {
  /** Returns its number. */
  add(token: Omit<TokenRecord, 'id' | 'revokedMs'>, sha256: Uint8Array): Promise<number>;
  token(sha256: Uint8Array): Promise<TokenRecord | undefined>;
  /** Newest first; those older than the token `before`. */
  tokens(limit: number, before?: number): Promise<readonly TokenRecord[]>;
  /** False for one that is revoked or unknown. */
  revoke(id: number, atMs: number): Promise<boolean>;
  /** Whatever counts now. */
  revokeAll(atMs: number): Promise<void>;
}
