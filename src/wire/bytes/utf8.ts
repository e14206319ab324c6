/** Strict UTF-8 (RFC 3629) without a platform API: no surrogates, no overlong forms, nothing above U+10FFFF. */

/** Throws a `TypeError` on a lone surrogate, which is the caller's mistake: no peer's text can hold one. */
export function utf8(text: string): Uint8Array {
  const ascii = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return beyondAscii(text);
    ascii[index] = unit;
  }
  return ascii;
}

function beyondAscii(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point >= 0xd800 && point <= 0xdfff) throw new TypeError('text holds a lone surrogate');
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), tail(point));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), tail(point >> 6), tail(point));
    else bytes.push(0xf0 | (point >> 18), tail(point >> 12), tail(point >> 6), tail(point));
  }
  return Uint8Array.from(bytes);
}

/** `undefined` when the bytes are not UTF-8. A leading byte order mark is kept as a character. */
export function fromUtf8(bytes: Uint8Array): string | undefined {
  let text = '';
  let offset = 0;
  while (offset < bytes.length) {
    const lead = bytes[offset++] ?? 0;
    const tails = lead < 0x80 ? 0 : lead < 0xc2 ? -1 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (tails < 0 || lead > 0xf4 || offset + tails > bytes.length) return undefined;
    let point = tails === 0 ? lead : lead & (0x3f >> tails);
    for (let count = 0; count < tails; count++) {
      const next = bytes[offset++] ?? 0;
      if ((next & 0xc0) !== 0x80) return undefined;
      point = (point << 6) | (next & 0x3f);
    }
    if (tails > 0 && point < (smallest[tails] ?? 0)) return undefined;
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return undefined;
    text += String.fromCodePoint(point);
  }
  return text;
}

/** Least code point that needs so many tail bytes; anything below is an overlong form. */
const smallest = [0, 0x80, 0x800, 0x10000];

function tail(point: number): number {
  return 0x80 | (point & 0x3f);
}
