/**
 * `npm run bench -- NAME [--json]`: measures a thing and its physical limit in one run. A bench is a file
 * of this folder that exports `run`; without a name the benches are listed. The exit code says whether
 * the bench ran, never whether a promise holds: speed is judged by whoever knows the machine.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { BenchResult } from './result.ts';

interface BenchModule {
  /** `options`: the words behind the name, but for `--json`. */
  readonly run: (options: readonly string[]) => BenchResult | Promise<BenchResult>;
}

const folder = dirname(fileURLToPath(import.meta.url));
const notBenches = new Set(['run.ts', 'result.ts']);
const benches = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && !notBenches.has(file))
  .map((file) => file.slice(0, -3))
  .sort();

const words = process.argv.slice(2);
const json = words.includes('--json');
const [name, ...options] = words.filter((word) => word !== '--json');

if (name === undefined) {
  for (const bench of benches) process.stdout.write(`${bench.padEnd(12)} ${aboutOf(bench)}\n`);
} else if (benches.includes(name)) {
  const { run } = (await import(pathToFileURL(join(folder, `${name}.ts`)).href)) as BenchModule;
  tell(name, await run(options));
} else {
  process.stderr.write(`no bench ${name}; there are ${benches.join(', ')}\n`);
  process.exitCode = 2;
}

/** The first sentence of the comment that opens the file. */
function aboutOf(bench: string): string {
  const text = readFileSync(join(folder, `${bench}.ts`), 'utf8');
  const [, comment = ''] = /^\/\*\*([\s\S]*?)\*\//.exec(text) ?? [];
  return (
    comment
      .replaceAll(/\s*\n \*\s?/g, ' ')
      .trim()
      .split(/(?<=\.)\s/)[0] ?? ''
  );
}

function tell(bench: string, { rows, promises }: BenchResult): void {
  const width = Math.max(0, ...[...rows, ...promises].map((entry) => entry.name.length));
  for (const { name, value, unit } of rows) {
    process.stdout.write(`${name.padEnd(width)}  ${text(value).padStart(12)} ${unit}\n`);
  }
  for (const { name, target, measured, holds } of promises) {
    const verdict = holds ? 'holds' : 'does not hold here';
    process.stdout.write(
      `${name.padEnd(width)}  ${text(measured).padStart(12)} promised ${text(target)}: ${verdict}\n`,
    );
  }
  if (json) process.stdout.write(`${JSON.stringify({ bench, rows, promises })}\n`);
}

function text(value: number): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: 3 });
}
