/**
 * Which of an authority's lists a certificate is on. The number of lists is fixed when the authority is
 * made and the choice depends on the serial number alone, so that certificate, list and whoever looks
 * for one agree for decades without asking each other.
 */

/** With 20,000 entries in a list of 1 MB, enough for eighty million revocations of one authority. */
export const maximumShards = 4096;

/** A power of two, so that the low bits of a random serial number choose evenly. */
export function isShardCount(shards: number): boolean {
  return (
    Number.isInteger(shards) &&
    shards >= 1 &&
    shards <= maximumShards &&
    (shards & (shards - 1)) === 0
  );
}

/** `serialNumber`: magnitude, big-endian. */
export function shardOf(serialNumber: Uint8Array, shards: number): number {
  const last = serialNumber.length - 1;
  return (((serialNumber[last - 1] ?? 0) << 8) | (serialNumber[last] ?? 0)) & (shards - 1);
}
