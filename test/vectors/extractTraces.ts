/**
 * Extracts vectors from the text of an RFC or draft on EDHOC: `node extractTraces.ts TEXT CHAPTER OUT`.
 * Every block of hexadecimal digits below the chapter is taken, with the lines that name it.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface Value {
  section: string;
  name: string;
  form: string;
  hex: string;
}

const [textFile, wantedChapter, output] = process.argv.slice(2);
if (textFile === undefined || wantedChapter === undefined || output === undefined) {
  throw new TypeError('extractTraces.ts TEXT CHAPTER OUT');
}

const values: Value[] = [];
let chapter = '';
let section = '';
let block: string[] | undefined;
for (const line of readFileSync(textFile, 'utf8').split('\n')) {
  if (/^~{4,}/.test(line)) {
    if (block !== undefined && chapter.includes(wantedChapter)) take(block);
    block = block === undefined ? [] : undefined;
  } else if (block !== undefined) {
    block.push(line.trim());
  } else if (/^#+ /.test(line)) {
    section = line.replace(/^#+ /, '').replace(/ *#? *\{.*$/, '').replace(/ #$/, '');
    if (line.startsWith('# ')) chapter = section;
  }
}
writeFileSync(output, `${JSON.stringify(values, undefined, 1)}\n`);
process.stdout.write(`${output}: ${values.length}\n`);

/** The last line before the digits names the value, its form and its length: `TH_2 (Raw Value) (32 bytes)`. */
function take(lines: string[]): void {
  const digits = lines.findIndex((line) => /^([0-9a-f]{2})( [0-9a-f]{2})*$/i.test(line));
  const title = lines.slice(0, digits === -1 ? lines.length : digits);
  const hex = digits === -1 ? '' : lines.slice(digits).join('').replaceAll(' ', '').toLowerCase();
  if (!/^([0-9a-f]{2})*$/.test(hex)) return;
  const last = title.at(-1) ?? '';
  const length = /\((\d+) bytes?\)/.exec(last)?.[1];
  if (length === undefined && hex === '') return;
  if (length !== undefined && hex.length !== 2 * Number(length)) {
    process.stderr.write(`${section}, ${last}: there are ${hex.length / 2} bytes\n`);
  }
  const form = /\((Raw Value|CBOR[^)]*)\)/i.exec(last)?.[1]?.replace('raw value', 'Raw Value') ?? '';
  const bare = (text: string): string => text.replace(/ *\((Raw Value|CBOR|ECDH|\d+ byte|int).*$/i, '');
  const name = bare(last) || bare(title.join(' '));
  values.push({ section, name, form, hex });
}
