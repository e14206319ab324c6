/**
 * What the server's processes say while they run: one JSON object a line on stderr. Only named fields of
 * ours go in, never an object of the outside: what is not written here cannot leak here.
 */
import { type Logger, pino } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;

export type LogLevel = (typeof logLevels)[number];

const standardError = 2;

/** Written before the call returns, so that the last words of a process that dies are there. */
export function openLog(process: string, level: LogLevel): Logger {
  return pino(
    {
      level,
      base: { process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd: standardError, sync: true }),
  );
}
