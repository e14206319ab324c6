/** `birthmark ca compromise`: what the loss of an authority's key would mean, before anybody acts. */
import type { Command } from 'commander';
import {
  type AuthorityName,
  authorityNames,
  authorityPaths,
  requireInstallation,
} from '../../authority/authorityFolder.ts';
import { assessCompromise } from '../../authority/compromise.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, type OutputOptions, print } from '../terminal.ts';

interface CompromiseOptions extends OutputOptions {
  readonly data: string;
  readonly dryRun?: boolean;
  readonly store?: string;
}

export function registerCompromise(ca: Command): void {
  ca.command('compromise <role>')
    .description(`Count what falls with an authority's key (${authorityNames.join(', ')})`)
    .requiredOption('--dry-run', 'the only way it runs: it counts and tells, and changes nothing')
    .option('--data <folder>', 'data folder', defaultData())
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark ca compromise operational --dry-run')
    .action(compromise);
}

async function compromise(text: string, options: CompromiseOptions): Promise<void> {
  const role = authorityNames.find((name): name is AuthorityName => name === text);
  if (role === undefined) {
    throw new CommandFailure(`a role is one of ${authorityNames.join(', ')}`, exitCodes.usage);
  }
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(options.store));
  const report = await assessCompromise(snapshot, role, Date.now());
  const { live, canFollow, cannotFollow, listed, steps } = report;
  const kinds = live.map(({ profile, count }) => `${count} ${profile}`).join(', ');
  print(options, { dryRun: true, ...report }, [
    `Certificates that fall with the ${role} authority: ${kinds === '' ? 'none' : kinds}.`,
    `Devices that can follow by themselves: ${canFollow}; that cannot: ${cannotFollow}.`,
    ...listed.map((deviceId) => `  ${deviceId}`),
    ...(cannotFollow > listed.length ? [`  and ${cannotFollow - listed.length} more`] : []),
    'What to do:',
    ...steps.map((step, index) => `  ${index + 1}. ${step}`),
  ]);
}
