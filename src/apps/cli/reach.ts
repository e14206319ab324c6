/**
 * How a command reaches its server: by the sockets of this machine, or by the API from anywhere else. The
 * same clients speak over both, so that a command says the same whichever it is.
 */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ApiCredential, ApiLink } from '../../drivers/links/api/apiLink.ts';
import type { Reach } from '../../drivers/links/local/localClient.ts';
import { socketPathFor } from '../socketPath.ts';
import { applicationFiles, openApplicationKey } from './applicationFolder.ts';
import { defaultData } from './dataFolder.ts';
import { isOperatorFolder, openOperator, type OperatorKey } from './operatorFolder.ts';
import { CommandFailure, exitCodes } from './terminal.ts';

export interface ReachOptions {
  readonly data: string;
  /** Of its API; the sockets in `data` when absent. */
  readonly server?: URL;
  /** Folder of whoever calls. */
  readonly operator?: string;
  readonly serverCa?: string;
}

/** Adds the options: here, or over the network. */
export function reachable(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder of the server, on its machine', defaultData())
    .addOption(
      new Option('--server <url>', 'the server from elsewhere: https://host:port of its API')
        .env('BIRTHMARK_SERVER')
        .conflicts('data')
        .argParser(address),
    )
    .addOption(
      new Option('--operator <folder>', 'who calls it: the folder of an operator').env(
        'BIRTHMARK_OPERATOR',
      ),
    )
    .option('--server-ca <file>', 'by whom it is known, PEM (default: server.pem of the folder)');
}

/** Where a command runs that only the server's machine can carry out, `--server` is told so. */
export function refuseElsewhere(command: Command): void {
  for (const child of command.commands) refuseElsewhere(child);
  if (command.commands.length > 0 || command.options.some(({ long }) => long === '--server'))
    return;
  const refuse = (): never => {
    throw new InvalidArgumentError('This command runs on the machine of the server alone.');
  };
  command.addOption(new Option('--server <url>').hideHelp().argParser(refuse));
}

/** Of one of the server's two processes: over the network both are behind its API. */
export function reachOf(options: ReachOptions, process: 'authority' | 'provisioner'): Reach {
  const { data, server } = options;
  if (server === undefined) return socketPathFor(data, process);
  const link = linkTo(server, options);
  // One connection for the whole command: it closes with the command, not with a client of it.
  return { send: (request) => link.send(request), close: () => undefined };
}

/** Opened once, whether it calls, asks or decides: its passphrase or PIN is asked for once. */
export function operatorOf(folder: string): Promise<OperatorKey> {
  const open = operators.get(folder) ?? openOperator(folder);
  operators.set(folder, open);
  return open;
}

/** After the command, whatever became of it. */
export async function closeReach(): Promise<void> {
  opened?.close();
  opened = undefined;
  for (const [folder, operator] of operators) {
    operators.delete(folder);
    await operator.then(
      (one) => one.close(),
      () => undefined,
    );
  }
}

const operators = new Map<string, Promise<OperatorKey>>();
let opened: ApiLink | undefined;

function linkTo(server: URL, { operator, serverCa }: ReachOptions): ApiLink {
  if (operator === undefined) {
    throw new CommandFailure('--server needs --operator, or BIRTHMARK_OPERATOR', exitCodes.usage);
  }
  opened ??= new ApiLink({
    server,
    anchors: () => anchorsOf(operator, serverCa),
    credential: () => credentialOf(operator),
  });
  return opened;
}

async function anchorsOf(
  operator: string,
  serverCa: string | undefined,
): Promise<string | undefined> {
  const usual = join(operator, applicationFiles.anchors);
  const file = serverCa ?? (existsSync(usual) ? usual : undefined);
  return file === undefined ? undefined : readFile(file, 'utf8');
}

async function credentialOf(folder: string): Promise<ApiCredential> {
  if (isOperatorFolder(folder)) return { kind: 'operator', ...(await operatorOf(folder)) };
  const key = join(folder, applicationFiles.key);
  if (!existsSync(key)) {
    throw new CommandFailure(
      `${folder} has no key: birthmark operator request or application enrol makes one`,
      exitCodes.usage,
    );
  }
  const opened = await openApplicationKey(key);
  return {
    kind: 'certificate',
    key: opened.export({ format: 'pem', type: 'pkcs8' }),
    certificate: await readFile(join(folder, applicationFiles.certificate)),
  };
}

function address(text: string): URL {
  const url = URL.parse(text);
  if (url?.protocol === 'https:' && url.pathname === '/' && url.search + url.username === '') {
    return url;
  }
  throw new InvalidArgumentError('https://host:port is expected.');
}
