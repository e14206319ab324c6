/**
 * Crockford's base32 in lower case: no i, l, o, u, so that an identifier survives being read aloud or
 * copied by hand. Used for device ids: 80 bits in 16 characters.
 */

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';

/** The length in bits has to be a multiple of five: 5, 10, 15, ... bytes. */
export function toBase32(bytes: Uint8Array): string {
  if (bytes.length % 5 !== 0) throw new TypeError('base32 takes a multiple of five bytes');
  let text = '';
  for (let start = 0; start < bytes.length; start += 5) {
    // Forty bits at a time, which a double holds exactly.
    let group = 0;
    for (let index = start; index < start + 5; index++) group = group * 256 + (bytes[index] ?? 0);
    for (let place = 2 ** 35; place >= 1; place /= 32) {
      text += alphabet.charAt(Math.floor(group / place) % 32);
    }
  }
  return text;
}
