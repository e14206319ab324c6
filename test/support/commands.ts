/** Real commands of `birthmark` in this process, and the folders of operators who give them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { birthmarkProgram } from '../../src/apps/cli/program.ts';
import { closeReach } from '../../src/apps/cli/reach.ts';
import { explain } from '../../src/apps/cli/terminal.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { requestOf } from './issuing/station.ts';

/** Of the keys of operators. */
export const operatorPassphrase = 'of an operator';
process.env['BIRTHMARK_OPERATOR_PASSPHRASE'] = operatorPassphrase;

export interface Ran {
  readonly code: number;
  readonly document: Record<string, unknown>;
  readonly said: string;
}

/** As the command line runs it, in this process. */
export async function run(...words: readonly string[]): Promise<Ran> {
  const written: string[] = [];
  const said: string[] = [];
  const { stdout, stderr } = process;
  const [write, writeError] = [stdout.write.bind(stdout), stderr.write.bind(stderr)];
  // The reporter of the tests writes bytes, commands write text.
  stdout.write = (text: string | Uint8Array) =>
    typeof text === 'string' ? written.push(text) > 0 : write(text);
  stderr.write = (text: string | Uint8Array) => said.push(String(text)) > 0;
  process.exitCode = 0;
  let code: number;
  try {
    await birthmarkProgram().parseAsync([...words, '--json'], { from: 'user' });
    code = process.exitCode;
  } catch (error) {
    const { message, exitCode } = explain(error);
    said.push(message);
    code = error instanceof Error && error.name === 'CommanderError' ? 2 : exitCode;
  } finally {
    await closeReach();
    stdout.write = write;
    stderr.write = writeError;
    process.exitCode = 0;
  }
  const text = written.join('');
  const document = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
  return { code, document, said: said.join('') };
}

/** As `birthmark operator request` makes it, with a key file that costs a test nothing. */
export async function operatorFolder(folder: string, name: string): Promise<Uint8Array> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'operator.json'), JSON.stringify({ name }));
  const keys = await KeyFolder.open({
    folder: join(folder, 'keys'),
    passphrase: operatorPassphrase,
    costLog2: 4,
  });
  await keys.create('operator', 'p256-sign');
  return requestOf(await keys.signer('operator'));
}
