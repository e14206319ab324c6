/**
 * The field in one process and virtual time: sensors without IP, an air that misbehaves, a gateway, and the
 * server's relay behind it. Either side can be switched off and on at any moment.
 */
import { GatewayRelay } from '../../src/device/relay/gatewayRelay.ts';
import { freshStatus } from '../../src/device/identity/serverStatus.ts';
import { nativeTrust } from '../../src/device/sessions/nativeTrust.ts';
import { pinnedTrust } from '../../src/device/sessions/pinnedTrust.ts';
import { partedLink } from '../../src/device/sessions/partedLink.ts';
import { NonIpSensor } from '../../src/device/sessions/sensor.ts';
import { pskResumption } from '../../src/device/sessions/resumption.ts';
import type { SensorEvent, SensorOptions } from '../../src/device/sessions/sensorOptions.ts';
import { openSealedStore } from '../../src/device/storage/sealedStore.ts';
import {
  generateP256,
  agreeP256,
  type P256KeyPair,
} from '../../src/drivers/elements/software/p256.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import type { CloneStore } from '../../src/trust/ports/cloneStore.ts';
import { EnvironmentError, refuse } from '../../src/trust/ports/faults.ts';
import type { SealingKey } from '../../src/trust/ports/keys.ts';
import type { Endpoint, SessionStore } from '../../src/trust/ports/sessionStore.ts';
import {
  createRelay,
  type Relay,
  type RelayLimits,
  type RelayObservation,
  type TelemetryMeta,
} from '../../src/trust/relay/relay.ts';
import type { ServerChains } from '../../src/trust/sessions/ownCredentials.ts';
import type { AttestationPolicy } from '../../src/trust/sessions/attestations.ts';
import type { CertificatePorts } from '../../src/trust/sessions/certificateCredentials.ts';
import type {
  SessionLimits,
  SessionRegistry,
  SessionResource,
} from '../../src/trust/sessions/ports.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { fromUtf8, utf8 } from '../../src/wire/bytes/utf8.ts';
import type { Crypto } from '../../src/wire/crypto/crypto.ts';
import {
  encodeServerIdentity,
  kidOfAgreeKey,
  readServerIdentity,
} from '../../src/wire/edhoc/agreeCredential.ts';
import type { OwnCredential } from '../../src/wire/edhoc/credential.ts';
import { exampleServerProof } from '../../src/wire/edhoc/serverStatus.ts';
import { oidContent } from '../../src/wire/der/oid.ts';
import { exampleGenerationOid } from '../../src/wire/x509/serverGeneration.ts';
import { readEnvelope, writeEnvelope } from '../../src/wire/relay/envelope.ts';
import { type AirOptions, defaultAir } from '../../sim/radio/air.ts';
import { MemoryAir } from '../../sim/radio/memoryAir.ts';
import { seededRandom } from '../../sim/radio/random.ts';
import { VirtualTime } from '../../sim/radio/virtualTime.ts';
import { MemoryDeviceStore } from './memoryDeviceStore.ts';
import { MemoryCloneStore } from './memorySessionWitnesses.ts';
import { memoryElement, type MemoryElement } from './memoryElement.ts';
import { MemorySessionStore } from './memorySessionStore.ts';

export const calmAir: AirOptions = { ...defaultAir, drop: 0, duplicate: 0, reorder: 0 };
export const roughAir: AirOptions = { ...defaultAir, drop: 0.2, duplicate: 0.2, reorder: 0.2 };

export interface Delivered {
  readonly deviceId: string;
  readonly text: string;
  readonly meta: TelemetryMeta;
}

export interface FieldOptions {
  readonly air?: AirOptions;
  readonly seed?: number;
  readonly store?: SessionStore;
  readonly limits?: Partial<RelayLimits & SessionLimits>;
  readonly serve?: SessionResource;
  readonly certificates?: CertificatePorts;
  readonly attestation?: AttestationPolicy;
  /** Around the crypto of both sides. */
  readonly around?: (crypto: Crypto) => Crypto;
  readonly chains?: ServerChains;
}

export const gatewayId = 'gatewaygateway00';

