/** The openssl command as a real peer: a second opinion on everything that we write. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const probe = spawnSync('openssl', ['version'], { encoding: 'utf8' });

/** For `test(name, { skip: opensslMissing }, ...)`. */
export const opensslMissing: string | false =
  probe.status === 0 ? false : 'needs the openssl command (Debian package openssl)';

export interface OpensslResult {
  readonly status: number | null;
  /** stdout and stderr, one after the other. */
  readonly output: string;
}

/** Words may be given together: `openssl('crl -inform DER -in', file)`. */
export function openssl(...words: readonly string[]): OpensslResult {
  const { status, stdout, stderr } = spawnSync(
    'openssl',
    words.flatMap((word) => word.split(' ')),
    {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  return { status, output: stdout + stderr };
}

/** Runs `use` with files of these names and contents in a folder that is gone afterwards. */
export function withFiles<Value>(
  files: Readonly<Record<string, Uint8Array | string>>,
  use: (path: (name: string) => string) => Value,
): Value {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-openssl-'));
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    return use((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
