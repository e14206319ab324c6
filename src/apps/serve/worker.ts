/**
 * One process of `birthmark serve`: the authority, or the provisioner. Under the supervisor it gets the
 * passphrase over the channel between the two, so that neither arguments nor environment hold it, and it
 * stops when the channel closes, so that it never outlives its supervisor.
 */
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import { AuthorityClient } from '../../drivers/links/local/authorityClient.ts';
import { SessionServerClient } from '../../drivers/links/local/sessionServerClient.ts';
import { StatusClient } from '../../drivers/links/local/statusClient.ts';
import { startAuthority } from '../authority/authority.ts';
import { authorityPaths, requireInstallation } from '../authority/authorityFolder.ts';
import { readProductStates } from '../provisioner/attestation.ts';
import type { DoorPorts } from '../provisioner/doors.ts';
import { startProvisioner } from '../provisioner/provisioner.ts';
import { type LogLevel, openLog } from './log.ts';
import { socketPathFor } from '../socketPath.ts';
import { readStoreSetting } from '../storeSetting.ts';

export const serverRoles = ['authority', 'provisioner'] as const;

export type ServerRole = (typeof serverRoles)[number];

export interface ServeOptions {
  readonly data: string;
  readonly host: string;
  readonly names: readonly string[];
  readonly ports: DoorPorts;
  /** No door for EST alone when absent. */
  readonly estPort: number | undefined;
  /** No CoAP when absent. */
  readonly coapPort: number | undefined;
  /** Of the door for the status of certificates; none when `undefined`. */
  readonly statusPort: number | undefined;
  /** Default: the maker's name in the authority's folder. */
  readonly owner: string | undefined;
  /** `/livez`, `/readyz` and `/metrics` in plain HTTP; none when `undefined`. */
  readonly healthPort: number | undefined;
  readonly healthHost: string | undefined;
  readonly logLevel: LogLevel;
  /** Where certificates may be read that devices point at; nowhere when empty. */
  readonly credentialsFrom: readonly string[];
  /** File of what devices may run; no evidence is asked for when `undefined`. */
  readonly attestation: string | undefined;
  /** Address of the databases; BIRTHMARK_STORE, else SQLite in the folders, when absent. */
  readonly store: string | undefined;
}

export interface Worker {
  /** What the supervisor prints of it. */
  readonly ready: object;
  close(): Promise<void>;
}

/** Rejects with an `EnvironmentError` when the folder is in use, a port taken, the passphrase wrong. */
export async function startWorker(
  role: ServerRole,
  options: ServeOptions,
  passphrase: string,
): Promise<Worker> {
  const log = openLog(role, options.logLevel);
  const worker =
    role === 'authority'
      ? await startAuthorityWorker(options, passphrase, log)
      : await startProvisionerWorker(options, passphrase, log);
  log.info(worker.ready, 'ready');
  return {
    ready: worker.ready,
    close: async () => {
      await worker.close();
      log.info('stopped');
    },
  };
}

async function startAuthorityWorker(
  { data, store }: ServeOptions,
  passphrase: string,
  log: Logger,
): Promise<Worker> {
  const authority = await startAuthority({
    dataFolder: data,
    passphrase,
    store: readStoreSetting(store),
    onTrouble: (error) => log.error(String(error)),
  });
  const { recovery, twoPersons } = authority;
  const { finished, withheld } = recovery;
  return {
    ready: { recovered: finished, withheld: withheld.length, twoPersons },
    close: () => authority.close(),
  };
}

async function startProvisionerWorker(
  options: ServeOptions,
  passphrase: string,
  log: Logger,
): Promise<Worker> {
  const { data, host, names, ports, estPort, coapPort, statusPort } = options;
  const { healthPort, healthHost, credentialsFrom, attestation } = options;
  const authority = new AuthorityClient(socketPathFor(data, 'authority'));
  const status = new StatusClient(socketPathFor(data, 'authority'));
  const sessionServers = new SessionServerClient(socketPathFor(data, 'authority'));
  const owner = options.owner ?? (await requireInstallation(authorityPaths(data))).organization;
  const provisioner = await startProvisioner({
    folder: join(resolve(data), 'provisioner'),
    socketPath: socketPathFor(data, 'provisioner'),
    passphrase,
    store: readStoreSetting(options.store),
    authority,
    owner,
    names,
    host,
    ports,
    ...(estPort === undefined ? {} : { estPort }),
    ...(coapPort === undefined ? {} : { coapPort }),
    credentialsFrom,
    products: attestation === undefined ? undefined : await readProductStates(attestation),
    status: { authority: status, port: statusPort },
    sessionServers,
    ...(healthPort === undefined ? {} : { health: { host: healthHost, port: healthPort } }),
    onAnswered: (door, answered) => log.debug({ door, ...answered }, 'answered'),
    onTrouble: (line) => log.error(line),
  });
  return {
    ready: {
      ports: {
        ...provisioner.ports,
        ...(provisioner.estPort === undefined ? {} : { est: provisioner.estPort }),
        ...(provisioner.coapPort === undefined ? {} : { coap: provisioner.coapPort }),
        ...(provisioner.statusPort === undefined ? {} : { status: provisioner.statusPort }),
        ...(provisioner.healthPort === undefined ? {} : { health: provisioner.healthPort }),
      },
    },
    close: async () => {
      await provisioner.close();
      authority.close();
      status.close();
      sessionServers.close();
    },
  };
}
