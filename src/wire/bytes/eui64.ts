/** Arithmetic on EUI-64s, the 8-byte addresses that an order hands out one after the other. */

/** The address `offset` places behind `first`; `undefined` beyond the last possible address. */
export function eui64Plus(first: Uint8Array, offset: number): Uint8Array | undefined {
  if (first.length !== 8 || !Number.isSafeInteger(offset) || offset < 0) {
    throw new TypeError('an EUI-64 has 8 bytes and an offset is a whole number');
  }
  const sum = first.slice();
  let carry = offset;
  for (let index = 7; index >= 0 && carry > 0; index--) {
    carry += sum[index] ?? 0;
    sum[index] = carry % 256;
    carry = Math.floor(carry / 256);
  }
  return carry === 0 ? sum : undefined;
}
