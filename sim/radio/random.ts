/** Seeded randomness for simulations: the same seed gives the same story. Worthless for keys. */

export interface SeededRandom {
  /** In [0, 1). */
  next(): number;
  /** An integer in [0, limit). */
  below(limit: number): number;
  bytes(lengthBytes: number): Uint8Array;
}

/** A 32-bit xorshift generator behind a mixer, so that neighbouring seeds tell different stories. */
export function seededRandom(seed: number): SeededRandom {
  let state = mix(seed | 0) || 0x9e37_79b9;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    below,
    bytes: (lengthBytes) => Uint8Array.from({ length: lengthBytes }, () => below(256)),
  };
}

function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x45d9_f3b5);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x045d_9f3b);
  return mixed ^ (mixed >>> 16);
}
