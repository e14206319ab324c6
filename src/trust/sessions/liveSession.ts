/**
 * A session in memory: the OSCORE context of one device, its replay window, and the last answer. The
 * stored form has two parts: the keys, written once, and what changes with every message.
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { EdhocSession } from '../../wire/edhoc/session.ts';
import { deriveContext, type SecurityContext } from '../../wire/oscore/context.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import { InvariantError } from '../ports/faults.ts';
import type { SealingKey } from '../ports/keys.ts';
import type { Endpoint, StoredHandshake, StoredSession } from '../ports/sessionStore.ts';
import type { AcceptedTelemetry } from './ports.ts';

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
  readonly lastAnswer: LastAnswer | undefined;
}

/** Held by this module alone, so that nobody else can make a `SessionPeer`. */
const seal: unique symbol = Symbol('session');

/** The device at the other end of a session: who it is was proven by EDHOC. Only a session has one. */
export class SessionPeer {
  readonly deviceId: string;
  /** Private, so that no other object is of this type. */
  readonly #sessionId: string;

  constructor(made: typeof seal, deviceId: string, sessionId: string) {
    if (made !== seal) throw new TypeError('a session peer comes from a session alone');
    this.deviceId = deviceId;
    this.#sessionId = sessionId;
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
  readonly context: SecurityContext;
  readonly message3Hash: Uint8Array;
  version: number;
  progress: SessionProgress;
  /** Set at revocation: whatever is still under way on it must not be acted upon. */
  ended = false;
  /** Failed verifications that the store does not know of yet. */
  unstoredFailures = 0;
  /** Accepted and not yet taken over by the application, in their order. */
  readonly undelivered: AcceptedTelemetry[] = [];

  constructor(crypto: Crypto, stored: StoredSession, sealing: SealingKey) {
    const keys = readKeys(openPart(sealing, stored.keys, keysContext(stored.id)));
    const statePart = openPart(sealing, stored.state, stateContext(stored.id, stored.version));
    const { usage, ...progress } = readState(statePart);
    const parameters = EdhocSession.restore(crypto, keys.edhoc).oscoreParameters();
    this.id = stored.id;
    this.deviceId = stored.deviceId;
    this.peer = new SessionPeer(seal, stored.deviceId, stored.id);
    this.endpoint = { ingress: stored.ingress, linkAddress: stored.linkAddress };
    this.connectionId = stored.connectionId;
    this.context = deriveContext({
      ...parameters,
      crypto,
      hkdf: parameters.hash,
      usage,
    });
    this.message3Hash = keys.message3Hash;
    this.version = stored.version;
    this.progress = progress;
  }

  /** The sealed state as it will be stored under the next version. */
  sealedState(sealing: SealingKey, progress: SessionProgress): Uint8Array {
    const state = writeState(progress, this.context.usage);
    return sealing.seal(state, stateContext(this.id, this.version + 1));
  }
}

/** The row of a session that takes the place of its handshake; it keeps id and connection identifier. */
export function firstForm(
  sealing: SealingKey,
  handshake: StoredHandshake,
  fields: {
    readonly deviceId: string;
    readonly session: EdhocSession;
    readonly message3Hash: Uint8Array;
    readonly beganMs: number;
  },
): StoredSession {
  const { id, ingress, linkAddress, connectionId } = handshake;
  const keys = cbor.array(cbor.bytes(fields.session.store()), cbor.bytes(fields.message3Hash));
  const progress = { window: ReplayWindow.empty(), lastAnswer: undefined };
  const state = writeState(progress, { encryptions: 0, failedVerifications: 0 });
  return {
    id,
    ingress,
    linkAddress,
    connectionId,
    deviceId: fields.deviceId,
    beganMs: fields.beganMs,
    version: 1,
    keys: sealing.seal(keys, keysContext(id)),
    state: sealing.seal(state, stateContext(id, 1)),
  };
}

/** Sealed with its number: a payload cannot be given to another message. */
export function payloadContext(sessionId: string, sequenceNumber: number): string {
  return `telemetry/${sessionId}/${sequenceNumber}`;
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

function readKeys(bytes: Uint8Array): { edhoc: Uint8Array; message3Hash: Uint8Array } {
  const reader = new CborReader(bytes);
  if (reader.array() !== 2) reader.fail('two members expected', 0);
  const keys = { edhoc: reader.bytes(), message3Hash: reader.bytes().slice() };
  reader.end();
  return keys;
}

interface Usage {
  readonly encryptions: number;
  readonly failedVerifications: number;
}

function writeState({ window, lastAnswer }: SessionProgress, usage: Usage): Uint8Array {
  const { next, seen } = window.state();
  return cbor.array(
    cbor.integer(next),
    cbor.bytes(seen),
    cbor.integer(usage.encryptions),
    cbor.integer(usage.failedVerifications),
    lastAnswer === undefined ? cbor.nullItem : writeAnswer(lastAnswer),
  );
}

function writeAnswer({ sequenceNumber, requestHash, frame }: LastAnswer): Uint8Array {
  return cbor.array(
    cbor.integer(sequenceNumber),
    cbor.bytes(requestHash),
    frame === undefined ? cbor.nullItem : cbor.bytes(frame),
  );
}

function readState(bytes: Uint8Array): SessionProgress & { readonly usage: Usage } {
  const reader = new CborReader(bytes);
  if (reader.array() !== 5) reader.fail('five members expected', 0);
  const window = ReplayWindow.restore({ next: reader.unsigned(), seen: reader.bytes() });
  const usage = { encryptions: reader.unsigned(), failedVerifications: reader.unsigned() };
  const lastAnswer = reader.takeNull() ? undefined : readAnswer(reader);
  reader.end();
  return { window, usage, lastAnswer };
}

function readAnswer(reader: CborReader): LastAnswer {
  if (reader.array() !== 3) reader.fail('three members expected');
  return {
    sequenceNumber: reader.unsigned(),
    requestHash: reader.bytes().slice(),
    frame: reader.takeNull() ? undefined : reader.bytes().slice(),
  };
}
