/** Where orders and tickets are written down on another machine: `ledger.json` in the authority's folder. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LedgerFolder, readLedger } from '../../drivers/store/files/ledgerFolder.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { LedgerLine, TicketLedger } from '../../trust/ports/ticketLedger.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { type AuthorityPaths, writeWhole } from './authorityFolder.ts';

/** `undefined` where none was named. Rejects with a `MalformedError` for a broken file. */
export async function configuredLedger(paths: AuthorityPaths): Promise<TicketLedger | undefined> {
  const path = join(paths.folder, fileName);
  if (!existsSync(path)) return undefined;
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  const folder: unknown =
    typeof value === 'object' && value !== null ? Reflect.get(value, 'folder') : undefined;
  if (typeof folder === 'string') return new LedgerFolder(folder);
  throw new MalformedError(fileName, 0, 'it names no folder');
}

/**
 * From the next start on. What was ordered before is written there first; a folder that holds a ledger
 * already goes on. Rejects with an `EnvironmentError` when it cannot be written.
 */
export async function configureLedger(
  paths: AuthorityPaths,
  target: string,
  known: readonly LedgerLine[],
): Promise<void> {
  const folder = resolve(target);
  const ledger = new LedgerFolder(folder);
  const present = new Set(await linesIn(folder));
  for (const line of known) if (!present.has(nameOf(line))) await ledger.note(line);
  await writeWhole(join(paths.folder, fileName), `${JSON.stringify({ folder })}\n`);
}

async function linesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readLedger(folder)).map(nameOf);
  } catch (error) {
    if (error instanceof EnvironmentError) return [];
    throw error;
  }
}

function nameOf(line: LedgerLine): string {
  return line.kind === 'order' ? `order ${line.order.order}` : `ticket ${line.ticketId.join()}`;
}

const fileName = 'ledger.json';
