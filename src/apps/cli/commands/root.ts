/** `birthmark ca root`, `sign-request` and `import`: a root on a machine of its own, and what goes to and fro. */
import { mkdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Command, Option } from 'commander';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import { nodeCrypto } from '../../../drivers/keys/software/nodeCrypto.ts';
import { faultOfBaseUrl } from '../../../trust/issuance/distribution.ts';
import { profileLabel } from '../../../trust/issuance/profile.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import type { RevocationReason } from '../../../wire/crl/reason.ts';
import { encodePem, findPem } from '../../../wire/x509/pem.ts';
import { writeWhole } from '../../authority/authorityFolder.ts';
import { authorityAlgorithms, type AuthorityRecord } from '../../authority/book.ts';
import { importFromRoot } from '../../authority/imports.ts';
import {
  atRoot,
  createRoot,
  type OpenRoot,
  revokeAtRoot,
  signListAtRoot,
  signRequests,
  subjectOf,
} from '../../authority/offlineRoot.ts';
import { readPassphrase } from '../../passphrase.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import { defaultData } from '../dataFolder.ts';
import { profileFrom } from '../profileFile.ts';
import { rootSecret, shareOptions, sharesFor, type SharesOptions } from '../rootShares.ts';
import { CommandFailure, exitCodes, type OutputOptions, print } from '../terminal.ts';
import {
  atFolder,
  readRequest,
  type RoleFile,
  roleFiles,
  type RootOptions,
} from '../rootFolder.ts';
import { registerNextRoot } from './nextRoot.ts';

interface CreateOptions extends OutputOptions, SharesOptions {
  readonly root: string;
  readonly organization: string;
  readonly algorithm: AuthorityRecord['algorithm'];
  readonly key?: string;
  readonly statusUrl?: string;
  readonly commitNextRoot?: boolean;
  readonly name?: string;
}

interface SignOptions extends RootOptions {
  readonly out: string;
  readonly profile?: readonly RoleFile[];
  readonly dryRun?: boolean;
}

interface RevokeOptions extends RootOptions {
  readonly reason: RevocationReason;
}

interface ImportOptions extends OutputOptions {
  readonly data: string;
}

const clock = { nowMs: Date.now };

/** Why an authority ends, of the reasons that RFC 5280 §5.3.1 has. */
const reasons = ['cACompromise', 'superseded', 'cessationOfOperation'] as const;

const help = `
The root on a machine without a network, the rest where the server is:
  birthmark ca root create --root /media/safe --organization "Example Sensors"     (there)
  birthmark ca init --organization "Example Sensors" --root-offline root.pem       (here)
  birthmark ca sign-request factory=factory.csr operational=operational.csr \\
    server=server.csr --root /media/safe --out /media/out                          (there)
  birthmark ca import /media/out/*.pem /media/safe/root.crl                        (here)

The next generation of an authority asks in the same way: birthmark ca rollover announce. With --shares the
root opens with so many share files (--share FILE, several times) in place of a passphrase.`;

export function registerRoot(ca: Command): void {
  const root = ca
    .command('root')
    .description('A root on a machine of its own')
    .addHelpText('after', help);
  shareOptions(root.command('create'))
    .description('Make key, certificate and first revocation list of a root')
    .requiredOption('--root <folder>', 'the folder of the root')
    .requiredOption('--organization <name>', 'the maker: O of every certificate below it')
    .addOption(
      new Option('--algorithm <name>', 'of its key')
        .choices(authorityAlgorithms)
        .default('ecdsa-with-SHA256'),
    )
    .option('--key <uri>', 'keep its key in a PKCS#11 token (RFC 7512)')
    .option('--status-url <url>', 'as birthmark ca init will be told')
    .option('--name <name>', 'of a root beside another: it is called root-NAME')
    .option('--commit-next-root', 'it names the key of the next one (RFC 8649)')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', help)
    .action(create);
  atFolder(root, 'list', 'Sign the list of revoked authorities when it is due, once a year')
    .addHelpText('after', '\nExample:\n  birthmark ca root list --root /media/safe')
    .action(list);
  atFolder(root, 'revoke <certificate>', 'Revoke an authority, and sign the list that says so')
    .addOption(new Option('--reason <reason>').choices(reasons).default('cACompromise'))
    .addHelpText(
      'after',
      '\nExample:\n  birthmark ca root revoke operational.pem --root /media/safe',
    )
    .action(revoke);
  registerNextRoot(root);
  atFolder(ca, 'sign-request', 'At the root: certify the authorities that ask')
    .argument('<role=file...>', 'what each request is to be, and its file', roleFiles)
    .requiredOption('--out <folder>', 'where the certificates are written')
    .option('--profile <role=file...>', 'a profile of your own for it, JSON', roleFiles)
    .option('--dry-run', 'say what would be signed')
    .addHelpText('after', help)
    .action(sign);
  ca.command('import')
    .description('Take in what the root on another machine has signed')
    .argument('<files...>', 'certificates and lists, PEM')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', help)
    .action(importFiles);
}

