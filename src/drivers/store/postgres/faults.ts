/** Tells the faults of server, network and disk from the answers of the database to a statement. */
import { DatabaseError } from 'pg';
import { EnvironmentError } from '../../../trust/ports/faults.ts';

/** The connection ended, or no answer came in time: nothing more can be asked on it. */
export class ConnectionLost extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : 'unknown', { cause });
    this.name = 'ConnectionLost';
  }
}

interface Fault {
  readonly problem: string;
  readonly retryable: boolean;
}

/**
 * SQLSTATEs (PostgreSQL documentation, appendix A) for which the outside is to blame; two characters are a
 * class.
 */
const environmental = new Map<string, Fault>([
  ['08', { problem: 'the connection is lost', retryable: true }],
  ['28', { problem: 'access was denied', retryable: false }],
  ['3D', { problem: 'there is no such database', retryable: false }],
  ['40', { problem: 'other transactions stand in the way', retryable: true }],
  ['53', { problem: 'the server has no room left', retryable: true }],
  ['57', { problem: 'the server ended the statement', retryable: true }],
  ['58', { problem: 'the server reports an error of its disk', retryable: true }],
  ['F0', { problem: 'the server is badly configured', retryable: false }],
  ['XX', { problem: 'the database is damaged', retryable: false }],
  ['25006', { problem: 'it is read-only', retryable: true }],
  ['42501', { problem: 'access was denied', retryable: false }],
  ['53100', { problem: 'the disk is full', retryable: true }],
  ['53200', { problem: 'out of memory', retryable: true }],
  ['53300', { problem: 'the server has too many connections', retryable: true }],
  ['55P03', { problem: 'another process writes it', retryable: true }],
  ['57014', { problem: 'the statement took too long', retryable: true }],
]);

/** admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout and 08xxx. */
const ending = /^(57P0[1-5]|08...|25P03)$/;

/** A value that has to be unique is there already; which index says so. */
export function uniqueViolation(error: unknown): string | undefined {
  return error instanceof DatabaseError && error.code === '23505'
    ? (error.constraint ?? '')
    : undefined;
}

export function isConnectionLost(error: unknown): boolean {
  return (
    error instanceof ConnectionLost ||
    (error instanceof DatabaseError && ending.test(error.code ?? ''))
  );
}

/** The transaction may not write: that of a copy, or of a session with that default. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof DatabaseError && error.code === '25006';
}

/** What a statement was answered, where the server is to blame and no statement of anybody. */
export function isEnvironmental(error: unknown): boolean {
  return error instanceof ConnectionLost || faultOf(error) !== undefined;
}

/** An `EnvironmentError` for faults of the outside; any other error as it is. */
export function environmentFault(error: unknown, doing: string): unknown {
  if (error instanceof ConnectionLost) {
    return new EnvironmentError(`${doing}: ${error.message}`, { retryable: true, cause: error });
  }
  const fault = faultOf(error);
  if (fault === undefined) return error;
  const { problem, retryable } = fault;
  return new EnvironmentError(`${doing}: ${problem}`, { retryable, cause: error });
}

function faultOf(error: unknown): Fault | undefined {
  if (!(error instanceof DatabaseError) || error.code === undefined) return undefined;
  return environmental.get(error.code) ?? environmental.get(error.code.slice(0, 2));
}
