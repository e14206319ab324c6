/** `birthmark ca floor`: from which generation on credentials of session servers count. */
import type { Command } from 'commander';
import { SessionServerClient } from '../../../drivers/links/local/sessionServerClient.ts';
import { refusalOfFloor } from '../../../trust/issuance/serverGenerations.ts';
import type { FloorView, ServerGenerations } from '../../../trust/ports/sessionServerAuthority.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
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
refuses every older generation for good. Servers below it get a new credential within seconds.
It is never lowered. A stolen key: birthmark revoke certificate SHA-256, and the server makes another one.`;

async function floor(generation: string | undefined, options: FloorOptions): Promise<void> {
  const client = new SessionServerClient(socketPathFor(options.data, 'authority'));
  try {
    const present = await client.generations();
    if (generation === undefined) return showAll(options, present);
    const wanted = numberOf(generation, present);
    if (options.dryRun === true) {
      allowed(refusalOfFloor(present, wanted) ?? present);
      const below = present.credentials
        .filter((credential) => credential.generation < wanted)
        .map(({ server, generation: number }) => ({ server, generation: number }));
      print(options, { dryRun: true, from: present.floor, to: wanted, below }, [
        `Would raise the floor from ${present.floor} to ${wanted}.`,
        `Below it: ${below.map((one) => `${one.server} ${one.generation}`).join(', ') || 'nothing'}.`,
      ]);
      return undefined;
    }
    return show(options, allowed(await client.raiseFloor(wanted)));
  } finally {
    client.close();
  }
}

function showAll(options: FloorOptions, { floor: present, servers, credentials }: FloorView): void {
  const listed = credentials.map(({ sha256, ...one }) => ({ ...one, sha256: toHex(sha256) }));
  print(options, { floor: present, servers, credentials: listed }, [
    `Floor: ${present}`,
    ...table([
      ['server', 'generation', 'profile', 'until', 'SHA-256'],
      ...listed.map((one) => [
        one.server,
        String(one.generation),
        one.profile,
        new Date(one.notAfterMs).toISOString().slice(0, 10),
        one.sha256,
      ]),
    ]),
  ]);
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
