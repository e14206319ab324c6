/** `birthmark ca add`: one more authority, for some births alone, for chips, or for Matter. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import type { ActRequests } from '../../../trust/approvals/acts.ts';
import { parsePem } from '../../../wire/x509/pem.ts';
import { authorityAlgorithms, offlineKey } from '../../authority/book.ts';
import { type AddedRoot, addRoot } from '../../authority/moreRoots.ts';
import { algorithmOfRoot } from '../../authority/requests.ts';
import { rehearseAddition } from '../../authority/rehearsal.ts';
import { addAuthority } from '../../authority/rollover.ts';
import { sha256 } from '../../authority/witnesses.ts';
import { approvable, type ApprovableOptions, wouldAsk } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, print } from '../terminal.ts';
import { atRest, rehearsalOf } from './rollover.ts';

interface AddOptions extends ApprovableOptions {
  readonly products?: readonly string[];
  readonly batches?: readonly string[];
  readonly profile?: string;
  readonly algorithm?: string;
  readonly key?: string;
  readonly rootOffline?: string;
  readonly dryRun?: boolean;
}

const addedRoles = [
  'root',
  'factory',
  'operational',
  'chip-signer',
  'matter-paa',
  'matter-pai',
] as const;

export function registerAddAuthority(ca: Command): void {
  approvable(ca.command('add'))
    .description('Make one more authority (server stopped)')
    .addArgument(ca.createArgument('<role>', 'what it certifies').choices(addedRoles))
    .argument(
      '[name]',
      'it is called ROLE-NAME; of a signer of chips four hexadecimal digits',
      word,
    )
    .option('--products <names...>', 'products whose devices it certifies')
    .option('--batches <names...>', 'batches whose devices it certifies, whatever their product')
    .option('--profile <name>', 'profile of its certificate (default: that of its role)')
    .addOption(new Option('--algorithm <name>', 'of its key').choices(authorityAlgorithms))
    .option('--key <uri>', 'keep its key in a PKCS#11 token (RFC 7512)')
    .option('--root-offline <file>', 'certificate of a root on another machine, PEM')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--dry-run', 'say what would be done')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark ca add factory pumps --products pump valve
  birthmark ca add operational city --batches reel-7 reel-8 --profile authority-city
  birthmark ca add root pq --algorithm ML-DSA-65
  birthmark ca add root pq --root-offline root-pq.pem   then: ca sign-request there, and ca import
  birthmark ca add chip-signer 0001                    then: order create --profile chip-idevid
  birthmark ca add matter-paa
  birthmark ca add matter-pai acme --profile authority-acme  then: order create --profile acme-meter-dac

It issues from the next start of the server on. Its next generation: birthmark ca rollover announce factory-pumps`,
    )
    .action(add);
}

async function add(
  role: (typeof addedRoles)[number],
  word: string | undefined,
  options: AddOptions,
): Promise<void> {
  const { products = [], batches = [], profile, algorithm, key } = options;
  const isForSome = products.length + batches.length > 0;
  if ((role === 'factory' || role === 'operational') && !isForSome) {
    throw new CommandFailure('--products or --batches says what it is for', exitCodes.usage);
  }
  if (key !== undefined) parseKeyUri(key);
  const name = word === undefined ? role : `${role}-${word}`;
  const root = role === 'root' ? await rootOf(options) : undefined;
  const request = {
    role: name,
    adds: role,
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(profile === undefined ? {} : { profile }),
    ...(key === undefined ? {} : { key }),
    ...(isForSome ? { serves: { products, batches } } : {}),
    ...root?.request,
  };
  if (options.dryRun === true) {
    await rehearseAddition(rehearsalOf(options), request, root?.certificate);
    const asked = await wouldAsk(options, 'authority.announce', request);
    const uses = isForSome ? ` for ${[...products, ...batches].join(', ')}` : '';
    const document = { dryRun: true, name, ...asked.document };
    print(options, document, [`Would make ${name}${uses}.`, ...asked.lines]);
    return;
  }
  if (root !== undefined) {
    const added = await atRest(options, 'authority.announce', request, (folder, begun) =>
      addRoot(folder, begun, root.certificate),
    );
    return added && tellRoot(options, added);
  }
  const made = await atRest(options, 'authority.announce', request, addAuthority);
  if (made === undefined) return;
  print(options, { added: made }, [
    made.pending === undefined
      ? `${name} issues from the next start of the server on.`
      : `${name} waits for the root: ${made.pending} (birthmark ca sign-request, then ca import)`,
  ]);
}

async function rootOf({ rootOffline, algorithm }: AddOptions): Promise<{
  readonly request: Partial<ActRequests['authority.announce']>;
  readonly certificate?: Uint8Array;
}> {
  if (rootOffline === undefined) {
    if (algorithm !== undefined) return { request: {} };
    throw new CommandFailure('--algorithm or --root-offline says which root', exitCodes.usage);
  }
  const certificate = parsePem(await readFile(rootOffline, 'utf8'), 'CERTIFICATE');
  const rootSha256 = sha256(certificate);
  const request = { algorithm: algorithmOfRoot(certificate), key: offlineKey, rootSha256 };
  return { request, certificate };
}

function tellRoot(options: AddOptions, { record, pending }: AddedRoot): void {
  print(options, { added: record, pending }, [
    `${record.name} stands beside the first root.`,
    ...pending.map((file) => `Waits for it: ${file}`),
    ...(pending.length === 0
      ? []
      : [
          'Take the requests of all authorities there (birthmark ca sign-request), then ca import.',
        ]),
  ]);
}

function word(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,25}$/.test(text)) return text;
  throw new InvalidArgumentError('a short lower-case word is expected');
}
