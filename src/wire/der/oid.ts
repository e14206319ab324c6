/** OBJECT IDENTIFIER values: dotted text as the program writes them, content octets as DER carries them. */
import { MalformedError } from '../bytes/malformed.ts';

/** Content octets of one identifier at most; the registered ones stay far below. */
const maximumBytes = 128;
/** Octets of one arc at most: 133 bits hold the UUID arcs below 2.25 (X.667 §7). */
const maximumArcBytes = 19;

/** Content octets, without tag and length. Throws a `TypeError` on anything but canonical dotted text. */
export function oidContent(dotted: string): Uint8Array {
  if (!/^[0-2](\.(0|[1-9][0-9]*))+$/.test(dotted)) throw new TypeError(`${dotted} is no OID`);
  const [root = '', second = '', ...rest] = dotted.split('.');
  if (root !== '2' && Number(second) > 39) throw new TypeError(`${dotted} is no OID`);
  const content: number[] = [];
  // X.690 §8.19.4: the first two arcs share one number.
  pushArc(content, second, Number(root) * 40);
  for (const arc of rest) pushArc(content, arc, 0);
  if (content.length > maximumBytes) throw new TypeError(`${dotted} is too long`);
  return Uint8Array.from(content);
}

/** Dotted text of content octets; `start` is where they stand in the input, for the offset of a fault. */
export function oidText(content: Uint8Array, start = 0): string {
  const fail = (problem: string, offset: number): never => {
    throw new MalformedError('der', start + offset, problem);
  };
  if (content.length === 0) return fail('empty OBJECT IDENTIFIER', 0);
  if (content.length > maximumBytes) return fail('OBJECT IDENTIFIER too long', 0);
  let text = '';
  let offset = 0;
  while (offset < content.length) {
    const arcStart = offset;
    // X.690 §8.19.2: a leading 0x80 is a padded arc.
    if (content[offset] === 0x80) fail('arc not in its shortest form', offset);
    let value = 0;
    for (let more = true; more; offset++) {
      const septet = content[offset] ?? fail('OBJECT IDENTIFIER ends inside an arc', arcStart);
      value = value * 128 + (septet & 0x7f);
      more = septet >= 0x80;
    }
    const size = offset - arcStart;
    if (size > maximumArcBytes) fail('arc too large', arcStart);
    // Up to six septets stay far below 2^53; larger arcs are rare enough for bigint.
    const arc = size <= 6 ? value : largeArc(content.subarray(arcStart, offset));
    text += arcStart === 0 ? rootArcs(arc) : `.${arc}`;
  }
  return text;
}

function largeArc(septets: Uint8Array): bigint {
  let value = 0n;
  for (const septet of septets) value = (value << 7n) | BigInt(septet & 0x7f);
  return value;
}

/** X.690 §8.19.4: the first two arcs share one number. */
function rootArcs(value: number | bigint): string {
  if (typeof value === 'bigint') return `2.${value - 80n}`;
  const root = value < 80 ? Math.floor(value / 40) : 2;
  return `${root}.${value - root * 40}`;
}

/** Appends the septets of `digits` + `addend`, most significant first. */
function pushArc(content: number[], digits: string, addend: number): void {
  const start = content.length;
  const value = Number(digits) + addend;
  if (value < 0x8000_0000) {
    for (let shift = 28; shift > 0; shift -= 7) {
      if (value >> shift > 0) content.push(0x80 | ((value >> shift) & 0x7f));
    }
    content.push(value & 0x7f);
    return;
  }
  const large = BigInt(digits) + BigInt(addend);
  content.push(Number(large & 0x7fn));
  for (let rest = large >> 7n; rest > 0n; rest >>= 7n) {
    content.splice(start, 0, 0x80 | Number(rest & 0x7fn));
  }
}
