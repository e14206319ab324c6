/** The parts of the provisioner that need no socket, made in the order in which they need each other. */
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { SecurityLogFolder } from '../../drivers/store/files/securityLogFolder.ts';
import { Metrics } from '../../servers/http/metrics.ts';
import type { VerifyPeer } from '../../servers/tls/door.ts';
import { LiveIndex } from '../../servers/tls/liveIndex.ts';
import { PeerVerifier } from '../../trust/peers/verifiedPeer.ts';
import type { Hierarchy, ProvisioningAuthority } from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import { ReadTokens } from '../../trust/registry/readTokens.ts';
import { Registry } from '../../trust/registry/registry.ts';
import { Revocation, type RevocationParts } from '../../trust/revocation/revocation.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { type Chore, troubleText } from './chores.ts';
import type { Doors } from './doors.ts';
import { type Believed, type DoorName, DoorTrust } from './doorTrust.ts';
import { KnownAuthority } from './knownAuthority.ts';
import { Manifests } from './manifests.ts';
import type { ProvisionerConfig } from './provisioner.ts';
import { ServerCertificate } from './serverCertificate.ts';
import { type SessionCredentialOptions, SessionCredentials } from './sessionCredentials.ts';
import type { ServerKeys } from './keys.ts';
import type { Stores } from './stores.ts';
import { followChore, makeStatus, type Status } from './status.ts';
import { Telling } from './telling.ts';
import { makeTraffic, type Traffic } from './traffic.ts';

export interface Core {
  readonly stores: Stores;
  readonly keys: ServerKeys;
  readonly clock: Clock;
  readonly authority: ProvisioningAuthority;
  readonly hierarchy: () => Hierarchy;
  /** Names of the profiles that devices may be given. */
  readonly deviceProfiles: () => ReadonlySet<string>;
  readonly owner: string;
  /** Asks the authority again what it is and how it enrols; the doors follow. */
  readonly learn: () => Promise<void>;
  readonly registry: Registry;
  readonly telemetry: TelemetryStore;
  readonly verifier: SoftwareVerifier;
  readonly tokens: ReadTokens;
  readonly metrics: Metrics;
  readonly security: SecurityLogFolder;
  readonly live: LiveIndex;
  readonly trust: DoorTrust;
  readonly verify: (door: DoorName) => VerifyPeer;
  readonly certificate: ServerCertificate;
  readonly manifests: Manifests;
  readonly traffic: Traffic;
  readonly revocation: Revocation;
  readonly status: Status | undefined;
  readonly telling: Telling;
  /** What is shown to devices that know this server by their anchor. */
  readonly sessionCredentials: SessionCredentials | undefined;
}

const systemClock: Clock = { nowMs: () => Date.now() };

export async function makeCore(
  config: ProvisionerConfig,
  stores: Stores,
  keys: ServerKeys,
): Promise<Core> {
  const { authority, clock = systemClock, owner, folder, names } = config;
  const { credentialsFrom = [], products } = config;
  const registry = new Registry(stores.registry, clock);
  const verifier = new SoftwareVerifier();
  const security = securityLogOf(config, clock);
  const metrics = new Metrics((door, code) => security.note({ door, code }), config.onAnswered);
  const live = new LiveIndex();
  const known = await KnownAuthority.ask(authority);
  const hierarchy = (): Hierarchy => known.hierarchy;
  const deviceProfiles = (): ReadonlySet<string> => known.deviceProfiles;
  const issuer = (): Uint8Array | undefined => hierarchy().server[0];
  await authority.publishServerIdentity(keys.identityBytes);
  const believed = async (): Promise<Believed> => ({
    hierarchy: known.hierarchy,
    foreign: await registry.foreignAuthorities(),
    renewalGraceMs: known.renewalGraceMs,
  });
  const trust = new DoorTrust(await believed());
  const parts = { registry, authority, hierarchy, deviceProfiles, verifier, trust, metrics, clock };
  const sessionCredentials = await sessionCredentialsOf(config, { keys, clock, issuer, registry });
  const { chains } = sessionCredentials ?? {};
  const traffic = makeTraffic({ ...parts, stores, keys, credentialsFrom, chains, products });
  const status = config.status && makeStatus(config.status.authority, { clock, metrics });
  metrics.watch('birthmark_connections', 'Verified TLS connections', () => live.size);
  return {
    stores,
    keys,
    clock,
    authority,
    hierarchy,
    deviceProfiles,
    owner,
    registry,
    telemetry: stores.telemetry,
    verifier,
    tokens: new ReadTokens({ store: stores.tokens, crypto: nodeCrypto, clock }),
    metrics,
    security,
    live,
    trust,
    verify: (door) => verifyAt(door, parts),
    certificate: new ServerCertificate({ ...parts, folder, keys: keys.folder, names, issuer }),
    manifests: new Manifests({
      registry,
      verifier,
      authority,
      hierarchy,
      owner,
      onForeignAuthorities: async () => trust.replace(await believed()),
    }),
    learn: async () => {
      if (await known.refresh()) trust.replace(await believed());
    },
    traffic,
    // What was said of a certificate lives on in the answers that are kept of it.
    revocation: revocationOf(stores, clock, [
      live,
      traffic.broker,
      traffic.relay,
      ...(status === undefined ? [] : [status.answers]),
    ]),
    status,
    telling: new Telling({ store: stores.registry, authority, status, metrics }),
    sessionCredentials,
  };
}

