/**
 * A session in memory: the OSCORE context of one device, its replay window, and the last answer. The
 * stored form has two parts: the keys, written at the beginning and at every update of them, and what
 * changes with every message.
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import type { EdhocExporter } from '../../wire/est/popLinking.ts';
import type { SecurityContext } from '../../wire/oscore/context.ts';
import { KudosPending } from '../../wire/oscore/kudos.ts';
import type { KudosConfig } from '../../wire/oscore/kudosOffer.ts';
import { type KeyUsage, unused } from '../../wire/oscore/limits.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import { InvariantError } from '../ports/faults.ts';
import type { SealingKey } from '../ports/keys.ts';
import type {
  Endpoint,
  SessionStanding,
  StoredHandshake,
  StoredSession,
} from '../ports/sessionStore.ts';
import { Fingerprints } from './fingerprints.ts';
import type { AcceptedTelemetry } from './ports.ts';
import { type KudosSide, readKeys, type SessionKeys, writeKeys } from './sessionKeys.ts';

/** The bytes that answered a request, for when the same request comes again (RFC 7252 §4.5). */
export interface LastAnswer {
  readonly sequenceNumber: number;
  /** SHA-256 of the message as it was on the link. */
  readonly requestHash: Uint8Array;
  /** `undefined` where the request waived its response. */
  readonly frame: Uint8Array | undefined;
}

/** What changes with a message that was accepted. */
export interface SessionProgress {
  readonly window: ReplayWindow;
  /** Of the messages that the window remembers: what tells a replay from a clone. */
  readonly fingerprints: Fingerprints;
  /**
   * The end of our own sequence numbers that were used: for challenges, and for what a run of KUDOS is
   * answered with; while one is under way, those of the new context.
   */
  readonly ownEnd: number;
  readonly lastAnswer: LastAnswer | undefined;
}

export const noProgress: SessionProgress = {
  window: ReplayWindow.empty(),
  fingerprints: Fingerprints.none(),
  ownEnd: 0,
  lastAnswer: undefined,
};

/** Held by this module alone, so that nobody else can make a `SessionPeer`. */
const seal: unique symbol = Symbol('session');

/** The device at the other end of a session: who it is was proven by EDHOC. Only a session has one. */
export class SessionPeer {
  readonly deviceId: string;
  /** Private, so that no other object is of this type. */
  readonly #sessionId: string;
  /** EDHOC_Exporter of the present keys; `undefined` when KUDOS has replaced them. */
  readonly exporter: () => EdhocExporter | undefined;

  constructor(
    made: typeof seal,
    deviceId: string,
    sessionId: string,
    exporter: () => EdhocExporter | undefined,
  ) {
    if (made !== seal) throw new TypeError('a session peer comes from a session alone');
    this.deviceId = deviceId;
    this.#sessionId = sessionId;
    this.exporter = exporter;
  }

  /** Another handshake gives another one. */
  get sessionId(): string {
    return this.#sessionId;
  }
}

export class LiveSession {
  readonly id: string;
  readonly deviceId: string;
  readonly peer: SessionPeer;
  readonly endpoint: Endpoint;
  readonly connectionId: Uint8Array;
  readonly beganMs: number;
  readonly incarnation: number;
  readonly message3Hash: Uint8Array;
  /** Of the device's part in KUDOS. */
  readonly side: KudosSide;
  /** `AttestationPolicy.demandOf` when its evidence was good; absent where none was demanded. */
  readonly attestedUnder: string | undefined;
  /** When it was last found to rest on evidence that counts. */
  attestedMs: number | undefined;
  keys: SessionKeys;
  /** The device has begun to renew these keys by KUDOS and was answered; it has not used the new ones yet. */
  run: KudosPending | undefined;
  standing: SessionStanding;
  version: number;
  progress: SessionProgress;
  /** Set at revocation: whatever is still under way on it must not be acted upon. */
  ended = false;
  /** Whether the device's older resumption keys were deleted; asked once after it was read. */
  settled = false;
  /** Failed verifications that the store does not know of yet. */
  unstoredFailures = 0;
  /** Accepted and not yet taken over by the application, in their order. */
  readonly undelivered: AcceptedTelemetry[] = [];

