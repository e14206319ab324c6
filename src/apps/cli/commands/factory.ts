/** `birthmark ca add-factory`: one more factory authority, for the births of some products or batches alone. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import { authorityAlgorithms } from '../../authority/book.ts';
import { addFactory } from '../../authority/rollover.ts';
import { approvable, type ApprovableOptions, wouldAsk } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, print } from '../terminal.ts';
import { atRest } from './rollover.ts';

interface FactoryOptions extends ApprovableOptions {
  readonly products?: readonly string[];
  readonly batches?: readonly string[];
  readonly algorithm?: string;
  readonly key?: string;
  readonly dryRun?: boolean;
}

export function registerFactory(ca: Command): void {
  approvable(ca.command('add-factory'))
    .description('Make one more factory authority, for some births alone (server stopped)')
    .argument('<name>', 'it is called factory-NAME', nameOf)
    .option('--products <names...>', 'products whose births it certifies')
    .option('--batches <names...>', 'batches whose births it certifies, whatever their product')
    .addOption(new Option('--algorithm <name>', 'of its key').choices(authorityAlgorithms))
    .option('--key <uri>', 'keep its key in a PKCS#11 token (RFC 7512)')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--dry-run', 'say what would be done')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark ca add-factory pumps --products pump valve

It issues from the next start of the server on. Its next generation: birthmark ca rollover announce factory-pumps`,
    )
    .action(add);
}

async function add(name: string, options: FactoryOptions): Promise<void> {
  const { products = [], batches = [], algorithm, key } = options;
  if (products.length + batches.length === 0) {
    throw new CommandFailure('--products or --batches says what it is for', exitCodes.usage);
  }
  if (key !== undefined) parseKeyUri(key);
  const request = {
    role: name,
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(key === undefined ? {} : { key }),
    serves: { products, batches },
  };
  if (options.dryRun === true) {
    const asked = await wouldAsk(options, 'authority.announce', request);
    const said = `Would make ${name} for ${[...products, ...batches].join(', ')}.`;
    print(options, { dryRun: true, request, ...asked.document }, [said, ...asked.lines]);
    return;
  }
  const made = await atRest(options, 'authority.announce', request, addFactory);
  if (made === undefined) return;
  print(options, { added: made }, [
    made.pending === undefined
      ? `${name} issues from the next start of the server on.`
      : `${name} waits for the root: ${made.pending} (birthmark ca sign-request, then ca import)`,
  ]);
}

function nameOf(text: string): string {
  if (/^[a-z][a-z0-9-]{0,30}$/.test(text)) return `factory-${text}`;
  throw new InvalidArgumentError('a short lower-case word is expected');
}