function revocationOf(
  { registry: store }: Stores,
  clock: Clock,
  live: RevocationParts['live'],
): Revocation {
  return new Revocation({ store, clock, monotonicMs: () => performance.now(), live });
}

interface SessionParts extends Pick<SessionCredentialOptions, 'clock' | 'issuer'> {
  readonly keys: ServerKeys;
  readonly registry: Registry;
}

async function sessionCredentialsOf(
  { sessionServers: authority, folder, owner: name, onTrouble }: ProvisionerConfig,
  { keys, registry, ...rest }: SessionParts,
): Promise<SessionCredentials | undefined> {
  if (authority === undefined) return undefined;
  const enter = async (certificate: Uint8Array, notAfterMs: number): Promise<void> => {
    const sha256 = nodeCrypto.hash('SHA-256', certificate);
    const refusal = await registry.addCertificate({
      sha256,
      kind: 'server',
      holder: name,
      notAfterMs,
    });
    if (refusal !== undefined) throw new EnvironmentError(refusal.reason, { retryable: false });
  };
  const options = { ...rest, enter, folder, keys: keys.folder, authority, name };
  const credentials = await SessionCredentials.open(options);
  // Devices that pinned this server need none: a round of the chore will do.
  await credentials
    .refresh()
    .catch((error: unknown) => onTrouble?.(troubleText(choreNames.credentials, error)));
  return credentials;
}

function securityLogOf({ folder, onTrouble }: ProvisionerConfig, clock: Clock): SecurityLogFolder {
  return new SecurityLogFolder({
    folder: join(folder, 'security'),
    clock,
    onTrouble: (error) => onTrouble?.(`security log: ${String(error)}`),
  });
}

function verifyAt(
  door: DoorName,
  { registry, verifier, clock, trust }: Pick<Core, 'registry' | 'verifier' | 'clock' | 'trust'>,
): VerifyPeer {
  const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);
  const ports = { registry, verifier, clock, sha256 };
  const peers = new PeerVerifier(ports, () => trust.rules(door));
  return (chain) => peers.verifyPeer(chain);
}

export const choreNames = {
  tell: 'tell the authority',
  learn: 'ask the authority',
  credentials: 'session credentials',
  pull: 'manifests',
  tidy: 'tidy',
} as const;

const seconds = 1000;

/** What comes round whether or not anybody asks. */
export function standingChores(core: Core): readonly Chore[] {
  const { live, clock, manifests, traffic, status } = core;
  const { sessionCredentials } = core;
  return [
    ...(status === undefined ? [] : [followChore(status)]),
    {
      name: choreNames.tell,
      everyMs: 5 * seconds,
      work: () => core.telling.tell(),
    },
    { name: choreNames.learn, everyMs: 30 * seconds, work: core.learn },
    {
      name: choreNames.credentials,
      everyMs: 5 * seconds,
      work: async () => {
        await sessionCredentials?.refresh();
      },
    },
    {
      name: choreNames.pull,
      everyMs: 60 * seconds,
      work: async () => {
        const refusal = await manifests.pull();
        if (refusal !== undefined) {
          throw new EnvironmentError(refusal.reason, { retryable: false });
        }
      },
    },
    {
      name: choreNames.tidy,
      everyMs: 60 * seconds,
      work: async () => {
        live.dropExpired(clock.nowMs());
        await traffic.relay.tidy();
      },
    },
  ];
}

/** The doors get their new certificate while they are open. */
export function renewalChore(
  { certificate }: Core,
  doors: ReadonlyArray<Pick<Doors, 'renew'>>,
): Chore {
  return {
    name: 'server certificate',
    everyMs: 600 * seconds,
    work: async () => {
      const { identity, renewed } = await certificate.identity();
      if (renewed) for (const door of doors) door.renew(identity);
    },
  };
}

export async function statusOf(core: Core, doors: Doors): Promise<object> {
  const { registry, live, keys, stores } = core;
  return {
    ports: doors.ports,
    devices: await registry.countDevices(),
    connections: live.size,
    sessions: await stores.sessions.countSessions(),
    lastManifest: await registry.lastManifest(),
    untoldRevocations: (await stores.registry.pendingNotices(1000)).length,
    serverIdentity: toBase64(keys.identityBytes),
  };
}
