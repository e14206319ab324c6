/**
 * The provisioner: everything on the network, with a database of its own and no CA key. Here it is wired;
 * what is decided is decided in `trust`.
 */
import type { CoapDoor } from '../../servers/coap/coapDoor.ts';
import type { RateLimit } from '../../servers/http/apiDescription.ts';
import type { AnsweredRequest } from '../../servers/http/metrics.ts';
import { estRoutes } from '../../servers/http/est.ts';
import { peerOrVisitor } from '../../servers/http/httpDoor.ts';
import { anchorRoutes } from '../../servers/local/anchors.ts';
import { openLocalDoor } from '../../servers/local/localDoor.ts';
import { type ProvisionerActs, provisionerRoutes } from '../../servers/local/provisioner.ts';
import { noteRefusals } from '../../servers/local/refusalNotes.ts';
import type { Connection } from '../../servers/tls/connection.ts';
import type { ProvisioningAuthority } from '../../trust/ports/authority.ts';
import type { SessionServerAuthority } from '../../trust/ports/sessionServerAuthority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import { SoleTurns } from '../../trust/revocation/soleTurns.ts';
import type { FastifyInstance } from 'fastify';
import type { StoreSetting } from '../storeSetting.ts';
import type { ProductStates } from './attestation.ts';
import { localActs, type Revoke } from './acts.ts';
import { type Chores, startChores, troubleText } from './chores.ts';
import { choreNames, type Core, makeCore, renewalChore, standingChores, statusOf } from './core.ts';
import { type DoorPorts, type Doors, openDoors } from './doors.ts';
import { type EstDoor, type EstDoorOptions, openEstDoor } from './estDoor.ts';
import { type HealthConfig, openHealth } from './health.ts';
import { openCoap } from './sessionParts.ts';
import { doorRoutes, estOptions, type RouteOptions } from './routes.ts';
import { openKeys } from './keys.ts';
import { openStores } from './stores.ts';
import { openStatus, stapleOf, type StatusConfig, statusSteps } from './status.ts';
import { openTold, type Told } from './told.ts';

export interface ProvisionerConfig {
  /** Keys, certificate and database; made when it is missing. */
  readonly folder: string;
  readonly socketPath: string;
  readonly passphrase: string;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
  /** For tests: a cost that protects nothing. */
  readonly keyCostLog2?: number;
  readonly authority: ProvisioningAuthority;
  /** Whose server this is: in the credential that elements pin, and in the registry. */
  readonly owner: string;
  /** DNS names and addresses by which others reach this server; the first is told to devices. */
  readonly names: readonly string[];
  readonly host: string;
  /** 0 lets the system choose. */
  readonly ports: DoorPorts;
  /** A door for EST alone, with TLS 1.2 and one-time secrets; none when absent, 0 lets the system choose. */
  readonly estPort?: number;
  /** CoAP over UDP for devices without TLS; none when absent, 0 lets the system choose. */
  readonly coapPort?: number;
  /** Prefixes below which a certificate may be read that a device points at; nowhere when absent. */
  readonly credentialsFrom?: readonly string[];
  /** What devices may run; absent: no evidence is asked for. */
  readonly products?: ProductStates | undefined;
  /** Lists, responder and the door for both; without it this server says nothing of certificates. */
  readonly status?: StatusConfig;
  /** Credentials for devices that know this server by their anchor; without it they know it by its kid. */
  readonly sessionServers?: SessionServerAuthority;
  /** Whether this server is well, in plain HTTP; none when absent. */
  readonly health?: HealthConfig;
  /** Requests that one caller of the API may make; `apiRate` unless told. */
  readonly apiRate?: RateLimit;
  /** Messages kept of each device. */
  readonly telemetryWindow?: number;
  readonly clock?: Clock;
  /** Hears of every answered HTTP request. */
  readonly onAnswered?: (door: string, answered: AnsweredRequest) => void;
  /** Hears what went wrong in the background, a line each. */
  readonly onTrouble?: (line: string) => void;
}

export interface Provisioner {
  readonly ports: DoorPorts;
  readonly estPort: number | undefined;
  readonly coapPort: number | undefined;
  readonly statusPort: number | undefined;
  readonly healthPort: number | undefined;
  /** What elements get at birth as `server-identity`. */
  readonly serverIdentity: Uint8Array;
  close(): Promise<void>;
}

const defaultTelemetryWindow = 1000;
/** A list of ten thousand devices to revoke. */
const localBodyBytes = 1024 * 1024;