  /** What it remembers of another life of the store is taken for lost. */
  constructor(
    crypto: Crypto,
    stored: StoredSession,
    { sealing, incarnation }: { readonly sealing: SealingKey; readonly incarnation: number },
  ) {
    const part = readKeys(crypto, openPart(sealing, stored.keys, keysContext(stored.id)));
    const statePart = openPart(sealing, stored.state, stateContext(stored.id, stored.version));
    const { usage, nextFailures, incarnation: written, ...progress } = readState(statePart);
    this.id = stored.id;
    this.deviceId = stored.deviceId;
    this.peer = new SessionPeer(seal, stored.deviceId, stored.id, () => {
      const { keys } = this;
      if (keys.kind !== 'epoch') return undefined;
      return (label, context, lengthBytes) => keys.edhoc.exporter(label, context, lengthBytes);
    });
    this.endpoint = { ingress: stored.ingress, linkAddress: stored.linkAddress };
    this.connectionId = stored.connectionId;
    this.side = part.side;
    this.message3Hash = part.message3Hash;
    this.attestedUnder = part.attestedUnder;
    this.keys = part.keys({ usage: part.run === undefined ? usage : unused, nextFailures });
    this.run =
      part.run === undefined
        ? undefined
        : KudosPending.restore(kudosConfig(crypto, part.side), part.run, {
            sequenceEnd: progress.ownEnd,
            window: ReplayWindow.empty().state(),
            usage,
          });
    this.standing = stored.standing;
    this.version = stored.version;
    this.beganMs = stored.beganMs;
    this.incarnation = incarnation;
    this.progress =
      written === incarnation ? progress : { ...progress, window: ReplayWindow.lost() };
  }

  get context(): SecurityContext {
    return this.keys.context;
  }

  /** The sealed keys as they will be: others, or these with a run of KUDOS under way. */
  sealedKeys(sealing: SealingKey, keys: SessionKeys, run: KudosPending | undefined): Uint8Array {
    const { side, message3Hash, attestedUnder } = this;
    const part = { keys, run, side, message3Hash, attestedUnder };
    return sealing.seal(writeKeys(part), keysContext(this.id));
  }

  /** What is left of the present keys once the next ones are proven, under an id of its own. */
  retired(sealing: SealingKey, id: string): StoredSession {
    const { endpoint, deviceId, connectionId, beganMs, keys, progress, message3Hash } = this;
    const { usage } = keys.context;
    const state = writeState(progress, { incarnation: this.incarnation, usage });
    // Nothing is answered under them any more, so that no bootstrap material goes along.
    const part = { keys, run: undefined, side: { peer: this.side.peer }, message3Hash };
    return {
      ...endpoint,
      id,
      deviceId,
      connectionId,
      beganMs,
      standing: 'superseded',
      version: 1,
      keys: sealing.seal(writeKeys(part), keysContext(id)),
      state: sealing.seal(state, stateContext(id, 1)),
    };
  }

  /** The sealed state as it will be stored under the next version. */
  sealedState(
    sealing: SealingKey,
    progress: SessionProgress,
    keys: SessionKeys,
    run: KudosPending | undefined,
  ): Uint8Array {
    const { incarnation } = this;
    const { nextFailures } = keys;
    // In a run every message comes under the new context, and the failures that count are its own.
    const { usage } = run?.fresh.context ?? keys.context;
    const state = writeState(progress, { incarnation, usage, nextFailures });
    return sealing.seal(state, stateContext(this.id, this.version + 1));
  }
}

export function kudosConfig(crypto: Crypto, side: KudosSide): KudosConfig {
  return { ...side, crypto, isCapable: true, preserveObservations: false };
}

