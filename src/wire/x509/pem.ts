/** Textual encodings (RFC 7468): strict for what we wrote ourselves, tolerant for files of others. */
import { parseBase64, toBase64 } from '../bytes/base64.ts';
import { MalformedError } from '../bytes/malformed.ts';

/** Labels of RFC 7468 that we write. */
export type PemLabel =
  | 'CERTIFICATE'
  | 'CERTIFICATE REQUEST'
  | 'X509 CRL'
  | 'PKCS7'
  | 'PRIVATE KEY'
  | 'ENCRYPTED PRIVATE KEY'
  | 'PUBLIC KEY';

export interface PemBlock {
  readonly label: string;
  readonly der: Uint8Array;
}

/** Longest text that is read; blocks of one text at most. */
const maximumTextLength = 4_194_304;
const maximumBlocks = 4096;

/** Lines of 64 characters, ended by LF (RFC 7468 §2). */
export function encodePem(label: PemLabel, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.map((line) => `${line}\n`).join('')}-----END ${label}-----\n`;
}

/** The one block that the text is, in the strict form of RFC 7468 §3, and of this label. */
export function parsePem(text: string, label: PemLabel): Uint8Array {
  const [block, ...more] = readBlocks(text, 'strict');
  if (block === undefined || more.length > 0) fail(0, 'not one block');
  if (block.label !== label) fail(0, `${label} expected`);
  return block.der;
}

/**
 * All blocks, in order, as people's files have them: text between the blocks, any line ends and lengths,
 * blanks at line ends. A block whose content is not base64, or which has no end, is refused.
 */
export function findPem(text: string): readonly PemBlock[] {
  return readBlocks(text, 'tolerant');
}

type Strictness = 'strict' | 'tolerant';

function readBlocks(text: string, strictness: Strictness): readonly PemBlock[] {
  if (text.length > maximumTextLength) fail(0, `text longer than ${maximumTextLength}`);
  const blocks: PemBlock[] = [];
  let offset = 0;
  for (;;) {
    const begin = text.indexOf('-----BEGIN ', offset);
    if (begin < 0) break;
    if (strictness === 'strict' && begin > offset) fail(offset, 'text before a block');
    const { block, end } = readBlock(text, begin, strictness);
    blocks.push(block);
    if (blocks.length > maximumBlocks) fail(begin, `more than ${maximumBlocks} blocks`);
    offset = end;
  }
  if (strictness === 'strict' && offset < text.length) fail(offset, 'text behind the last block');
  return blocks;
}

function readBlock(
  text: string,
  begin: number,
  strictness: Strictness,
): { block: PemBlock; end: number } {
  const labelStart = begin + '-----BEGIN '.length;
  const labelEnd = text.indexOf('-----', labelStart);
  const label = text.slice(labelStart, Math.max(labelStart, labelEnd));
  // RFC 7468 §3: printable characters without hyphens, no blank at either end.
  if (labelEnd < 0 || !/^[!-,.-~]([ -,.-~]{0,62}[!-,.-~])?$/.test(label)) fail(begin, 'no label');
  const contentStart = labelEnd + 5;
  const boundary = `-----END ${label}-----`;
  const contentEnd = text.indexOf(boundary, contentStart);
  if (contentEnd < 0) fail(begin, `no end of ${label}`);
  const content = text.slice(contentStart, contentEnd);
  const der = strictness === 'strict' ? strictContent(content) : tolerantContent(content);
  if (der === undefined || der.length === 0) fail(contentStart, 'content is not base64');
  const behind = contentEnd + boundary.length;
  const lineEnd = /^\r?\n/.exec(text.slice(behind, behind + 2))?.[0].length ?? 0;
  if (strictness === 'strict' && lineEnd === 0 && behind < text.length) {
    fail(behind, 'no line end behind a block');
  }
  return { block: { label, der }, end: behind + lineEnd };
}

/** RFC 7468 §3, stricttextualmsg: full lines of 64 characters, then one of at most 64. */
function strictContent(content: string): Uint8Array | undefined {
  const shape = /^\r?\n(?:[A-Za-z0-9+/]{64}\r?\n)*(?:[A-Za-z0-9+/]{1,63}={0,2}\r?\n)?$/;
  return shape.test(content) ? parseBase64(content.replaceAll(/[\r\n]/g, '')) : undefined;
}

function tolerantContent(content: string): Uint8Array | undefined {
  return parseBase64(content.replaceAll(/[ \t\r\n\v\f]/g, ''));
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('pem', offset, problem);
}
