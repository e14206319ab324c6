/** `birthmark telemetry`: what devices said, for a person to look at. Programs use MQTT or the HTTP API. */
import { setTimeout as pause } from 'node:timers/promises';
import { type Command, InvalidArgumentError } from 'commander';
import type { TelemetryView } from '../../../drivers/links/local/provisionerAnswers.ts';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import { fromUtf8 } from '../../../wire/bytes/utf8.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { allowed, type OutputOptions, print } from '../terminal.ts';

interface TelemetryOptions extends OutputOptions, ReachOptions {
  readonly limit: number;
}

/** How often `tail` looks; the server answers from memory. */
const lookEveryMs = 500;

export function registerTelemetry(program: Command): void {
  const telemetry = program.command('telemetry').description('What devices said');
  common(telemetry.command('list <device>').description('The latest messages, oldest first'), 20)
    .addHelpText(
      'after',
      '\nExample:\n  birthmark telemetry list 0h2m4p6r8t0v2x4z --limit 5 --json',
    )
    .action(list);
  common(
    telemetry.command('tail <device>').description('The latest messages, and those to come'),
    5,
  )
    .addHelpText(
      'after',
      `
Example:
  birthmark telemetry tail 0h2m4p6r8t0v2x4z

With --json every message is a line of its own. Ends with Ctrl-C.`,
    )
    .action(tail);
}

function common(command: Command, limit: number): Command {
  return reachable(command)
    .option('--limit <n>', 'messages at most', count, limit)
    .option('--json', 'JSON on stdout');
}

async function list(deviceId: string, options: TelemetryOptions): Promise<void> {
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    const messages = await latest(client, deviceId, options.limit);
    print(options, { deviceId, messages: messages.map(documentOf) }, messages.map(lineOf));
  } finally {
    client.close();
  }
}

async function tail(deviceId: string, options: TelemetryOptions): Promise<void> {
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  const stopped = new AbortController();
  const stop = (): void => stopped.abort();
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    let seen = 0;
    while (!stopped.signal.aborted) {
      const messages = await latest(client, deviceId, seen === 0 ? options.limit : Infinity);
      for (const message of messages.filter(({ sequence }) => sequence > seen)) {
        print(options, { deviceId, ...documentOf(message) }, [lineOf(message)]);
        seen = message.sequence;
      }
      await pause(lookEveryMs, undefined, { signal: stopped.signal }).catch(() => undefined);
    }
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    client.close();
  }
}

/** Oldest first. */
async function latest(
  client: ProvisionerClient,
  deviceId: string,
  limit: number,
): Promise<readonly TelemetryView[]> {
  const messages = allowed(await client.telemetry(deviceId));
  return messages.slice(0, limit).toReversed();
}

function documentOf({ payload, ...message }: TelemetryView): object {
  return { ...message, payload: toBase64(payload) };
}

/** Text as it is, anything else as hexadecimal: payloads are opaque bytes. */
function lineOf({ sequence, receivedMs, path, payload }: TelemetryView): string {
  const text = fromUtf8(payload);
  const shown = text === undefined || /\p{Cc}/u.test(text) ? toHex(payload) : text;
  return `${new Date(receivedMs).toISOString()}  ${String(sequence).padStart(5)}  ${path.padEnd(6)}  ${shown}`;
}

function count(text: string): number {
  const number = Number(text);
  if (/^\d{1,4}$/.test(text) && number >= 1 && number <= 1000) return number;
  throw new InvalidArgumentError('a number from 1 to 1000');
}
