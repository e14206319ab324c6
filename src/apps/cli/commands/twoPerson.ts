/** `birthmark ca two-person`: from one person to two, and how much one of them may do alone. */
import { type Command, InvalidArgumentError } from 'commander';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ApprovalClient } from '../../../drivers/links/local/approvalClient.ts';
import { usualMassLimit } from '../../../trust/approvals/twoPersons.ts';
import { EnvironmentError, isRefusal } from '../../../trust/ports/faults.ts';
import { parsePem } from '../../../wire/x509/pem.ts';
import { beginTwoPersons } from '../../authority/twoPersons.ts';
import { readPassphrase } from '../../passphrase.ts';
import { socketPathFor } from '../../socketPath.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import {
  approvable,
  type ApprovableOptions,
  ask,
  singleOperator,
  withApprovals,
} from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { saveOperator } from '../operatorFolder.ts';
import type { ReachOptions } from '../reach.ts';
import { CommandFailure, exitCodes, print } from '../terminal.ts';

export interface TwoPersonOptions {
  /** Files of requests by name. */
  readonly admin?: ReadonlyMap<string, string>;
  readonly massLimit?: number;
}

interface CommandOptions extends ApprovableOptions, TwoPersonOptions {
  readonly store?: string;
  readonly dryRun?: boolean;
}

export function registerTwoPerson(ca: Command): void {
  twoPersonOptions(approvable(ca.command('two-person')))
    .description(
      'Let every dangerous act take two persons, for good; or change what one may do alone',
    )
    .option('--data <folder>', 'data folder', defaultData())
    .option('--store <url>', 'the database on PostgreSQL (default: BIRTHMARK_STORE)')
    .option('--dry-run', 'say what would be changed')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark operator request ada            (on Ada's machine; and Bob's on his)
  birthmark ca two-person --admin ada=ada/request.pem --admin bob=bob/request.pem
  birthmark ca two-person --mass-limit 500 --as ./ada

The server is stopped for the switch, which has no way back. Later the limit changes with an approval, with
the server running. What takes two persons: docs/approvals.md`,
    )
    .action(twoPerson);
}

/** Also of `ca init`. */
export function twoPersonOptions(command: Command): Command {
  return command
    .option('--admin <name=request>', 'a first admin and the request of their key, twice', admins)
    .option('--mass-limit <n>', 'devices whose status one person may change at once', devices);
}

/** Given again with the same admins it changes nothing. */
export async function switchOn(
  options: TwoPersonOptions & { readonly data: string; readonly store?: string },
  passphrase: string,
): Promise<readonly string[]> {
  const requests = await Promise.all(
    [...(options.admin ?? [])].map(async ([name, file]) => ({
      name,
      file,
      request: parsePem(await readFile(file, 'utf8'), 'CERTIFICATE REQUEST'),
    })),
  );
  if (requests.length < 2) {
    throw new CommandFailure('two admins are needed: --admin NAME=REQUEST twice', exitCodes.usage);
  }
  const { chains, mode } = await beginTwoPersons(
    {
      dataFolder: options.data,
      passphrase,
      clock: { nowMs: Date.now },
      store: readStoreSetting(options.store),
    },
    { admins: requests, massLimit: options.massLimit ?? usualMassLimit },
  );
  for (const { name, file } of requests) {
    const folder = dirname(file);
    if (existsSync(join(folder, 'operator.json'))) {
      await saveOperator(folder, chains.get(name) ?? []);
    }
  }
  const names = requests.map(({ name }) => name).join(' and ');
  return [
    `From now on dangerous acts take two persons. Admins: ${names}.`,
    `One person may change the status of ${mode.massLimit} devices at once.`,
  ];
}

/** Loud where one person is enough; for everything that shows what an installation is. */
export async function modeOf(options: ReachOptions): Promise<{
  readonly document: { readonly mode?: string; readonly massLimit?: number };
  readonly lines: readonly string[];
}> {
  try {
    const mode = await withApprovals(options, (desk) => desk.mode());
    if (mode === undefined) {
      return { document: { mode: 'single-operator' }, lines: [singleOperator] };
    }
    const { massLimit, sinceMs } = mode;
    const since = new Date(sinceMs).toISOString();
    return {
      document: { mode: 'two-person', massLimit },
      lines: [`Two persons since ${since}; one may change the status of ${massLimit} devices.`],
    };
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    return {
      document: {},
      lines: [`Whether two persons are needed is not known: ${error.message}`],
    };
  }
}

async function twoPerson(options: CommandOptions): Promise<void> {
  const mode = await withApprovals(options, (desk) => desk.mode());
  const { massLimit } = options;
  if (mode === undefined) {
    if (options.dryRun === true) {
      const names = [...(options.admin?.keys() ?? [])];
      print(options, { dryRun: true, admins: names }, [
        `Would let dangerous acts take two persons, for good. Admins: ${names.join(', ')}.`,
      ]);
      return;
    }
    const lines = await switchOn(options, await readPassphrase());
    print(options, { mode: 'two-person' }, lines);
    return;
  }
  if (massLimit === undefined || options.admin !== undefined) {
    throw new CommandFailure('two persons are needed here already: operators add each other');
  }
  if (options.dryRun === true) {
    print(options, { dryRun: true, massLimit }, [`Would ask for a limit of ${massLimit} devices.`]);
    return;
  }
  const asked = await ask(options, 'limit.mass', () => ({ devices: massLimit }));
  if (asked === undefined) return;
  const client = new ApprovalClient(socketPathFor(options.data, 'authority'));
  try {
    const refusal = await client.setMassLimit(massLimit, asked.approval);
    if (isRefusal(refusal)) throw new CommandFailure(`${refusal.reason} [${refusal.refused}]`);
  } finally {
    client.close();
  }
  print(options, { massLimit }, [`One person may change the status of ${massLimit} devices.`]);
}

/** NAME=FILE, several times. */
function admins(text: string, before?: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const [, name, file] = /^([\w.-]{1,64})=(.+)$/.exec(text) ?? [];
  if (name === undefined || file === undefined) {
    throw new InvalidArgumentError('name=file is expected');
  }
  return new Map([...(before ?? []), [name, file]]);
}

function devices(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('a whole number is expected');
}
