/** `birthmark crl`: the lists of revoked certificates, and those that the roots sign once a year. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { StatusClient } from '../../../drivers/links/local/statusClient.ts';
import type { ListSummary } from '../../../trust/ports/statusStore.ts';
import type { RootUse } from '../../../trust/approvals/acts.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parseCertificateList, revokedEntries } from '../../../wire/crl/certificateList.ts';
import { encodePem } from '../../../wire/x509/pem.ts';
import { carryOutAtRest } from '../../authority/approvalOffice.ts';
import { signRootLists } from '../../authority/rootList.ts';
import { dueLists, useForLists } from '../../authority/rootUse.ts';
import { readPassphrase } from '../../passphrase.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import { approvable, type ApprovableOptions, ask, wouldAsk } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface DataOptions extends OutputOptions, ReachOptions {}

interface SignOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
}

interface ShowOptions extends DataOptions {
  readonly out?: string;
}

export function registerCrl(program: Command): void {
  const crl = program.command('crl').description('Lists of revoked certificates (RFC 5280)');
  shown(crl.command('list').description('Every list: its number, its entries, its next one'))
    .addHelpText('after', '\nExample:\n  birthmark crl list --json')
    .action(list);
  shown(crl.command('show <authority> <shard>').description('One list, entry by entry'))
    .option('--out <file>', 'write the list there, PEM, for other tools')
    .addHelpText(
      'after',
      `
Examples:
  birthmark crl show operational 7
  birthmark crl show operational 7 --server https://birthmark.example:8444 --operator ./ada
  birthmark crl show operational 7 --out shard.pem && openssl crl -in shard.pem -noout -text`,
    )
    .action(show);
  approvable(crl.command('sign-root').description('Sign the lists of the roots, once a year'))
    .option('--data <folder>', 'data folder of the server', defaultData())
    .option('--dry-run', 'say which lists would be signed, open no key')
    .option('--json', 'one JSON document on stdout')
    .option(
      '--store <url>',
      'its database on PostgreSQL (default: BIRTHMARK_STORE, else SQLite in the folder)',
    )
    .addHelpText(
      'after',
      `
Example:
  birthmark crl sign-root --data /srv/birthmark

The roots' keys open here, so the server must not run on the same folder. Nothing is signed before its
time: a second call is harmless.`,
    )
    .action(signRoot);
}

function shown(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

async function list(options: DataOptions): Promise<void> {
  await withStatus(options, async (client) => {
    const lists = [...(await client.lists())].sort(byName);
    print(options, { lists }, [
      ...table([
        ['authority', 'list', 'number', 'entries', 'signed', 'good until'],
        ...lists.map((one) => [
          one.authority,
          String(one.shard),
          String(one.number),
          String(one.count),
          timeOf(one.thisUpdateMs),
          timeOf(one.nextUpdateMs),
        ]),
      ]),
      `${lists.reduce((total, { count }) => total + count, 0)} entries on ${lists.length} lists`,
    ]);
  });
}

async function show(authority: string, shard: string, options: ShowOptions): Promise<void> {
  if (!/^(?:0|[1-9]\d{0,3})$/.test(shard)) {
    throw new CommandFailure(`${shard} is no number of a list`, exitCodes.usage);
  }
  await withStatus(options, async (client) => {
    const der = await client.list({ authority, shard: Number(shard) });
    if (der === undefined) throw new CommandFailure(`there is no list ${authority} ${shard}`);
    const parsed = parseCertificateList(der);
    if (options.out !== undefined) writeFileSync(options.out, encodePem('X509 CRL', der));
    const entries = [...revokedEntries(parsed)].map(({ serialNumber, revokedAtMs, reason }) => ({
      serialNumber: toHex(serialNumber),
      revokedAtMs,
      reason: reason ?? 'unspecified',
    }));
    const number = toHex(parsed.crlNumber ?? new Uint8Array(0));
    const { thisUpdateMs, nextUpdateMs } = parsed;
    const document = {
      authority,
      shard: Number(shard),
      number,
      thisUpdateMs,
      nextUpdateMs,
      entries,
    };
    print(options, document, [
      `List ${shard} of ${authority}, number 0x${number}, of ${timeOf(thisUpdateMs)}`,
      ...table(
        entries.map((entry) => [entry.serialNumber, timeOf(entry.revokedAtMs), entry.reason]),
      ),
      `${entries.length} entries`,
    ]);
  });
}

async function signRoot(options: SignOptions): Promise<void> {
  const store = readStoreSetting(options.store);
  const folder = { dataFolder: options.data, clock: { nowMs: Date.now }, store };
  const use = await useForLists(folder);
  if (options.dryRun === true) return tellPlan(options, use, await dueLists(folder, Date.now()));
  const asked = await ask(options, 'root.use', () => use);
  if (asked === undefined) return;
  const passphrase = await readPassphrase();
  const lists = allowed(
    await carryOutAtRest(folder, { kind: 'root.use', ...asked }, (begun) =>
      signRootLists({ ...folder, passphrase }, begun),
    ),
  );
  print(
    options,
    { lists },
    lists.map(
      ({ authority, number, count, thisUpdateMs, nextUpdateMs }) =>
        `List ${number} of ${authority}, ${count} entries, signed ${timeOf(thisUpdateMs)}, good until ${timeOf(nextUpdateMs)}`,
    ),
  );
}

async function tellPlan(options: SignOptions, use: RootUse, due: readonly string[]): Promise<void> {
  const asked = await wouldAsk(options, 'root.use', use);
  const lists = use.lists.map(({ authority, entries }) => {
    return { authority, entries, due: due.includes(authority) };
  });
  print(options, { dryRun: true, lists, ...asked.document }, [
    ...lists.map(({ authority, entries, due: isDue }) =>
      isDue
        ? `Would sign the list of ${authority} with ${entries} entries.`
        : `The list of ${authority} with ${entries} entries is good: its time has not come.`,
    ),
    ...asked.lines,
  ]);
}

async function withStatus(
  options: DataOptions,
  use: (client: StatusClient) => Promise<void>,
): Promise<void> {
  const client = new StatusClient(reachOf(options, 'authority'));
  try {
    await use(client);
  } finally {
    client.close();
  }
}

function byName(left: ListSummary, right: ListSummary): number {
  if (left.authority !== right.authority) return left.authority < right.authority ? -1 : 1;
  return left.shard - right.shard;
}

function timeOf(atMs: number | undefined): string {
  return atMs === undefined ? 'never' : new Date(atMs).toISOString();
}
