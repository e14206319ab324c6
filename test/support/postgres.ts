/**
 * A PostgreSQL server of its own for a test file: a cluster in a temporary folder, on a socket in it, gone
 * when the file's tests are over. Each store gets a schema of its own in it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from 'pg';
import type { StoreAddress } from '../../src/drivers/store/postgres/address.ts';
import {
  PostgresDatabase,
  type PostgresOptions,
} from '../../src/drivers/store/postgres/database.ts';

const programs = programFolder();
const account = serverAccount();

/** For `test(name, { skip: postgresMissing }, ...)`. */
export const postgresMissing: string | false =
  programs !== undefined && account !== undefined
    ? false
    : 'needs a PostgreSQL server (Debian package postgresql)';

export class PostgresServer {
  readonly folder: string;
  readonly #databases: PostgresDatabase[] = [];
  readonly #settings: readonly string[];
  #process: ChildProcess | undefined;
  #schemas = 0;

  private constructor(folder: string, settings: readonly string[]) {
    this.folder = folder;
    this.#settings = settings;
  }

  /** `settings`: NAME=VALUE, after those that tests usually have. */
  static async start(settings: readonly string[] = []): Promise<PostgresServer> {
    const server = new PostgresServer(mkdtempSync(join(tmpdir(), 'birthmark-pg-')), settings);
    chmodSync(server.folder, 0o700);
    if (account?.uid !== undefined) chownSync(server.folder, account.uid, account.gid ?? 0);
    const { status, stderr } = spawnSync(
      program('initdb'),
      ['-D', server.#data, '-U', 'birthmark', '-A', 'trust', '-E', 'UTF8', ...initOptions],
      { ...account, cwd: server.folder, encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`initdb: ${stderr}`);
    await server.resume();
    return server;
  }

  get address(): StoreAddress {
    return {
      host: this.folder,
      port: 5432,
      user: 'birthmark',
      database: 'postgres',
      encryption: { kind: 'none' },
    };
  }

  /** As people write it. */
  get url(): string {
    return `postgres://birthmark@localhost/postgres?host=${encodeURIComponent(this.folder)}`;
  }

  /** Closed with the server. */
  async open(
    options: Pick<PostgresOptions, 'migrations'> & Partial<PostgresOptions>,
  ): Promise<PostgresDatabase> {
    const { address } = this;
    const schema = options.schema ?? this.newSchema();
    const database = await PostgresDatabase.open({
      address,
      use: 'exclusive',
      lockTimeoutMs: 500,
      readers: 2,
      ...options,
      schema,
    });
    this.#databases.push(database);
    return database;
  }

  newSchema(): string {
    this.#schemas += 1;
    return `test_${Array.from(String(this.#schemas), (digit) => 'abcdefghij'[Number(digit)]).join('')}`;
  }

  /** As the server's owner, beside every store. */
  async query(
    sql: string,
    database: string = this.address.database,
  ): Promise<ReadonlyArray<Record<string, unknown>>> {
    const { host, port, user } = this.address;
    const client = new Client({ host, port, user, database });
    // Of a server that dies meanwhile; the query tells.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  /** Ends every connection of a store, as an administrator or a failing server does. Returns how many. */
  async terminate(where = 'true'): Promise<number> {
    const rows = await this.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name LIKE 'birthmark%' AND (${where})`,
    );
    return rows.length;
  }

  /** `SIGQUIT`: without a checkpoint, so that the next start recovers from the log. */
  async halt(): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    this.#process = undefined;
    const ended = once(process, 'exit');
    process.kill('SIGQUIT');
    await ended;
  }

  async resume(): Promise<void> {
    const settings = [
      'listen_addresses=',
      `unix_socket_directories=${this.folder}`,
      ...quick,
      ...this.#settings,
    ];
    const server = spawn(
      program('postgres'),
      ['-D', this.#data, ...settings.flatMap((setting) => ['-c', setting])],
      { ...account, cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] },
    );
    this.#process = server;
    const said: string[] = [];
    const lines = createInterface(server.stderr);
    await new Promise<void>((resolve, reject) => {
      server.once('exit', () => reject(new Error(`postgres: ${said.join('\n')}`)));
      lines.on('line', (line) => {
        if (said.length < 50) said.push(line);
        if (line.includes('ready to accept connections')) resolve();
      });
    });
  }

  async stop(): Promise<void> {
    for (const database of this.#databases) await database.close();
    await this.halt();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #data(): string {
    return join(this.folder, 'data');
  }
}

const initOptions = ['--locale=C', '--no-sync', '--no-instructions'];
/** What a test loses with the machine it need not flush; the process may still die at any moment. */
const quick = ['fsync=off', 'shared_buffers=32MB', 'max_connections=40', 'max_wal_size=256MB'];

function programFolder(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const newest = versions.sort((left, right) => Number(right) - Number(left));
  return newest
    .map((version) => join(debian, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'initdb')));
}

function program(name: string): string {
  return join(programs ?? '', name);
}

/** PostgreSQL refuses to run as root: then as the account that its package makes. */
function serverAccount(): { readonly uid?: number; readonly gid?: number } | undefined {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string): number => {
    const { stdout } = spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' });
    return stdout === '' ? Number.NaN : Number(stdout);
  };
  const [uid, gid] = [id('-u'), id('-g')];
  return Number.isNaN(uid) || Number.isNaN(gid) ? undefined : { uid, gid };
}
