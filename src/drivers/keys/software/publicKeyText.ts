/**
 * A public key as node:crypto takes it fastest: PEM, as one bare text. Of an options object, and of bytes,
 * Node finds out by catching what a native function throws whether it is a key already, and the traces of
 * those exceptions cost more than the base64: an import takes 13 µs in place of 36.
 */
export function publicKeyText(spki: Uint8Array): string {
  // By way of a copy where it is short: to ask a short array for its `buffer` moves it out of the heap.
  const base64 = Buffer.from(spki).toString('base64');
  return `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`;
}
