/**
 * Runs the tests and closes with a line that counts them. `--nightly` adds the long campaigns. Arguments
 * select files by substring: `npm test -- edhoc`. Where CI is set a skipped test is a failure.
 */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const folder = dirname(fileURLToPath(import.meta.url));
const words = process.argv.slice(2).filter((word) => !word.startsWith('--'));
const nightly = process.argv.includes('--nightly');
if (nightly) {
  process.env['BIRTHMARK_NIGHTLY'] = '1';
  process.env['BIRTHMARK_SEED'] ??= String(Math.floor(Math.random() * 0x7fff_ffff));
  process.stdout.write(`seed: BIRTHMARK_SEED=${process.env['BIRTHMARK_SEED']}\n`);
}

const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
  .map((entry) => join(entry.parentPath, entry.name))
  .filter(
    (file) => words.length === 0 || words.some((word) => relative(folder, file).includes(word)),
  )
  .sort();

if (files.length === 0) {
  process.stderr.write(`no test file matches ${words.join(' ')}\n`);
  process.exit(2);
}

const counts = { passed: 0, failed: 0, skipped: 0 };
const skips: string[] = [];
const stream = run({
  files,
  execArgv: ['--import', join(folder, 'support/seed.ts')],
  concurrency: Math.max(2, availableParallelism()),
  // Of each test: a campaign is one.
  timeout: nightly ? 6 * 3_600_000 : 240_000,
});
stream.on('test:pass', (event) => {
  if (event.details.type === 'suite') return;
  if (event.skip === undefined || event.skip === false) counts.passed += 1;
  else {
    counts.skipped += 1;
    skips.push(`${event.name}: ${String(event.skip)}`);
  }
});
stream.on('test:fail', (event) => {
  if (event.details.type !== 'suite') counts.failed += 1;
});
stream.on('end', () => {
  for (const skip of skips) process.stdout.write(`skipped: ${skip}\n`);
  const { passed, failed, skipped } = counts;
  process.stdout.write(`\n${passed} passed, ${failed} failed, ${skipped} skipped\n`);
  const strict = process.env['CI'] !== undefined && process.env['CI'] !== '';
  process.exitCode = failed > 0 || passed === 0 || (strict && skipped > 0) ? 1 : 0;
});
stream.compose(spec).pipe(process.stdout);
