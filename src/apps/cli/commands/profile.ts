/** `birthmark profile`: what certificates say, as data. */
import type { Command } from 'commander';
import { ProfileClient } from '../../../drivers/links/local/profileClient.ts';
import { type Profile, profileLabel } from '../../../trust/issuance/profile.ts';
import { profileText } from '../../../trust/issuance/profileBook.ts';
import { isRefusal } from '../../../trust/ports/faults.ts';
import type { ProfileView } from '../../../trust/ports/profileDesk.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { utf8 } from '../../../wire/bytes/utf8.ts';
import { readProfile } from '../../authority/profileDocument.ts';
import { sha256 } from '../../authority/witnesses.ts';
import { approvable, type ApprovableOptions, ask, wouldAsk } from '../approving.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { profileFrom } from '../profileFile.ts';
import { allowed, CommandFailure, type OutputOptions, print, table } from '../terminal.ts';

interface DataOptions extends OutputOptions, ReachOptions {
  readonly dryRun?: boolean;
}

type AddOptions = DataOptions & ApprovableOptions;

export function registerProfile(program: Command): void {
  const profile = program
    .command('profile')
    .description('What certificates of each kind say, in every version that ever was');
  common(profile.command('list'))
    .description('All profiles; former versions with --all')
    .option('--all', 'former versions too')
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark profile list\n  birthmark profile list --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(list);
  common(profile.command('show <name>'))
    .description('A profile as the JSON document that profile add takes')
    .addHelpText(
      'after',
      `
Examples:
  birthmark profile show ldevid > meter.json
  birthmark profile show meter@1`,
    )
    .action(show);
  profile
    .command('check <file>')
    .description('Hold a file against the schema and against itself; asks nobody')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark profile check meter.json')
    .action(check);
  approvable(common(profile.command('add <file>')))
    .description('Add a profile, or the next version of one that was added')
    .option('--dry-run', 'check it and say what would be added')
    .addHelpText('after', addHelp)
    .action(add);
}

const addHelp = `
Example:
  birthmark profile show ldevid > meter.json    change name, version and what is to differ
  birthmark profile check meter.json
  birthmark profile add meter.json
  birthmark enrolment policy meter

The version is 1 for a new name and one more with every change. Versions are kept for good, with their
hash in the audit log. Profiles that come with Birthmark cannot be replaced. One of an authority is named by
birthmark ca add and ca rollover announce --profile.`;

function common(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

async function list(options: DataOptions & { readonly all?: boolean }): Promise<void> {
  const all = await withClient(options, (client) => client.profiles());
  const shown = options.all === true ? all : all.filter(({ former }) => !former);
  print(options, { profiles: shown.map(documentOf) }, [
    ...table([
      ['profile', 'issued by', 'lives', '', 'SHA-256'],
      ...shown.map((view) => {
        const profile = parsed(view);
        const state = [view.builtIn ? 'built in' : '', view.former ? 'former' : ''];
        return [
          profileLabel(profile),
          profile.issuedBy.join(', '),
          lifeOf(profile),
          state.filter((word) => word !== '').join(', '),
          toHex(view.sha256),
        ];
      }),
    ]),
  ]);
}

async function show(wanted: string, options: DataOptions): Promise<void> {
  const all = await withClient(options, (client) => client.profiles());
  const found = all.find(
    (view) => `${view.name}@${view.version}` === wanted || (view.name === wanted && !view.former),
  );
  if (found === undefined) throw new CommandFailure(`no profile ${wanted}`);
  print(options, documentOf(found), [JSON.stringify(JSON.parse(found.text), undefined, 2)]);
}

function check(file: string, options: OutputOptions): void {
  const profile = profileFrom(file);
  const hash = toHex(sha256(utf8(profileText(profile))));
  print(options, { profile: profileLabel(profile), sha256: hash }, [
    `${profileLabel(profile)} is sound. SHA-256 ${hash}`,
  ]);
}

async function add(file: string, options: AddOptions): Promise<void> {
  const profile = profileFrom(file);
  const change = { profile: profileLabel(profile), sha256: sha256(utf8(profileText(profile))) };
  const hash = toHex(change.sha256);
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'profile.change', change);
    print(options, { dryRun: true, profile: change.profile, sha256: hash, ...would.document }, [
      `Would add ${change.profile}, SHA-256 ${hash}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'profile.change', () => change);
  if (asked === undefined) return;
  const added = await withClient(options, async (client) =>
    allowed(await client.addProfile(profile, asked.approval)),
  );
  print(options, documentOf(added), [
    `${added.name}@${added.version} is there, SHA-256 ${toHex(added.sha256)}.`,
  ]);
}

function lifeOf({ lifetime }: Profile): string {
  switch (lifetime.kind) {
    case 'unlimited':
      return 'without end';
    case 'days':
      return `${lifetime.days} days`;
    case 'years':
      return `${lifetime.years} years`;
  }
}

function parsed({ name, version, text }: ProfileView): Profile {
  const profile = readProfile(JSON.parse(text));
  if (isRefusal(profile)) {
    throw new CommandFailure(`${name}@${version} is of a newer birthmark: ${profile.reason}`);
  }
  return profile;
}

function documentOf({ text, sha256: hash, ...view }: ProfileView): object {
  const profile: unknown = JSON.parse(text);
  return { ...view, sha256: toHex(hash), profile };
}

async function withClient<Value>(
  options: ReachOptions,
  use: (client: ProfileClient) => Promise<Value>,
): Promise<Value> {
  const client = new ProfileClient(reachOf(options, 'authority'));
  try {
    return await use(client);
  } finally {
    client.close();
  }
}