/** The row of a session that takes the place of its handshake; it keeps id and connection identifier. */
export function firstForm(
  sealing: SealingKey,
  handshake: StoredHandshake,
  fields: {
    readonly deviceId: string;
    readonly session: EdhocSession;
    readonly message3Hash: Uint8Array;
    readonly side: KudosSide;
    readonly beganMs: number;
    readonly incarnation: number;
    readonly failedVerifications: number;
    readonly attestedUnder: string | undefined;
  },
): StoredSession {
  const { id, ingress, linkAddress, connectionId } = handshake;
  const { side, message3Hash, attestedUnder, incarnation, failedVerifications } = fields;
  const handshakeKeys = { kind: 'epoch', id, edhoc: fields.session } as const;
  const part = { keys: handshakeKeys, run: undefined, side, message3Hash, attestedUnder };
  const keys = writeKeys(part);
  const usage = { ...unused, failedVerifications };
  const state = writeState(noProgress, { incarnation, usage });
  return {
    id,
    ingress,
    linkAddress,
    connectionId,
    deviceId: fields.deviceId,
    beganMs: fields.beganMs,
    standing: 'fresh',
    version: 1,
    keys: sealing.seal(keys, keysContext(id)),
    state: sealing.seal(state, stateContext(id, 1)),
  };
}

function keysContext(id: string): string {
  return `session-keys/${id}`;
}

/** With the version: an older state of the same session does not open under the version of a newer one. */
function stateContext(id: string, version: number): string {
  return `session-state/${id}/${version}`;
}

function openPart(sealing: SealingKey, sealed: Uint8Array, context: string): Uint8Array {
  const opened = sealing.open(sealed, context);
  if (opened === undefined) throw new InvariantError('a stored session cannot be opened');
  return opened;
}

interface StateFacts {
  readonly incarnation: number;
  readonly usage: KeyUsage;
  readonly nextFailures?: number;
}

function writeState(
  { window, fingerprints, ownEnd, lastAnswer }: SessionProgress,
  { incarnation, usage, nextFailures = 0 }: StateFacts,
): Uint8Array {
  return cbor.array(
    cbor.integer(incarnation),
    window.isSynchronized ? writeWindow(window) : cbor.nullItem,
    cbor.bytes(fingerprints.store()),
    cbor.integer(usage.encryptions),
    cbor.integer(usage.failedVerifications),
    cbor.integer(nextFailures),
    cbor.integer(ownEnd),
    lastAnswer === undefined ? cbor.nullItem : writeAnswer(lastAnswer),
  );
}

function writeWindow(window: ReplayWindow): Uint8Array {
  const { next, seen } = window.state();
  return cbor.array(cbor.integer(next), cbor.bytes(seen));
}

function writeAnswer({ sequenceNumber, requestHash, frame }: LastAnswer): Uint8Array {
  return cbor.array(
    cbor.integer(sequenceNumber),
    cbor.bytes(requestHash),
    frame === undefined ? cbor.nullItem : cbor.bytes(frame),
  );
}

function readState(bytes: Uint8Array): SessionProgress & Required<StateFacts> {
  const reader = new CborReader(bytes);
  if (reader.array() !== 8) reader.fail('eight members expected', 0);
  const incarnation = reader.unsigned();
  const window = reader.takeNull() ? ReplayWindow.lost() : readWindow(reader);
  const fingerprints = Fingerprints.restore(reader.bytes());
  const usage = { encryptions: reader.unsigned(), failedVerifications: reader.unsigned() };
  const nextFailures = reader.unsigned();
  const ownEnd = reader.unsigned();
  const lastAnswer = reader.takeNull() ? undefined : readAnswer(reader);
  reader.end();
  return { incarnation, window, fingerprints, usage, nextFailures, ownEnd, lastAnswer };
}

function readWindow(reader: CborReader): ReplayWindow {
  if (reader.array() !== 2) reader.fail('two members expected');
  return ReplayWindow.restore({ next: reader.unsigned(), seen: reader.bytes() });
}

function readAnswer(reader: CborReader): LastAnswer {
  if (reader.array() !== 3) reader.fail('three members expected');
  return {
    sequenceNumber: reader.unsigned(),
    requestHash: reader.bytes().slice(),
    frame: reader.takeNull() ? undefined : reader.bytes().slice(),
  };
}
