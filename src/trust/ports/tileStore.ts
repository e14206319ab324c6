/**
 * Where a log's tiles and its checkpoint lie as files (C2SP tlog-tiles), for anybody to copy and check.
 * Tiles never change once they are there; the checkpoint is replaced as a whole.
 */

export interface LogFile {
  /** As tlog-tiles names it, for example `tile/0/x001/x234/067.p/8`. */
  readonly path: string;
  readonly content: Uint8Array;
}

/** Reading alone: also of a copy. Rejects with an `EnvironmentError` when the disk fails. */
export interface LogFiles {
  /** `undefined` when there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>;
}

export interface TileStore extends LogFiles {
  /**
   * Durable when it resolves. A file that is there with the same content is left; with another content
   * the call rejects with an `EnvironmentError`, not retryable.
   */
  write(files: readonly LogFile[]): Promise<void>;
  /** Atomic and durable: a reader finds the file of before, or this one. */
  replace(file: LogFile): Promise<void>;
  /** Removes the partial tiles that these full tiles replace. */
  dropPartials(fullTiles: readonly string[]): Promise<void>;
}

export const checkpointFile = 'checkpoint';
/** The log's verifier key, for whoever gets a copy and trusts its bringer. */
export const keyFile = 'key';
