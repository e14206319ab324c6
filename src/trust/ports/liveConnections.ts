/** Whatever of a peer is alive in this process: sockets, broker clients, sessions. */

export interface LiveConnections {
  /** Names what is counted: `tls`, `mqtt`, `session`. */
  readonly name: string;
  /**
   * Ends everything of these holders at once: sockets are destroyed, wills and queues dropped, keys
   * wiped. Nothing that arrives afterwards on what was ended is acted upon. Resolves with the number of
   * what was ended.
   */
  drop(holders: ReadonlySet<string>): Promise<number>;
  /** The same for what one certificate of the holder opened; other connections of theirs may stay. */
  dropCertificate(sha256: Uint8Array, holder: string): Promise<number>;
}
