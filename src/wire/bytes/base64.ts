/** Base64 and base64url (RFC 4648 §4 and §5) without a platform API, strict about alphabet and padding bits. */

const standard = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const urlSafe = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

export function toBase64(bytes: Uint8Array): string {
  const text = encode(bytes, standard);
  return text + '='.repeat((4 - (text.length % 4)) % 4);
}

/** Without padding, as JOSE uses it (RFC 7515 §2). */
export function toBase64url(bytes: Uint8Array): string {
  return encode(bytes, urlSafe);
}

/** Padded base64; `undefined` when the text is not. White space is the caller's matter (RFC 8951 §3.1). */
export function parseBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  return decode(text.slice(0, text.length - padding), standardValues);
}

/** Base64url without padding; `undefined` when the text is not. */
export function parseBase64url(text: string): Uint8Array | undefined {
  return decode(text, urlSafeValues);
}

const standardValues = valuesOf(standard);
const urlSafeValues = valuesOf(urlSafe);

function valuesOf(alphabet: string): Int8Array {
  const values = new Int8Array(128).fill(-1);
  for (let index = 0; index < 64; index++) values[alphabet.charCodeAt(index)] = index;
  return values;
}

function encode(bytes: Uint8Array, alphabet: string): string {
  let text = '';
  for (let offset = 0; offset < bytes.length; offset += 3) {
    const bits =
      ((bytes[offset] ?? 0) << 16) | ((bytes[offset + 1] ?? 0) << 8) | (bytes[offset + 2] ?? 0);
    text += alphabet.charAt(bits >> 18) + alphabet.charAt((bits >> 12) & 63);
    text += alphabet.charAt((bits >> 6) & 63) + alphabet.charAt(bits & 63);
  }
  return text.slice(0, Math.ceil((bytes.length * 4) / 3));
}

function decode(text: string, values: Int8Array): Uint8Array | undefined {
  const rest = text.length % 4;
  if (rest === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let bits = 0;
  let held = 0;
  let offset = 0;
  for (let index = 0; index < text.length; index++) {
    const value = values[text.charCodeAt(index)] ?? -1;
    if (value < 0) return undefined;
    bits = ((bits << 6) | value) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[offset++] = (bits >> held) & 255;
    }
  }
  // RFC 4648 §3.5: padding bits that are not zero would make two texts of one value.
  return (bits & ((1 << held) - 1)) === 0 ? bytes : undefined;
}