export class Field {
  readonly time: VirtualTime = new VirtualTime();
  readonly air: MemoryAir;
  readonly crypto: Crypto;
  store: SessionStore;
  clones: CloneStore = new MemoryCloneStore();
  readonly devices: Map<string, FieldDevice> = new Map();
  readonly delivered: Delivered[] = [];
  readonly observations: RelayObservation[] = [];
  readonly gateway: GatewayRelay;
  /** Every envelope between gateway and server, as the broker saw it. */
  readonly envelopes: Uint8Array[] = [];
  readonly serverKey: P256KeyPair = generateP256();
  readonly serverIdentity: Uint8Array;
  /** In place of the pinned one, from the next start of the server on. */
  identity: OwnCredential | undefined;
  /** In place of the devices of this field, from the next start of the server on. */
  registry: SessionRegistry | undefined;
  relay: Relay;
  /** False while the application takes no telemetry. */
  accepting = true;
  /** Where frames of the gateway go. */
  route: (envelope: Uint8Array) => Promise<void> = (envelope) =>
    this.relay.onGatewayFrame(gatewayId, envelope);
  readonly #limits: Partial<RelayLimits & SessionLimits>;
  readonly #serve: SessionResource | undefined;
  readonly #certificates: CertificatePorts | undefined;
  /** What the server shows to devices that know it by their anchor, from its next start on. */
  chains: ServerChains | undefined;
  /** From the next start of the server on. */
  attestation: AttestationPolicy | undefined;

  constructor(options: FieldOptions = {}) {
    const seed = options.seed ?? 1;
    const random = seededRandom(seed + 1000);
    this.air = new MemoryAir(this.time, options.air ?? calmAir, seed);
    // Random choices follow the seed; keys are new every time, which changes no story.
    const seeded = { ...nodeCrypto, random: (lengthBytes: number) => random.bytes(lengthBytes) };
    this.crypto = options.around?.(seeded) ?? seeded;
    this.store = options.store ?? new MemorySessionStore();
    this.#limits = options.limits ?? {};
    this.#serve = options.serve;
    this.#certificates = options.certificates;
    this.chains = options.chains;
    this.attestation = options.attestation;
    this.serverIdentity = encodeServerIdentity(this.crypto, 'server', this.serverKey.publicKey);
    this.relay = this.relayOn(this.store);
    this.gateway = new GatewayRelay(
      {
        radio: this.air.gateway(),
        timer: this.time,
        publish: (envelope) => {
          this.envelopes.push(envelope);
          return this.time.hold(this.route(envelope).catch(fail));
        },
      },
      { rate: { burst: 10_000, perSecond: 1000 } },
    );
    this.gateway.onState('online');
  }

  addDevice(number: number, options: Partial<SensorOptions> = {}): FieldDevice {
    const device = new FieldDevice(this, number, options);
    this.devices.set(device.deviceId, device);
    return device;
  }

  /** The provisioner dies and starts again on what it has stored. */
  restartServer(): void {
    this.relay = this.relayOn(this.store);
    void this.time.hold(this.relay.resume());
  }

  /** As after a restart of the machine. */
  replaceStore(store: SessionStore): void {
    this.store = store;
    this.restartServer();
  }

  textsOf(deviceId: string): string[] {
    return this.delivered
      .filter((message) => message.deviceId === deviceId)
      .map(({ text }) => text);
  }

  refusals(code: string): number {
    return this.observations.filter((one) => one.kind === 'refused' && one.code === code).length;
  }

  /** Frames go somewhere else, and its answers come back. */
  gatewayTo(
    take: (endpoint: Endpoint, frame: Uint8Array) => Promise<Uint8Array | undefined>,
  ): void {
    this.route = async (envelope) => {
      const { linkAddress, frame } = readEnvelope(envelope);
      const answer = await take({ ingress: gatewayId, linkAddress }, frame);
      if (answer !== undefined) {
        await this.gateway.onDown(writeEnvelope({ linkAddress, frame: answer }));
      }
    };
  }

