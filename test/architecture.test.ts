/** Holds ARCHITECTURE.md against the tree: its table against every import, and where SQL is spoken. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const rings = ['wire', 'trust', 'device', 'drivers', 'servers', 'apps'];
const outside = ['sim', 'bench', 'test'];
const sqlFolders = ['src/drivers/store/', 'src/apps/fsck/'];

const table = readTable(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8'));
const files = [...rings.map((ring) => `src/${ring}`), ...outside].flatMap(sourceFiles);

test('the table and the tree were read', () => {
  assert.ok(table.size > 20, `only ${table.size} rows read`);
  assert.ok(files.length > 20, `only ${files.length} files read`);
});

test('every import is allowed by the table', () => {
  const findings = files.flatMap((file) =>
    importsOf(file).flatMap((specifier) => judge(file, specifier) ?? []),
  );
  assert.deepEqual(findings, []);
});

test('every module has a row, and every row a module', () => {
  const modules = new Set(files.map(moduleOf));
  const missing = [...modules].filter((module) => rowOf(module) === undefined);
  const idle = [...table.keys()].filter(
    (row) => ![...modules].some((module) => module === row || module.startsWith(`${row}/`)),
  );
  assert.deepEqual({ missing, idle }, { missing: [], idle: [] });
});

test('a forbidden import would be found', () => {
  assert.match(
    judge('src/wire/cbor/reader.ts', '../edhoc/x.ts') ?? '',
    /may not import wire\/edhoc/,
  );
  assert.match(judge('src/wire/cbor/reader.ts', 'node:fs') ?? '', /may not import node/);
  assert.match(
    judge('src/trust/registry/x.ts', '../../drivers/store/y.ts') ?? '',
    /may not import/,
  );
  assert.match(judge('src/apps/line/x.ts', '../../../sim/radio.ts') ?? '', /may not import sim/);
});

test('SQL is spoken by the stores, and by the checker, which believes them nothing', () => {
  const others = files.filter(
    (file) => file.startsWith('src/') && !sqlFolders.some((folder) => file.startsWith(folder)),
  );
  assert.ok(others.length > 20 && others.length < files.length);
  assert.deepEqual(
    others.filter((file) => speaksSql(codeOf(file))),
    [],
  );
  assert.ok(speaksSql('const select = `\n  SELECT\n    id FROM units`;'));
  assert.ok(speaksSql("connection.run('DELETE FROM settings')"));
  assert.ok(!speaksSql('const selected = select(INSERT, UPDATED);'));
});

function readTable(markdown: string): Map<string, readonly string[]> {
  const body = markdown.slice(markdown.indexOf('|---|---|'));
  const rows = body.matchAll(/^\| ([a-z0-9/]+) \| ?([a-z0-9/, ]*)\|$/gm);
  return new Map(
    [...rows].map(([, module = '', allowed = '']) => [
      module,
      allowed.split(',').flatMap((word) => word.trim() || []),
    ]),
  );
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !file.startsWith('test/vectors/'));
}

/** Static imports, re-exports, side-effect imports and import() with a literal. */
function importsOf(file: string): string[] {
  const pattern = /(?:^|[\s}])(?:from|import)\s*\(?\s*'([^'\n]+)'/g;
  return [...codeOf(file).matchAll(pattern)].map(([, specifier = '']) => specifier);
}

/** Without lines that are comments. */
function codeOf(file: string): string {
  return readFileSync(join(root, file), 'utf8').replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '');
}

/** Keywords as every statement in the tree has them, in capitals. */
function speaksSql(code: string): boolean {
  return /\b(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|PRAGMA)\s/.test(code);
}

function judge(file: string, specifier: string): string | undefined {
  const from = moduleOf(file);
  const allowed = rowOf(from) ?? [];
  const to = targetOf(file, specifier);
  if (to === from || allowed.some((word) => to === word || to.startsWith(`${word}/`)))
    return undefined;
  return `${file}: ${from} may not import ${to} (${specifier})`;
}

function targetOf(file: string, specifier: string): string {
  if (specifier.startsWith('node:')) return 'node';
  if (!specifier.startsWith('.')) return 'npm';
  return moduleOf(posix.join(posix.dirname(file), specifier));
}

/** `src/wire/der/reader.ts` is in module `wire/der`; sim, bench and test are one module each. */
function moduleOf(file: string): string {
  const parts = file.split('/');
  if (parts[0] !== 'src') return parts[0] ?? '';
  return parts.length > 3 ? parts.slice(1, 3).join('/') : (parts[1] ?? '');
}

function rowOf(module: string): readonly string[] | undefined {
  return table.get(module) ?? table.get(module.split('/')[0] ?? '');
}
