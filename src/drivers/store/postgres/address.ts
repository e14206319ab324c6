/**
 * Where a PostgreSQL server is, as people write it: `postgres://user@host:5432/database?sslmode=verify-full`.
 * An address never holds a password, since addresses stand in process lists, shell histories and logs.
 */
import { readFileSync } from 'node:fs';
import { type Refusal, refuse } from '../../../trust/ports/faults.ts';

export interface StoreAddress {
  /** Name or address; a path that begins with `/` is the folder of a local socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly encryption: StoreEncryption;
}

export type StoreEncryption =
  | { readonly kind: 'none' }
  /** The server's name and chain are verified. */
  | { readonly kind: 'verified'; readonly rootCertificatePath: string | undefined };

const parameters = new Set(['host', 'sslmode', 'sslrootcert']);

/** Says what is wrong without repeating the text, which may hold a password after all. */
export function readStoreAddress(text: string): StoreAddress | Refusal<'store-address'> {
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    return no('A store is written postgres://USER@HOST:PORT/DATABASE.');
  }
  if (url.password !== '' || url.searchParams.has('password')) {
    return no(
      'An address must not hold a password: put it into the file that BIRTHMARK_STORE_PASSWORD_FILE names.',
    );
  }
  const unknown = [...url.searchParams.keys()].find((name) => !parameters.has(name));
  if (unknown !== undefined) return no(`The parameter ${unknown} is not known.`);
  const database = unescaped(url.pathname.slice(1));
  const user = unescaped(url.username);
  if (database === undefined || user === undefined || /[/\0]/.test(database + user)) {
    return no('User and database are names.');
  }
  if (database === '') return no('The address names no database.');
  const host = url.searchParams.get('host') ?? (unescaped(url.hostname) || localSockets);
  const encryption = encryptionOf(host, url.searchParams);
  if ('refused' in encryption) return encryption;
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    user: user === '' ? 'birthmark' : user,
    database,
    encryption,
  };
}

/** For messages: never more than a person needs to find the server. */
export function describeAddress({ host, port, database }: StoreAddress): string {
  return host.startsWith('/') ? `${database} at ${host}` : `${database} at ${host}:${port}`;
}

/** What `tls.connect` wants, or `false`. Throws when the root certificate cannot be read. */
export function tlsOptions({
  encryption,
  host,
}: StoreAddress):
  | false
  | { readonly rejectUnauthorized: true; readonly servername: string; readonly ca?: string } {
  if (encryption.kind === 'none') return false;
  const { rootCertificatePath: path } = encryption;
  const ca = path === undefined ? {} : { ca: readFileSync(path, 'utf8') };
  return { rejectUnauthorized: true, servername: host, ...ca };
}

const localSockets = '/var/run/postgresql';

function encryptionOf(
  host: string,
  given: URLSearchParams,
): StoreEncryption | Refusal<'store-address'> {
  const mode = given.get('sslmode');
  if (mode === 'verify-full') {
    return { kind: 'verified', rootCertificatePath: given.get('sslrootcert') ?? undefined };
  }
  if (mode === 'disable') return { kind: 'none' };
  // Modes between the two encrypt for whoever answers: they look like protection and are none.
  if (mode !== null) return no('sslmode is verify-full or disable.');
  const local = host.startsWith('/') || /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/.test(host);
  return local ? { kind: 'none' } : no('A server on another machine needs sslmode=verify-full.');
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function no(reason: string): Refusal<'store-address'> {
  return refuse('store-address', reason);
}
