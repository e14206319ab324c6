/**
 * Extracts the vectors from the text of RFC 9529: `node extract.ts TEXT FOLDER` writes trace1.json,
 * trace2.json and invalid.json. Blocks of hexadecimal digits are taken with the lines that name them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

interface Value {
  section: string;
  name: string;
  form: string;
  hex: string;
}

const [textFile, folder] = process.argv.slice(2);
if (textFile === undefined || folder === undefined) throw new TypeError('extract.ts TEXT FOLDER');

const values: Value[] = [];
const chapters: string[] = [];
let section = '';
let block: string[] | undefined;
for (const line of readFileSync(textFile, 'utf8').split('\n')) {
  if (/^~{4,}/.test(line)) {
    if (block !== undefined) take(block);
    block = block === undefined ? [] : undefined;
  } else if (block !== undefined) {
    block.push(line.trim());
  } else if (/^#+ /.test(line)) {
    section = line.replace(/^#+ /, '').replace(/ *#? *\{.*$/, '').replace(/ #$/, '');
    if (line.startsWith('# ')) chapters.push(section);
  }
}

/** The last line before the digits names the value, its form and its length: `TH_2 (Raw Value) (32 bytes)`. */
function take(lines: string[]): void {
  const digits = lines.findIndex((line) => /^([0-9a-f]{2})( [0-9a-f]{2})*$/i.test(line));
  const title = lines.slice(0, digits === -1 ? lines.length : digits);
  const hex = digits === -1 ? '' : lines.slice(digits).join('').replaceAll(' ', '').toLowerCase();
  if (!/^([0-9a-f]{2})*$/.test(hex)) return;
  const last = title.at(-1) ?? '';
  const length = /\((\d+) bytes?\)/.exec(last)?.[1];
  if (length === undefined && hex === '') return;
  if (length !== undefined && hex.length !== 2 * Number(length)) throw new Error(`${last}: length`);
  const form = /\((Raw Value|CBOR[^)]*)\)/i.exec(last)?.[1]?.replace('raw value', 'Raw Value') ?? '';
  const bare = (text: string): string => text.replace(/ *\((Raw Value|CBOR|ECDH|\d+ byte|int).*$/i, '');
  const name = bare(last) || bare(title.join(' '));
  values.push({ section: `${chapters.at(-1)} / ${section}`, name, form, hex });
}

const chapterOf = (word: string): Value[] =>
  values.filter((value) => value.section.split(' / ')[0]?.includes(word));
for (const [name, chapter] of [
  ['trace1', 'Signatures, X.509'],
  ['trace2', 'Static DH'],
  ['invalid', 'Invalid Traces'],
] as const) {
  const rows = chapterOf(chapter).map((value) => ({
    ...value,
    section: value.section.split(' / ')[1],
  }));
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(rows, undefined, 1)}\n`);
  process.stdout.write(`${name}: ${rows.length}\n`);
}
