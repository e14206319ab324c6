/** Where the passphrase of the keys at rest comes from: a file, the environment, or a person. */
import { readFileSync } from 'node:fs';
import { EnvironmentError } from '../trust/ports/faults.ts';

export interface PassphraseQuestion {
  /** What the person is asked, without a colon. */
  readonly prompt?: string;
  /** Ask twice: the passphrase is new, and a slip would lose the keys. */
  readonly confirm?: boolean;
  /** Which variables of the environment; `BIRTHMARK_PASSPHRASE` unless told. */
  readonly variable?: string;
}

const leastCharacters = 8;

/**
 * The file that the variable with `_FILE` behind its name names, else the variable, else a prompt where a
 * terminal is. Rejects with an `EnvironmentError` where there is none.
 */
export async function readPassphrase(question: PassphraseQuestion = {}): Promise<string> {
  const { variable = 'BIRTHMARK_PASSPHRASE' } = question;
  const file = process.env[`${variable}_FILE`];
  if (file !== undefined && file !== '') return checked(readFileSync(file, 'utf8').trimEnd());
  const value = process.env[variable];
  if (value !== undefined && value !== '') return checked(value);
  if (!process.stdin.isTTY) {
    throw new EnvironmentError(
      `no passphrase: set ${variable}_FILE or ${variable}, or use a terminal`,
      { retryable: false },
    );
  }
  const { prompt = 'Passphrase of the keys', confirm = false } = question;
  const first = checked(await ask(`${prompt}: `));
  if (confirm && first !== (await ask('Once more: '))) {
    throw new EnvironmentError('the two passphrases differ', { retryable: false });
  }
  return first;
}

function checked(passphrase: string): string {
  if (passphrase.length >= leastCharacters) return passphrase;
  throw new EnvironmentError(`a passphrase has at least ${leastCharacters} characters`, {
    retryable: false,
  });
}

/** Reads a line without showing it. */
function ask(prompt: string): Promise<string> {
  process.stderr.write(prompt);
  const { stdin } = process;
  stdin.setRawMode(true);
  stdin.setEncoding('utf8');
  stdin.resume();
  return new Promise((resolve, reject) => {
    let line = '';
    const finish = (settle: () => void): void => {
      stdin.off('data', read);
      stdin.setRawMode(false);
      stdin.pause();
      process.stderr.write('\n');
      settle();
    };
    const read = (typed: string): void => {
      for (const character of typed) {
        if (character === '\r' || character === '\n') {
          finish(() => {
            resolve(line);
          });
          return;
        }
        if (character === interrupt) {
          finish(() => {
            reject(new EnvironmentError('interrupted', { retryable: false }));
          });
          return;
        }
        line = character === backspace ? line.slice(0, -1) : line + character;
      }
    };
    stdin.on('data', read);
  });
}

const interrupt = '\u0003';
const backspace = '\u007f';
