/** Lists that come in pages, as a whole. */

const pageSize = 1_000;

export async function everyEntry<Entry, Key>(
  page: (limit: number, behind: Key | undefined) => Promise<readonly Entry[]>,
  keyOf: (entry: Entry) => Key,
): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (;;) {
    const last = entries.at(-1);
    const more = await page(pageSize, last === undefined ? undefined : keyOf(last));
    entries.push(...more);
    if (more.length < pageSize) return entries;
  }
}
