/**
 * The server end of sessions in a process of one's own: for an application server that wants nothing between
 * its devices and itself. A folder for keys and sessions, a list of devices, frames in, frames out; no
 * provisioner, no authority, no network of its own. docs/sessions.md has an example.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../../drivers/store/sqlite/provisionerTables.ts';
import { openSessionLife } from '../../drivers/store/sqlite/sessionLife.ts';
import { SqliteSessionStore } from '../../drivers/store/sqlite/sessionStore.ts';
import { SqliteCloneStore } from '../../drivers/store/sqlite/sessionWitnesses.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { refuse } from '../../trust/ports/faults.ts';
import type { Endpoint } from '../../trust/ports/sessionStore.ts';
import { Lanes } from '../../trust/relay/lanes.ts';
import type {
  AcceptedTelemetry,
  SessionLimits,
  SessionObservation,
  SessionRegistry,
} from '../../trust/sessions/ports.ts';
import { endpointKey } from '../../trust/sessions/sessionCache.ts';
import { SessionService } from '../../trust/sessions/sessionService.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { kidOfAgreeKey } from '../../wire/edhoc/agreeCredential.ts';
import { openKeys } from '../provisioner/keys.ts';

export interface EndpointDevice {
  /** 16 characters, as the manifest has it: it goes into the device's credential. */
  readonly deviceId: string;
  /** Of the manifest: uncompressed P-256 point, 65 bytes. */
  readonly agreeKey: Uint8Array;
  /** Where it is to be expected, as its EUI-64: among many devices it is found by that (see `take`). */
  readonly linkAddress?: Uint8Array;
}

export interface SessionEndpointOptions {
  /** Keys and sessions; made at the first start, for this user alone. One process a folder. */
  readonly folder: string;
  /** Opens the keys. */
  readonly passphrase: string;
  /** Tells a person whose server the identity names. Must stay the same: it is part of the identity. */
  readonly name: string;
  readonly devices: Iterable<EndpointDevice>;
  /** Resolves when the telemetry is safe. A device is not answered before; after a crash it may come twice. */
  readonly onTelemetry: (telemetry: AcceptedTelemetry) => Promise<void>;
  readonly onObservation?: (observation: SessionObservation) => void;
  readonly limits?: Partial<SessionLimits>;
  readonly clock?: Clock;
  /** Of the passphrase, for tests: log2 of the scrypt cost. */
  readonly costLog2?: number;
}

export interface SessionEndpoint {
  /** What elements of these devices have in their slot `server-identity`. */
  readonly identity: Uint8Array;
  /**
   * Takes a frame (docs/links.md) and gives the one to answer with, if any. `endpoint` says where it came
   * from, and where an answer goes: a routing hint, never proof.
   */
  take(endpoint: Endpoint, frame: Uint8Array): Promise<Uint8Array | undefined>;
  /** Adds a device, or replaces its key. */
  admit(device: EndpointDevice): void;
  /** From here on the device is nobody; its sessions are gone when it resolves. Returns how many. */
  revoke(deviceId: string): Promise<number>;
  close(): Promise<void>;
}

/** Rejects with an `EnvironmentError`: a wrong passphrase, a folder in use, a disk that says no. */
export async function openSessionEndpoint(
  options: SessionEndpointOptions,
): Promise<SessionEndpoint> {
  const { folder, passphrase, costLog2, clock = { nowMs: () => Date.now() } } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'sessions.sqlite');
  const database = new SqliteDatabase({ path, migrations: provisionerMigrations });
  const undo: Array<() => void> = [() => database.close()];
  const closeAll = (): void => undo.splice(0).forEach((step) => step());
  try {
    const life = await openSessionLife(database, join(folder, 'sessions.life'));
    undo.unshift(() => life.close());
    const cost = costLog2 === undefined ? {} : { costLog2 };
    const keyFolder = join(folder, 'keys');
    const keys = await openKeys({ folder: keyFolder, passphrase, ...cost }, options.name);
    const devices = new KnownDevices(options.devices);
    const service = new SessionService(
      {
        crypto: nodeCrypto,
        clock,
        registry: devices,
        store: new SqliteSessionStore(database, life),
        clones: new SqliteCloneStore(database),
        sealing: keys.sealing,
        agreement: keys.agreement,
        identity: keys.identity,
        deliver: options.onTelemetry,
        observe: options.onObservation ?? (() => undefined),
      },
      options.limits,
    );
    await service.redeliver();
    const tidy = setInterval(() => void service.removeExpired().catch(ignore), tidyEveryMs);
    tidy.unref();
    undo.unshift(() => clearInterval(tidy));
    return new OpenEndpoint(service, devices, keys.identityBytes, closeAll);
  } catch (error) {
    closeAll();
    throw error;
  }
}

