/** What commands at a root's folder have in common: how it opens, and requests of authorities as files. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { findPem } from '../../wire/x509/pem.ts';
import { authorityRoles } from '../authority/authorityFolder.ts';
import { aboveOf } from '../authority/authorityNames.ts';
import type { SignRequest } from '../authority/offlineRoot.ts';
import { CommandFailure, exitCodes, type OutputOptions } from './terminal.ts';

export interface RootOptions extends OutputOptions {
  readonly root: string;
  /** Files. */
  readonly share?: readonly string[];
}

export function atFolder(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .requiredOption('--root <folder>', 'the folder of the root')
    .option('--share <files...>', 'shares that open it, in place of a passphrase')
    .option('--json', 'one JSON document on stdout');
}

export interface RoleFile {
  readonly role: SignRequest['role'];
  readonly file: string;
}

const certifiedRoles = authorityRoles.filter((role) => aboveOf(role) === 'root');

/** ROLE=FILE, several times. */
export function roleFiles(text: string, before?: readonly RoleFile[]): readonly RoleFile[] {
  const at = text.indexOf('=');
  const role = certifiedRoles.find((name) => name === text.slice(0, at));
  if (at < 0 || role === undefined) {
    throw new InvalidArgumentError(`ROLE=FILE is expected, of ${certifiedRoles.join(', ')}`);
  }
  return [...(before ?? []), { role, file: text.slice(at + 1) }];
}

export async function readRequest({ role, file }: RoleFile): Promise<SignRequest & RoleFile> {
  const [block] = findPem(await readFile(file, 'utf8'));
  if (block?.label !== 'CERTIFICATE REQUEST') {
    throw new CommandFailure(`${file} holds no certification request`, exitCodes.usage);
  }
  return { role, file, request: block.der };
}
