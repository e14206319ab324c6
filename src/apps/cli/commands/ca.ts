/** `birthmark ca`: makes the authorities and shows them. The root key opens here and nowhere else. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import {
  authorityPaths,
  type AuthorityPaths,
  requireInstallation,
} from '../../authority/authorityFolder.ts';
import {
  authorityAlgorithms,
  type AuthorityRecord,
  defaultBook,
  faultOfBook,
  offlineKey,
} from '../../authority/book.ts';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import { initializeAuthority, plannedAuthorities } from '../../authority/initialize.ts';
import { readAuthorities } from '../../authority/inspection.ts';
import { algorithmOfRoot } from '../../authority/requests.ts';
import type { StatusPlan } from '../../authority/statusPlan.ts';
import { faultOfBaseUrl } from '../../../trust/issuance/distribution.ts';
import { isShardCount, maximumShards } from '../../../wire/crl/shard.ts';
import { parseHex } from '../../../wire/bytes/hex.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parsePem } from '../../../wire/x509/pem.ts';
import type { AuthorityView } from '../../../trust/ports/inspection.ts';
import { InspectionClient } from '../../../drivers/links/local/inspectionClient.ts';
import { readPassphrase } from '../../passphrase.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import { CommandFailure, exitCodes, type OutputOptions, print, table } from '../terminal.ts';
import { registerAddAuthority } from './addAuthority.ts';
import { registerCeremony } from './ceremony.ts';
import { registerCompromise } from './compromise.ts';

import { registerFloor } from './floor.ts';
import { registerHorizon } from './horizon.ts';
import { registerRollover } from './rollover.ts';
import { registerRoot } from './root.ts';
import {
  modeOf,
  registerTwoPerson,
  switchOn,
  type TwoPersonOptions,
  twoPersonOptions,
} from './twoPerson.ts';

interface DataOptions extends OutputOptions {
  readonly data: string;
}

interface InitOptions extends DataOptions, TwoPersonOptions {
  readonly twoPerson?: boolean;
  readonly organization: string;
  readonly eui64?: string;
  readonly store?: string;
  readonly key?: ReadonlyMap<string, string>;
  readonly algorithm?: ReadonlyMap<string, string>;
  readonly moreRoot?: ReadonlyMap<string, string>;
  readonly rootOffline?: string;
  readonly factory?: ReadonlyMap<string, string>;
  readonly commitNextRoot?: boolean;
  readonly statusUrl?: string;
  readonly shards?: number;
  readonly birthStatus?: boolean;
  readonly dryRun?: boolean;
}

export const defaultData: string = process.env['BIRTHMARK_DATA'] ?? './birthmark-data';

export function registerCa(program: Command): void {
  const ca = program.command('ca').description('The authorities of this installation');
  twoPersonOptions(ca.command('init'))
    .description('Make root, factory, operational and server authority with their keys')
    .option('--two-person', 'dangerous acts take two persons from the beginning, for good')
    .requiredOption('--organization <name>', 'the maker: O of every certificate')
    .option('--data <folder>', 'data folder', defaultData)
    .option('--eui64 <hex>', 'first EUI-64 to hand out (default: a locally administered block)')
    .option('--key <authority=uri>', 'keep its key in a PKCS#11 token (RFC 7512)', pairs)
    .option('--algorithm <authority=name>', `one of ${authorityAlgorithms.join(', ')}`, pairs)
    .option('--factory <name=products>', 'one more, factory-NAME, for these products alone', pairs)
    .option('--commit-next-root', 'the root names the key of the next one (RFC 8649)')
    .option('--root-offline <file>', 'certificate of a root on another machine, PEM')
    .option('--more-root <name=algorithm>', 'another root beside the first, root-NAME', pairs)
    .option(
      '--store <url>',
      'keep its database on PostgreSQL (default: BIRTHMARK_STORE, else SQLite in the folder)',
    )
    .option(
      '--status-url <url>',
      'plain http, where revocation lists and OCSP will be found for as long as certificates live',
    )
    .option('--shards <n>', 'lists of each authority, a power of two (default: 64)', Number)
    .option('--birth-status', 'birth certificates name the status URL too, for ever')
    .option('--dry-run', 'say what would be made')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark ca init --organization "Example Sensors"
  birthmark ca init --organization "Example Sensors" --two-person \\
    --admin ada=ada/request.pem --admin bob=bob/request.pem
  BIRTHMARK_PASSPHRASE_FILE=/run/secrets/ca birthmark ca init --organization "Example Sensors"
  birthmark ca init --organization "Example Sensors" --more-root pq=ML-DSA-65 \\
    --key 'operational=pkcs11:token=ca;object=operational?module-path=/usr/lib/softhsm/libsofthsm2.so'

Certificates say where their status is found from the first one on, or never: --status-url is written into
each of them and cannot be changed later. A door for it: birthmark serve --status-port.

The PIN of a token comes from the file that pin-source=file:PATH in its URI names, from
BIRTHMARK_PIN_FILE or from BIRTHMARK_PIN. A key of that label is used when the token has one, and made
when it has none. A second call after a crash makes what is missing and keeps what is there.`,
    )
    .action(init);
  reachable(ca.command('show').description('The authorities and their certificates'))
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark ca show --json\n  birthmark ca show --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(show);
  registerTwoPerson(ca);
  registerRollover(ca);
  registerCompromise(ca);
  registerFloor(ca);
  registerCeremony(ca);
  registerRoot(ca);
  registerAddAuthority(ca);
  registerHorizon(ca);
}

async function init(options: InitOptions): Promise<void> {
  const { organization, data, eui64 } = options;
  if (organization.length > 64 || organization === '' || /\p{Cc}/u.test(organization)) {
    throw new CommandFailure('--organization takes 1 to 64 characters', exitCodes.usage);
  }
  const eui64Base = eui64 === undefined ? undefined : parseHex(eui64);
  if (eui64 !== undefined && eui64Base?.length !== 8) {
    throw new CommandFailure('--eui64 takes 16 hexadecimal digits', exitCodes.usage);
  }
  if (options.twoPerson === true && options.rootOffline !== undefined) {
    throw new CommandFailure(
      'with --root-offline: birthmark ca two-person, after birthmark ca import',
      exitCodes.usage,
    );
  }
  const planned = {
    dataFolder: data,
    organization,
    ...(await authoritiesOf(options)),
    ...(eui64Base === undefined ? {} : { eui64Base }),
    ...statusOf(options),
    store: readStoreSetting(options.store),
  };
  const { paths, complete, book } = await plannedAuthorities(planned);
  if (options.dryRun === true) return tellPlan(options, complete !== undefined, paths, book);
  const passphrase = await readPassphrase({ confirm: complete === undefined });
  const { pending } = await initializeAuthority({
    ...planned,
    passphrase,
    clock: { nowMs: Date.now },
    ...(options.commitNextRoot === undefined ? {} : { commitNextRoot: options.commitNextRoot }),
  });
  if (options.twoPerson === true) await switchOn(options, passphrase);
  if (pending.length === 0) return show(options);
  print(options, { organization, folder: paths.folder, pending }, [
    ...pending.map((file) => `Waits for the root: ${file}`),
    'Take these to the root (birthmark ca sign-request), and what comes back to birthmark ca import.',
  ]);
}

function tellPlan(
  options: InitOptions,
  present: boolean,
  { folder }: AuthorityPaths,
  book: readonly AuthorityRecord[],
): void {
  const { organization } = options;
  const names = book.map(({ name }) => name);
  print(options, { dryRun: true, folder, present, authorities: names }, [
    present
      ? `${folder} holds the authorities of ${organization}: nothing to make.`
      : `Would make ${names.length} authorities of ${organization} in ${folder}: ${names.join(', ')}.`,
  ]);
}

function statusOf({ statusUrl, shards, birthStatus }: InitOptions): {
  readonly status?: StatusPlan;
} {
  if (statusUrl === undefined) {
    if (shards === undefined && birthStatus === undefined) return {};
    throw new CommandFailure('--shards and --birth-status go with --status-url', exitCodes.usage);
  }
  const fault = faultOfBaseUrl(statusUrl);
  if (fault !== undefined) throw new CommandFailure(`--status-url: ${fault}`, exitCodes.usage);
  if (shards !== undefined && !isShardCount(shards)) {
    throw new CommandFailure(`--shards is a power of two up to ${maximumShards}`, exitCodes.usage);
  }
  return {
    status: {
      baseUrl: statusUrl,
      ...(shards === undefined ? {} : { shards }),
      ...(birthStatus === undefined ? {} : { birth: birthStatus }),
    },
  };
}

/** Nothing where nothing was asked for: what a first call has written counts. */
async function authoritiesOf(options: InitOptions): Promise<{
  readonly authorities?: readonly AuthorityRecord[];
  readonly rootCertificate?: Uint8Array;
}> {
  const { key: keys, algorithm: algorithms, moreRoot: roots, rootOffline, factory } = options;
  const rootCertificate =
    rootOffline === undefined
      ? undefined
      : parsePem(await readFile(rootOffline, 'utf8'), 'CERTIFICATE');
  if (
    keys === undefined &&
    algorithms === undefined &&
    roots === undefined &&
    factory === undefined &&
    rootCertificate === undefined
  ) {
    return {};
  }
  const further = [...(roots ?? [])].map(([name, algorithm]): AuthorityRecord => {
    const full = `root-${name}`;
    return { name: full, role: 'root', algorithm: algorithmOf(algorithm), state: 'active' };
  });
  const first = defaultBook
    .slice(0, 1)
    .map((root) =>
      rootCertificate === undefined
        ? root
        : { ...root, algorithm: algorithmOfRoot(rootCertificate), key: offlineKey },
    );
  const factories = [...(factory ?? [])].map(([name, products]): AuthorityRecord => {
    const serves = { products: products.split(','), batches: [] };
    const full = `factory-${name}`;
    return { name: full, role: 'factory', algorithm: 'ecdsa-with-SHA256', serves, state: 'active' };
  });
  const book = [...first, ...further, ...defaultBook.slice(1), ...factories];
  for (const name of [...(keys?.keys() ?? []), ...(algorithms?.keys() ?? [])]) {
    if (book.some((record) => record.name === name)) continue;
    throw new CommandFailure(`no authority is called ${name}`, exitCodes.usage);
  }
  const authorities = book.map((record): AuthorityRecord => {
    const key = keys?.get(record.name);
    if (key !== undefined) parseKeyUri(key);
    const algorithm = algorithms?.get(record.name);
    return {
      ...record,
      ...(algorithm === undefined ? {} : { algorithm: algorithmOf(algorithm) }),
      ...(key === undefined ? {} : { key }),
    };
  });
  const fault = faultOfBook(authorities);
  if (fault !== undefined) throw new CommandFailure(fault, exitCodes.usage);
  return { authorities, ...(rootCertificate === undefined ? {} : { rootCertificate }) };
}