/** Rejects with an `EnvironmentError` when the folder is in use, a port is taken or the authority is away. */
export async function startProvisioner(config: ProvisionerConfig): Promise<Provisioner> {
  const undo: Array<() => Promise<void> | void> = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const window = config.telemetryWindow ?? defaultTelemetryWindow;
    const stores = await openStores(config.folder, window, config.store);
    undo.push(() => stores.close());
    const { folder, passphrase, keyCostLog2 } = config;
    const cost = keyCostLog2 === undefined ? {} : { costLog2: keyCostLog2 };
    const keys = await openKeys({ folder, passphrase, ...cost }, config.owner);
    const core = await makeCore(config, stores, keys);
    undo.push(() => core.security.close());
    // Its first step forgets whatever is kept: before anybody asks that is nothing.
    await core.status?.follower.advance();
    const { doors, est, coap } = await open(config, core, undo);
    const statusPort = await openStatusDoor(config, core, undo);
    const healthPort = await openHealthDoor(config, core, undo);
    const { ports } = doors;
    const { identityBytes: serverIdentity } = keys;
    return {
      ports,
      estPort: est?.port,
      coapPort: coap?.port,
      statusPort,
      healthPort,
      serverIdentity,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Opened {
  readonly doors: Doors;
  readonly est: EstDoor | undefined;
  readonly coap: CoapDoor | undefined;
}

/** Puts into `undo` how to close what it opens, in the order it was opened. */
async function open(
  config: ProvisionerConfig,
  core: Core,
  undo: Array<() => Promise<void> | void>,
): Promise<Opened> {
  const { traffic, certificate, trust, live, metrics } = core;
  const { onTrouble = () => undefined } = config;
  const trouble = (name: string, error: unknown): void => onTrouble(troubleText(name, error));
  await traffic.broker.open();
  undo.push(() => traffic.broker.close());
  const chores = startChores(standingChores(core), trouble);
  undo.push(() => chores.stop());
  const { identity } = await certificate.identity();
  const told = openTold(config.folder, core.clock, (error) => trouble('anchors', error));
  undo.push(() => told.close());
  const est = { ...estOptions(core), onTold: told.note };
  const onAdmitted = noteUses(core, () => chores.nudge(choreNames.tell));
  const acts = actsOf(core, chores, () => statusOf(core, doors));
  const doors = await openDoors({
    host: config.host,
    ports: config.ports,
    identity,
    trust,
    verify: core.verify,
    live,
    broker: traffic.broker,
    metrics,
    routes: (ports) =>
      doorRoutes({
        ...core,
        ...traffic,
        est,
        acts,
        answers: core.stores.answers,
        apiRate: config.apiRate,
        broker: () => ({ host: config.names[0] ?? config.host, port: ports().mqtt }),
        onTicketClosed: () => chores.now(choreNames.pull),
      }),
    onAdmitted,
    staple: stapleOf(core),
  });
  undo.push(() => doors.close());
  const estDoor = await openEst(config, core, { est, identity, onAdmitted });
  if (estDoor !== undefined) undo.push(() => estDoor.close());
  const coap = await openCoap(config, traffic.relay, metrics, trouble);
  if (coap !== undefined) undo.push(() => coap.close());
  const local = await openLocalDoor({
    path: config.socketPath,
    bodyBytes: localBodyBytes,
    onRefusal: (code) => metrics.refused('local', code),
    routes: (app) => localRoutes(app, acts, told, core),
  });
  undo.push(() => local.close());
  const renewal = startChores(
    [renewalChore(core, estDoor === undefined ? [doors] : [doors, estDoor])],
    trouble,
  );
  undo.push(() => renewal.stop());
  await traffic.relay.resume();
  for (const name of Object.values(choreNames)) chores.nudge(name);
  return { doors, est: estDoor, coap };
}

/** What a device shows for the first time ends what it had before; `tell` is called when it did. */
function noteUses({ registry }: Core, tell: () => void): (connection: Connection) => void {
  const note = async ({ peer }: Connection): Promise<void> => {
    if ((await registry.noteUse(peer)) > 0) tell();
  };
  // What fails is still to be done at the next connection.
  return (connection) => void note(connection).catch(() => undefined);
}

function actsOf(core: Core, chores: Chores, status: () => Promise<object>): ProvisionerActs {
  const told = (): Promise<void> => chores.now(choreNames.tell);
  const turns = new SoleTurns({ authority: core.authority, told });
  return localActs({
    ...core,
    revoke: revoker(core),
    turns,
    onRevoked: () => chores.nudge(choreNames.tell),
    listsOf: (subjects) => core.telling.listsOf(subjects, told),
    statusStep: statusSteps(core, turns, told),
    status,
  });
}

function revoker({ revocation, metrics }: Core): Revoke {
  return async (deviceIds, reason) => {
    const report = await revocation.revokeDevices(deviceIds, reason);
    if (!isRefusal(report)) metrics.revoked(report.killMs);
    return report;
  };
}

/** Last, so that it answers nobody before everything else is there. */
async function openHealthDoor(
  { health, onTrouble }: ProvisionerConfig,
  core: Core,
  undo: Array<() => Promise<void> | void>,
): Promise<number | undefined> {
  if (health === undefined) return undefined;
  const door = await openHealth(health, core, onTrouble);
  undo.push(() => door.close());
  return door.port;
}

async function openStatusDoor(
  { host, status: config }: ProvisionerConfig,
  core: Core,
  undo: Array<() => Promise<void> | void>,
): Promise<number | undefined> {
  if (core.status === undefined || config?.port === undefined) return undefined;
  const door = await openStatus(core.status, { ...core, host, port: config.port });
  undo.push(() => door.close());
  return door.port;
}

function localRoutes(
  app: FastifyInstance,
  acts: ProvisionerActs,
  told: Told,
  { security }: Core,
): void {
  noteRefusals(app, security);
  provisionerRoutes(app, acts);
  anchorRoutes(app, told.store);
}

async function openEst(
  { host, estPort }: ProvisionerConfig,
  core: Core,
  parts: Pick<EstDoorOptions, 'identity' | 'onAdmitted'> & Pick<RouteOptions, 'est'>,
): Promise<EstDoor | undefined> {
  if (estPort === undefined) return undefined;
  return openEstDoor({
    core,
    host,
    port: estPort,
    identity: parts.identity,
    routes: (app) => estRoutes(app, { ...parts.est, peerOf: peerOrVisitor }),
    onAdmitted: parts.onAdmitted,
  });
}
