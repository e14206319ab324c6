#!/usr/bin/env -S node --disable-warning=ExperimentalWarning
/** The `birthmark` command. */
import { birthmarkProgram } from './program.ts';
import { closeReach } from './reach.ts';
import { exitCodes, explain } from './terminal.ts';

try {
  await birthmarkProgram().parseAsync();
} catch (error) {
  process.exitCode = report(error);
} finally {
  await closeReach();
}

function report(error: unknown): number {
  // commander has printed its own message by then.
  if (error instanceof Error && error.name === 'CommanderError') {
    return 'exitCode' in error && error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  }
  const { message, exitCode } = explain(error);
  process.stderr.write(`birthmark: ${message}\n`);
  return exitCode;
}
