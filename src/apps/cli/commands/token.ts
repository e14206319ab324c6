/** `birthmark token`: secrets with which programs read the API, and never act. */
import type { Command } from 'commander';
import { TokenClient } from '../../../drivers/links/local/tokenClient.ts';
import type { TokenRecord } from '../../../trust/ports/tokenStore.ts';
import { everyEntry } from '../pages.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { allowed, CommandFailure, type OutputOptions, print, table } from '../terminal.ts';
import { whole } from './order.ts';

interface DataOptions extends OutputOptions, ReachOptions {
  readonly dryRun?: boolean;
}

const dayMs = 86_400_000;

export function registerToken(program: Command): void {
  const token = program
    .command('token')
    .description('Secrets with which programs read the API; what acts has a certificate');
  common(token.command('create <holder>'))
    .description('Make a token and tell it once')
    .option('--days <n>', 'how long it is good for, 366 at most', whole, 90)
    .option('--dry-run', 'say what would be made')
    .addHelpText(
      'after',
      `
Examples:
  birthmark token create dashboard
  curl --cacert server.pem -H "Authorization: Bearer $TOKEN" https://localhost:8444/metrics

It reads whatever the API shows and changes nothing. It is kept as a hash: lost, it is made anew.`,
    )
    .action(create);
  common(token.command('list'))
    .description('Tokens, newest first')
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark token list\n  birthmark token list --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(list);
  common(token.command('revoke').argument('<id>', 'as the list shows it', whole))
    .description('End a token at once')
    .option('--dry-run', 'say what would be revoked')
    .addHelpText('after', '\nExample:\n  birthmark token revoke 3')
    .action(revoke);
}

function common(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

async function create(
  holder: string,
  options: DataOptions & { readonly days: number },
): Promise<void> {
  if (options.dryRun === true) {
    print(options, { dryRun: true, holder, days: options.days }, [
      `Would make a token for ${holder}, good for ${options.days} days.`,
    ]);
    return;
  }
  const made = await withTokens(options, async (tokens) =>
    allowed(await tokens.create(holder, options.days * dayMs)),
  );
  print(options, made, [
    made.token,
    `Token ${made.id} of ${holder}, until ${new Date(made.expiresMs).toISOString()}. It is told this once.`,
  ]);
}

async function list(options: DataOptions): Promise<void> {
  const tokens = await withTokens(options, (client) =>
    everyEntry(
      async (limit, before: number | undefined) => allowed(await client.tokens(limit, before)),
      ({ id }) => id,
    ),
  );
  print(
    options,
    { tokens: tokens.map((token) => ({ ...token, revokedMs: token.revokedMs ?? null })) },
    table([
      ['token', 'holder', 'made', 'ends', ''],
      ...tokens.map((token) => [
        String(token.id),
        token.holder,
        day(token.createdMs),
        day(token.expiresMs),
        stateOf(token),
      ]),
    ]),
  );
}

async function revoke(id: number, options: DataOptions): Promise<void> {
  if (options.dryRun === true) {
    const [found] = await withTokens(options, async (tokens) =>
      allowed(await tokens.tokens(1, id + 1)),
    );
    const isOpen = found?.id === id && found.revokedMs === undefined;
    if (!isOpen) throw new CommandFailure('No such token is open. [unknown]');
    print(options, { dryRun: true, id }, [`Would revoke token ${id}.`]);
    return;
  }
  await withTokens(options, async (tokens) => allowed(await tokens.revoke(id)));
  print(options, { id, revoked: true }, [`Token ${id} opens nothing any more.`]);
}

async function withTokens<Value>(
  options: ReachOptions,
  use: (tokens: TokenClient) => Promise<Value>,
): Promise<Value> {
  const tokens = new TokenClient(reachOf(options, 'provisioner'));
  try {
    return await use(tokens);
  } finally {
    tokens.close();
  }
}

function stateOf({ revokedMs, expiresMs }: TokenRecord): string {
  if (revokedMs !== undefined) return 'revoked';
  return expiresMs <= Date.now() ? 'expired' : '';
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
