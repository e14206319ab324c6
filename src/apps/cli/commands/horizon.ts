/** `birthmark ca horizon`: what ends when, what has to be done before, and what is late. */
import { type Command, InvalidArgumentError } from 'commander';
import { authorityPaths, requireInstallation } from '../../authority/authorityFolder.ts';
import { horizonOf } from '../../authority/horizon.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { defaultData } from '../dataFolder.ts';
import { type OutputOptions, print, table } from '../terminal.ts';

interface HorizonOptions extends OutputOptions {
  readonly data: string;
  readonly store?: string;
  /** A year. */
  readonly until: number;
}

/** Fifteen years of a device that is born now. */
const usualYear = 2041;

export function registerHorizon(ca: Command): void {
  ca.command('horizon')
    .description('What ends when, and until when each authority can issue')
    .option('--until <year>', 'how far to plan generations to come', year, usualYear)
    .option('--data <folder>', 'data folder', defaultData())
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Example:
  birthmark ca horizon --until 2050

A leaf ends no later than its issuer: an authority whose remaining life is shorter than that of the
certificate that is asked for refuses to issue it, and horizon warns a year before.`,
    )
    .action(horizon);
}

async function horizon(options: HorizonOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(options.store));
  const untilMs = Date.UTC(options.until, 11, 31, 23, 59, 59);
  const { rows, events, warnings } = await horizonOf({
    paths,
    snapshot,
    nowMs: Date.now(),
    untilMs,
  });
  print(
    options,
    {
      rows: rows.map((row) => ({
        ...row,
        endsMs: row.endsMs ?? null,
        issuesUntilMs: row.issuesUntilMs ?? null,
      })),
      events,
      warnings,
    },
    [
      ...warnings.map((warning) => `WARNING ${warning}`),
      ...table([
        ['', '', '', 'ends', 'issues in full until'],
        ...rows.map(({ kind, name, detail, endsMs, issuesUntilMs }) => [
          kind,
          name,
          detail,
          day(endsMs),
          kind !== 'authority' || endsMs === undefined ? '' : day(issuesUntilMs),
        ]),
      ]),
      `To the end of ${options.until}:`,
      ...table(events.map(({ atMs, name, event }) => [`  ${day(atMs)}`, name, event])),
    ],
  );
}

function year(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 2000 && value <= 2200) return value;
  throw new InvalidArgumentError('a year is expected');
}

function day(timeMs: number | undefined): string {
  return timeMs === undefined ? 'never' : new Date(timeMs).toISOString().slice(0, 10);
}
