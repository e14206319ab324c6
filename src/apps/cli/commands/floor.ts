/** `birthmark ca floor`: from which generation on credentials of session servers count. */
import type { Command } from 'commander';
import { SessionServerClient } from '../../../drivers/links/local/sessionServerClient.ts';
import { refusalOfFloor } from '../../../trust/issuance/serverGenerations.ts';
import type { ServerGenerations } from '../../../trust/ports/sessionServerAuthority.ts';
import { socketPathFor } from '../../socketPath.ts';
import { defaultData } from '../dataFolder.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface FloorOptions extends OutputOptions {
  readonly data: string;
  readonly dryRun?: boolean;
}

export function registerFloor(ca: Command): void {
  ca.command('floor [generation]')
    .description('Show from which generation on session servers count, or raise it')
    .option('--data <folder>', 'data folder of the running server', defaultData())
    .option('--dry-run', 'say what would change')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', help)
    .action(floor);
}

const help = `
Examples:
  birthmark ca floor
  birthmark ca floor 7 --dry-run
  birthmark ca floor newest

A device that has finished a handshake with a credential of this floor, or got a fresh status with it,
refuses every older generation for good. Servers below it get a new credential within half a minute.
It is never lowered.`;

async function floor(generation: string | undefined, options: FloorOptions): Promise<void> {
  const client = new SessionServerClient(socketPathFor(options.data, 'authority'));
  try {
    const present = await client.generations();
    if (generation === undefined) return show(options, present);
    const wanted = numberOf(generation, present);
    if (options.dryRun === true) {
      allowed(refusalOfFloor(present, wanted) ?? present);
      const below = present.servers.filter((server) => server.generation < wanted);
      print(options, { dryRun: true, from: present.floor, to: wanted, renews: names(below) }, [
        `Would raise the floor from ${present.floor} to ${wanted}.`,
        `Below it, and to be renewed: ${names(below).join(', ') || 'nobody'}.`,
      ]);
      return undefined;
    }
    return show(options, allowed(await client.raiseFloor(wanted)));
  } finally {
    client.close();
  }
}

function show(options: FloorOptions, { floor: present, servers }: ServerGenerations): void {
  print(options, { floor: present, servers }, [
    `Floor: ${present}`,
    ...table([
      ['server', 'generation'],
      ...servers.map(({ name, generation }) => [name, String(generation)]),
    ]),
  ]);
}

function numberOf(text: string, { servers }: ServerGenerations): number {
  if (text === 'newest') return Math.max(0, ...servers.map(({ generation }) => generation));
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new CommandFailure('a generation is a number, or newest', exitCodes.usage);
}

function names(servers: ServerGenerations['servers']): readonly string[] {
  return servers.map(({ name }) => name);
}
