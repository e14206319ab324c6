/**
 * Bodies of EST (RFC 7030 as amended by RFC 8951): DER in base64. What clients and servers in the field
 * send differs in line ends, lengths and armour, so reading takes all of it; writing has a choice.
 */
import { parseBase64, toBase64 } from '../bytes/base64.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';
import { findPem } from '../x509/pem.ts';

/** Longest body that is read: a request with an ML-DSA-87 key takes 10 kB in base64. */
export const maximumBodyBytes = 65_536;

/**
 * `line`: one line with LF, which suits most clients up to about 1 kB. `wrap64`: lines of 64 characters
 * with LF, for clients that cannot read a longer line. RFC 8951 §3.1 demands neither.
 */
export type Framing = 'line' | 'wrap64';

export function encodeBody(der: Uint8Array, framing: Framing = 'line'): Uint8Array {
  const text = toBase64(der);
  const lines = framing === 'line' ? [text] : (text.match(/.{1,64}/g) ?? []);
  return utf8(lines.map((line) => `${line}\n`).join(''));
}

/**
 * DER of a body: base64 with any white space between (RFC 8951 §3.1: SHOULD tolerate CR, LF, SP and
 * TAB), a PEM block, or DER as it is, whatever Content-Transfer-Encoding said. Whether it is DER is for
 * its reader. Throws a `MalformedError` otherwise.
 */
export function decodeBody(body: Uint8Array): Uint8Array {
  if (body.length > maximumBodyBytes) fail(maximumBodyBytes, 'body too long');
  // 0x30 is SEQUENCE, and as a character the digit 0, with which no base64 of a SEQUENCE begins.
  if (body[0] === 0x30) return body;
  const text = asciiText(body);
  if (text.includes('-----BEGIN ')) {
    const [block, ...more] = findPem(text);
    return block !== undefined && more.length === 0 ? block.der : fail(0, 'not one PEM block');
  }
  const der = parseBase64(text.replaceAll(/[\r\n\t ]/g, ''));
  return der !== undefined && der.length > 0 ? der : fail(0, 'body is not base64');
}

function asciiText(body: Uint8Array): string {
  let text = '';
  for (const [offset, octet] of body.entries()) {
    if (octet > 0x7e) fail(offset, 'body is not base64');
    text += String.fromCharCode(octet);
  }
  return text;
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('est', offset, problem);
}
