/** The `birthmark` command as a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { housePassphrase } from './statusHouse.ts';

const command = fileURLToPath(new URL('../../src/apps/cli/main.ts', import.meta.url));

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** In the folders of `statusHouse`, whose passphrase it knows. */
export async function run(...words: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, ['--no-warnings', command, ...words], {
    env: { ...process.env, BIRTHMARK_PASSPHRASE: housePassphrase },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [status] = (await once(child, 'close')) as [number];
  return { status, stdout, stderr };
}

export function documentIn({ stdout }: Ran): Record<string, unknown> {
  return JSON.parse(stdout) as Record<string, unknown>;
}
