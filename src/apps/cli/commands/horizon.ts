/** `birthmark ca horizon`: what ends when, what has to be done before, and what is late. */
import { type Command, InvalidArgumentError } from 'commander';
import { authorityPaths, requireInstallation } from '../../authority/authorityFolder.ts';
import { InspectionClient } from '../../../drivers/links/local/inspectionClient.ts';
import type { Horizon } from '../../../trust/ports/inspection.ts';
import { horizonOf } from '../../authority/horizon.ts';
import { endOfYear } from '../../authority/inspection.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { type OutputOptions, print, table } from '../terminal.ts';

interface HorizonOptions extends OutputOptions, ReachOptions {
  readonly store?: string;
  /** A year. */
  readonly until: number;
}

/** Fifteen years of a device that is born now. */
const usualYear = 2041;

export function registerHorizon(ca: Command): void {
  const about = 'What ends when, and until when each authority can issue';
  reachable(ca.command('horizon').description(about))
    .option('--until <year>', 'how far to plan generations to come', year, usualYear)
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark ca horizon --until 2050
  birthmark ca horizon --server https://birthmark.example:8444 --operator ./ada

A leaf ends no later than its issuer: an authority whose remaining life is shorter than that of the
certificate that is asked for refuses to issue it, and horizon warns a year before.`,
    )
    .action(horizon);
}

async function horizon(options: HorizonOptions): Promise<void> {
  const { rows, events, warnings } = await horizonFrom(options);
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

async function horizonFrom(options: HorizonOptions): Promise<Horizon> {
  const { data, store, until, server } = options;
  if (server !== undefined) {
    return new InspectionClient(reachOf(options, 'authority')).horizon(until);
  }
  const paths = authorityPaths(data);
  await requireInstallation(paths);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(store));
  return horizonOf({ paths, snapshot, nowMs: Date.now(), untilMs: endOfYear(until) });
}

function year(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 2000 && value <= 2200) return value;
  throw new InvalidArgumentError('a year is expected');
}

function day(timeMs: number | undefined): string {
  return timeMs === undefined ? 'never' : new Date(timeMs).toISOString().slice(0, 10);
}