  /** Another process, perhaps. */
  relayOn(store: SessionStore, { takeOver = true }: { takeOver?: boolean } = {}): Relay {
    const { serverKey, crypto } = this;
    return createRelay(
      {
        crypto,
        clock: { nowMs: () => Math.floor(this.time.nowMs()) },
        registry: this.registry ?? {
          candidates: async (kid, linkAddress) =>
            [...this.devices.values()]
              .filter((device) => !device.revoked && equal(device.kid, kid))
              .sort(
                (left, right) => Number(right.isAt(linkAddress)) - Number(left.isAt(linkAddress)),
              )
              .slice(0, 16)
              .map(({ deviceId, element }) => ({
                deviceId,
                agreeKey: element.keys.agree.publicKey,
              })),
          candidateByKey: async (agreeKey) => {
            const device = [...this.devices.values()].find(
              ({ element, revoked }) => !revoked && equal(element.keys.agree.publicKey, agreeKey),
            );
            return device === undefined ? undefined : { deviceId: device.deviceId, agreeKey };
          },
          markEnrolled: async (deviceId) =>
            this.devices.get(deviceId)?.revoked === false
              ? undefined
              : refuse('revoked', 'revoked'),
        },
        store,
        clones: this.clones,
        takeOver,
        sealing: contextSealing(crypto),
        agreement: {
          curve: 'P-256',
          publicKey: serverKey.publicKey,
          agree: async (peer) => {
            const secret = agreeP256(serverKey.privateKey, peer);
            return secret === undefined ? undefined : crypto.exportSecret(secret);
          },
        },
        identity: this.identity ?? readServerIdentity(crypto, this.serverIdentity),
        ...(this.#serve === undefined ? {} : { serve: this.#serve }),
        ...(this.#certificates === undefined ? {} : { certificates: this.#certificates }),
        ...(this.chains === undefined ? {} : { chains: this.chains }),
        ...(this.attestation === undefined ? {} : { attestation: this.attestation }),
        sendDown: (_gateway, envelope) => {
          this.envelopes.push(envelope);
          return this.gateway.onDown(envelope);
        },
        onTelemetry: async (deviceId, payload, meta) => {
          if (!this.accepting) throw new EnvironmentError('closed', { retryable: true });
          this.delivered.push({ deviceId, text: fromUtf8(payload) ?? '?', meta });
        },
        observe: (observation) => this.observations.push(observation),
      },
      this.#limits,
    );
  }
}

export class FieldDevice {
  readonly deviceId: string;
  readonly linkAddress: Uint8Array;
  readonly element: MemoryElement;
  readonly flash: MemoryDeviceStore = new MemoryDeviceStore();
  readonly events: SensorEvent[] = [];
  revoked = false;
  /** How it knows its server, from the next time it is switched on. */
  trust: 'pinned' | 'chain' | 'fresh' = 'pinned';
  sensor: NonIpSensor | undefined;
  readonly #field: Field;
  readonly #options: Partial<SensorOptions>;

  constructor(field: Field, number: number, options: Partial<SensorOptions>) {
    this.#field = field;
    this.#options = { confirmEvery: 1, rest: { firstMs: 5_000, longestMs: 60_000 }, ...options };
    this.deviceId = `device${String(number).padStart(10, '0')}`;
    this.linkAddress = Uint8Array.of(2, 0, 0x5e, 0xff, 0xfe, 0, number >> 8, number & 255);
    this.element = memoryElement({
      'device-id': utf8(this.deviceId),
      'server-identity': field.serverIdentity,
      eui64: this.linkAddress,
    });
  }

  get kid(): Uint8Array {
    return kidOfAgreeKey(this.#field.crypto, this.element.keys.agree.publicKey);
  }

  isAt(linkAddress: Uint8Array | undefined): boolean {
    return linkAddress !== undefined && equal(linkAddress, this.linkAddress);
  }

  async switchOn(): Promise<NonIpSensor> {
    const { crypto, time, air } = this.#field;
    const store = await openSealedStore(this.element, this.flash, crypto);
    const pinned = {
      element: this.element,
      link: air.link(this.linkAddress),
      store,
      timer: time,
      crypto,
      resumption: pskResumption,
    };
    const codePoints = exampleServerProof;
    const fresh = this.trust === 'fresh' ? freshStatus(crypto, codePoints) : undefined;
    const trusting = { generationId: oidContent(exampleGenerationOid), codePoints, fresh };
    const ports =
      this.trust === 'pinned'
        ? { ...pinned, trust: await pinnedTrust(this.element, crypto) }
        : {
            ...pinned,
            link: partedLink(pinned.link, crypto),
            trust: await nativeTrust(pinned, trusting),
          };
    this.sensor = await NonIpSensor.start(ports, (event) => this.events.push(event), this.#options);
    return this.sensor;
  }

  /** Without a goodbye: whatever was in memory is gone. */
  async cutPower(): Promise<void> {
    this.#field.air.silence(this.linkAddress);
    await this.sensor?.stop();
    this.sensor = undefined;
  }

  async submit(text: string): Promise<void> {
    await this.sensor?.submit(utf8(text));
  }

  count(kind: SensorEvent['kind']): number {
    return this.events.filter((event) => event.kind === kind).length;
  }
}

/** The relay rejects only for a defect of ours, which the gateway would take for a lost connection. */
function fail(error: unknown): never {
  process.nextTick(() => {
    throw error;
  });
  throw error;
}

/** Binds what it seals to its context, as the real one does. */
export function contextSealing(crypto: Crypto): SealingKey {
  const key = crypto.aeadKey('A256GCM', new Uint8Array(32).fill(7));
  return {
    seal: (plaintext, context) => {
      const nonce = crypto.random(12);
      const sealed = crypto.seal(key, nonce, utf8(context), plaintext);
      return Uint8Array.from([...nonce, ...sealed]);
    },
    open: (sealed, context) =>
      crypto.open(key, sealed.subarray(0, 12), utf8(context), sealed.subarray(12)),
  };
}