const tidyEveryMs = 60_000;
const waitingPerEndpoint = 8;
const waitingInAll = 4_096;

/** What could not be tidied now is tidied at the next round. */
function ignore(): void {}

class OpenEndpoint implements SessionEndpoint {
  readonly identity: Uint8Array;
  readonly #service: SessionService;
  readonly #devices: KnownDevices;
  readonly #lanes = new Lanes(waitingPerEndpoint, waitingInAll);
  readonly #underWay = new Set<Promise<void>>();
  readonly #close: () => void;

  constructor(
    service: SessionService,
    devices: KnownDevices,
    identity: Uint8Array,
    close: () => void,
  ) {
    this.#service = service;
    this.#devices = devices;
    this.identity = identity;
    this.#close = close;
  }

  async take(endpoint: Endpoint, frame: Uint8Array): Promise<Uint8Array | undefined> {
    let answer: Uint8Array | undefined;
    const done = this.#lanes.run(endpointKey(endpoint), async () => {
      answer = await this.#service.handle(endpoint, frame);
    });
    // Too much is waiting: as good as lost on its way.
    if (done === undefined) return undefined;
    this.#underWay.add(done);
    await done.finally(() => this.#underWay.delete(done));
    return answer;
  }

  admit(device: EndpointDevice): void {
    this.#devices.add(device);
  }

  revoke(deviceId: string): Promise<number> {
    this.#devices.remove(deviceId);
    return this.#service.drop(new Set([deviceId]));
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    this.#close();
  }
}

/** Of the devices that share a kid of one byte, the one that is expected at the address comes first. */
class KnownDevices implements SessionRegistry {
  readonly #devices = new Map<string, EndpointDevice & { readonly kid: string }>();

  constructor(devices: Iterable<EndpointDevice>) {
    for (const device of devices) this.add(device);
  }

  add(device: EndpointDevice): void {
    const agreeKey = Uint8Array.from(device.agreeKey);
    const kid = toHex(kidOfAgreeKey(nodeCrypto, agreeKey));
    this.#devices.set(device.deviceId, { ...device, agreeKey, kid });
  }

  remove(deviceId: string): void {
    this.#devices.delete(deviceId);
  }

  async candidates(
    kid: Uint8Array,
    linkAddress: Uint8Array | undefined,
  ): Promise<readonly EndpointDevice[]> {
    const name = toHex(kid);
    const isExpected = (device: EndpointDevice): boolean =>
      linkAddress !== undefined &&
      device.linkAddress !== undefined &&
      equal(device.linkAddress, linkAddress);
    const known = [...this.#devices.values()].filter((device) => device.kid === name);
    const expected = known.filter(isExpected);
    const others = known.filter((device) => !isExpected(device));
    return [...expected, ...others].slice(0, maximumCandidates);
  }

  async candidateByKey(agreeKey: Uint8Array): Promise<EndpointDevice | undefined> {
    return [...this.#devices.values()].find((device) => equal(device.agreeKey, agreeKey));
  }

  async markEnrolled(deviceId: string): ReturnType<SessionRegistry['markEnrolled']> {
    return this.#devices.has(deviceId) ? undefined : refuse('revoked', 'the device is not known');
  }
}

/** As many as a handshake tries before it is spent; with more devices of a kid, addresses have to help. */
const maximumCandidates = 16;