function algorithmOf(text: string): AuthorityRecord['algorithm'] {
  const found = authorityAlgorithms.find((algorithm) => algorithm === text);
  if (found !== undefined) return found;
  throw new CommandFailure(
    `an algorithm is one of ${authorityAlgorithms.join(', ')}`,
    exitCodes.usage,
  );
}

/** NAME=VALUE, several times. */
function pairs(text: string, before?: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const [, name, value] = /^([a-z][a-z0-9-]{0,30})=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError('name=value is expected');
  }
  return new Map([...(before ?? []), [name, value]]);
}

async function show(options: ShowOptions): Promise<void> {
  const { place, ...shown } =
    options.server === undefined ? await shownHere(options.data) : await shownElsewhere(options);
  const { document: mode, lines } = await modeOf(options);
  print(options, { ...shown, ...mode }, [
    `${shown.organization}, in ${place}`,
    ...lines,
    ...table([
      ['', '', 'subject', 'algorithm', 'key', 'SHA-256'],
      ...shown.certificates.map(({ name, state, subject, algorithm, key, sha256 }) => [
        name,
        state,
        subject,
        algorithm,
        key,
        `${sha256.slice(0, 16)}…`,
      ]),
    ]),
  ]);
}

type ShowOptions = OutputOptions & ReachOptions;

interface Shown {
  readonly place: string;
  readonly organization: string;
  readonly eui64Base: string;
  readonly certificates: readonly AuthorityView[];
}

async function shownHere(data: string): Promise<Shown & { readonly folder: string }> {
  const paths = authorityPaths(data);
  const { organization, eui64Base } = await requireInstallation(paths);
  const { folder } = paths;
  const certificates = await readAuthorities(paths);
  return { place: folder, organization, folder, eui64Base: toHex(eui64Base), certificates };
}

async function shownElsewhere(options: ShowOptions): Promise<Shown> {
  const desk = new InspectionClient(reachOf(options, 'authority'));
  const { organization, eui64Base, authorities } = await desk.authorities();
  const place = options.server?.host ?? '';
  return { place, organization, eui64Base: toHex(eui64Base), certificates: authorities };
}
