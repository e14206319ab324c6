/** Pages of lists that grow: where the next one begins. */

/** Entries of a page. */
export const pageSizes = { usual: 100, most: 1000 } as const;

/** A full page has a successor, perhaps an empty one: counting what is left would read it all. */
export function nextOf<Entry>(
  entries: readonly Entry[],
  limit: number,
  keyOf: (entry: Entry) => string | number,
): { readonly next?: string | number } {
  const last = entries.at(-1);
  return last === undefined || entries.length < limit ? {} : { next: keyOf(last) };
}
