/** Documents that leave the authority: manifests and yield reports, by name. */
export interface DocumentStore {
  /**
   * Takes the place of an earlier document of that name. Whole and durable when the promise resolves,
   * with the SHA-256 of its UTF-8 text.
   */
  write(name: string, chunks: AsyncIterable<string>): Promise<Uint8Array>;
}