async function create(options: CreateOptions): Promise<void> {
  const { root: folder, organization, algorithm, key, statusUrl, commitNextRoot = false } = options;
  if (key !== undefined) parseKeyUri(key);
  const fault = statusUrl === undefined ? undefined : faultOfBaseUrl(statusUrl);
  if (fault !== undefined) throw new CommandFailure(`--status-url: ${fault}`, exitCodes.usage);
  const shared = await sharesFor(options, folder);
  const passphrase =
    shared?.secret ?? (await readPassphrase({ prompt: 'Passphrase of the root', confirm: true }));
  const certificate = await createRoot(
    { folder, passphrase, clock },
    {
      organization,
      algorithm,
      ...(key === undefined ? {} : { key }),
      ...(statusUrl === undefined ? {} : { statusUrl }),
      commitsNext: commitNextRoot,
      name: options.name,
    },
  );
  const files = (await shared?.write(certificate)) ?? [];
  const made = options.name === undefined ? 'root' : `root-${options.name}`;
  const sha256 = toHex(nodeCrypto.hash('SHA-256', certificate));
  print(options, { folder, certificate: join(folder, `${made}.pem`), sha256, shares: files }, [
    `The root of ${organization}: ${join(folder, `${made}.pem`)}`,
    `  SHA-256 ${sha256}`,
    `Its list: ${join(folder, `${made}.crl`)}`,
    ...files.map((file) => `Share: ${file}`),
  ]);
}

async function sign(requests: readonly RoleFile[], options: SignOptions): Promise<void> {
  const profiles = new Map(
    (options.profile ?? []).map(({ role, file }) => [role, profileFrom(file)] as const),
  );
  const read = (await Promise.all(requests.map(readRequest))).map((one) => ({
    ...one,
    profile: profiles.get(one.role),
  }));
  const opening = { folder: options.root, passphrase: await rootSecret(options), clock };
  await atRoot(opening, async (root) => {
    const asked = read.map((one) => {
      const { role, profile, name, spki } = subjectOf(root.organization, one);
      const key = toHex(nodeCrypto.hash('SHA-256', spki));
      return { role, profile: profileLabel(profile), name, file: one.file, key };
    });
    const told = asked.map(
      ({ role, profile, name, key }) => `  ${role}: ${name}, ${profile}, key SHA-256 ${key}`,
    );
    if (options.dryRun === true) {
      print(options, { dryRun: true, requests: asked }, ['Would certify:', ...told]);
      return;
    }
    const certified = await signRequests(root, read);
    await mkdir(options.out, { recursive: true });
    const files: string[] = [];
    for (const [index, { certificate }] of certified.entries()) {
      const name = basename(read[index]?.file ?? '', '.csr');
      const file = join(options.out, `${name}.pem`);
      await writeWhole(file, encodePem('CERTIFICATE', certificate));
      files.push(file);
    }
    print(options, { certified: asked, files }, ['Certified:', ...told, ...files]);
  });
}

async function list(options: RootOptions): Promise<void> {
  const opening = { folder: options.root, passphrase: await rootSecret(options), clock };
  const file = await atRoot(opening, async (root) => {
    await signListAtRoot(root);
    return filesOfLists(root);
  });
  print(options, { file }, [`The list of the root: ${file}`]);
}

async function revoke(certificateFile: string, options: RevokeOptions): Promise<void> {
  const [certificate] = findPem(await readFile(certificateFile, 'utf8'));
  if (certificate?.label !== 'CERTIFICATE') {
    throw new CommandFailure(`${certificateFile} holds no certificate`, exitCodes.usage);
  }
  const opening = { folder: options.root, passphrase: await rootSecret(options), clock };
  const file = await atRoot(opening, async (root) => {
    await revokeAtRoot(root, certificate.der, options.reason, 'revoked at the root');
    return filesOfLists(root);
  });
  print(options, { revoked: certificateFile, file }, [
    `Revoked. The list that says so: ${file}; take it to the server with birthmark ca import.`,
  ]);
}

/** One of each root that is here: a former one signs on. */
function filesOfLists({ paths, issuer, further }: OpenRoot): string {
  return [issuer, ...further].map(({ name }) => join(paths.folder, `${name}.crl`)).join(' ');
}

async function importFiles(files: readonly string[], options: ImportOptions): Promise<void> {
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  const passphrase = await readPassphrase();
  const store = readStoreSetting(undefined);
  const {
    certified,
    list: number,
    pending,
  } = await importFromRoot(
    { dataFolder: options.data, passphrase, clock, store },
    texts.flatMap(findPem),
  );
  print(options, { certified, list: number ?? null, pending }, [
    ...certified.map((name) => `${name} is certified.`),
    ...(number === undefined ? [] : [`List ${number} of the root is here.`]),
    ...pending.map((file) => `Waits for the root: ${file}`),
    ...(pending.length === 0 ? ['Nothing waits for the root.'] : []),
  ]);
}
