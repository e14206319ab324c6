/** `birthmark ca root next` and `switch`: the next generation of a root on a machine of its own. */
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Command, Option } from 'commander';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import { encodePem } from '../../../wire/x509/pem.ts';
import { writeWhole } from '../../authority/authorityFolder.ts';
import { authorityAlgorithms, type AuthorityRecord } from '../../authority/book.ts';
import { makeNextRoot, switchRoot } from '../../authority/nextOfflineRoot.ts';
import { atRoot } from '../../authority/offlineRoot.ts';
import {
  atFolder,
  readRequest,
  type RoleFile,
  roleFiles,
  type RootOptions,
} from '../rootFolder.ts';
import { rootSecret } from '../rootShares.ts';
import { print } from '../terminal.ts';

interface NextOptions extends RootOptions {
  readonly out: string;
  readonly algorithm?: AuthorityRecord['algorithm'];
  readonly key?: string;
  readonly newName?: boolean;
}

const clock = { nowMs: Date.now };

const help = `
The steps:
  birthmark ca rollover announce root                              (at the server)
  birthmark ca root next factory=factory.csr operational=operational.csr \\
    server=server.csr --root /media/safe --out /media/out          (at the root)
  birthmark ca import /media/out/*                                 (at the server)
  birthmark serve                                                  devices learn of it
  birthmark ca rollover switch root                                (at the server)
  birthmark ca root switch --root /media/safe                      (at the root)

The requests are those that the server has kept, of every authority below the root. --algorithm and --new-name
are given to both.`;

export function registerNextRoot(root: Command): void {
  atFolder(root, 'next', 'Make the next root, linked with the present one')
    .argument('<role=file...>', 'requests of all authorities below it', roleFiles)
    .requiredOption('--out <folder>', 'where certificates and lists are written')
    .addOption(new Option('--algorithm <name>', 'of its key').choices(authorityAlgorithms))
    .option('--key <uri>', 'keep its key in a PKCS#11 token (RFC 7512)')
    .option('--new-name', 'it has another name (RFC 8649)')
    .addHelpText('after', help)
    .action(next);
  atFolder(root, 'switch', 'Let the next root certify').addHelpText('after', help).action(change);
}

async function next(files: readonly RoleFile[], options: NextOptions): Promise<void> {
  const { root: folder, out, algorithm, key, newName } = options;
  if (key !== undefined) parseKeyUri(key);
  const requests = new Map(
    await Promise.all(
      files.map(async (one) => [basename(one.file, '.csr'), await readRequest(one)] as const),
    ),
  );
  const opening = { folder, passphrase: await rootSecret(options), clock };
  const made = await atRoot(opening, (root) =>
    makeNextRoot(root, { algorithm, key, newName }, requests),
  );
  await mkdir(out, { recursive: true });
  const written: string[] = [];
  for (const [name, certificate] of made.certificates) {
    const file = join(out, `${name}.pem`);
    await writeWhole(file, encodePem('CERTIFICATE', certificate));
    written.push(file);
  }
  const lists = join(out, 'roots.crl');
  await writeWhole(lists, made.lists);
  print(options, { next: made.record.name, files: [...written, lists] }, [
    `${made.record.name} is made. To birthmark ca import:`,
    ...written,
    lists,
  ]);
}

async function change(options: RootOptions): Promise<void> {
  const opening = { folder: options.root, passphrase: await rootSecret(options), clock };
  const { name } = await atRoot(opening, switchRoot);
  print(options, { certifies: name }, [`${name} certifies from now on.`]);
}
