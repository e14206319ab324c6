/**
 * The server's side of EDHOC on raw links: responder, method 3 by kid, or resumption with a PSK of an
 * earlier session. The state of a handshake is stored with the answer before the answer leaves, so that a
 * restart, and a duplicate, finds the same bytes.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { deviceCredential } from '../../wire/edhoc/agreeCredential.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { parseMessage1 } from '../../wire/edhoc/messages.ts';
import { suggestedPskCodePoints } from '../../wire/edhoc/psk.ts';
import type { ResponderProfile } from '../../wire/edhoc/profile.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../wire/edhoc/pskResponder.ts';
import {
  type EdhocRefusal,
  errorMessageFor,
  isEdhocRefusal,
  refuse,
} from '../../wire/edhoc/refusal.ts';
import {
  AwaitMessage3,
  type InitiatorCredentialNeeded,
  type Message1Accepted,
  type Message2Step,
  readMessage1,
} from '../../wire/edhoc/responder.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import { storedKind } from '../../wire/edhoc/stored.ts';
import { authenticationOf, type Method } from '../../wire/edhoc/suites.ts';
import {
  asksKudosSupport,
  encodeKudosSupport,
  exampleKudosLabel,
  type KudosSupport,
  parseKudosSupport,
  peerCapability,
} from '../../wire/oscore/kudosSupport.ts';
import { maximumConnectionIdBytes, writeFrame } from '../../wire/relay/frame.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import { InvariantError } from '../ports/faults.ts';
import type { Endpoint, StoredHandshake } from '../ports/sessionStore.ts';
import { CertificateCredentials } from './certificateCredentials.ts';
import type { FrameRefusal, SessionLimits, SessionPorts } from './ports.ts';
import type { AuthenticatedDevice, Resumptions } from './resumptions.ts';
import type { KudosSide } from './sessionKeys.ts';

export interface CompletedHandshake {
  readonly stored: StoredHandshake;
  readonly deviceId: string;
  readonly session: EdhocSession;
  readonly side: KudosSide;
  /** When the device last proved its long-term key. */
  readonly authenticatedMs: number;
  /** Where it was resumed: the session whose resumption key it used. */
  readonly usedKeyOf: string | undefined;
}

type Waiting = AwaitMessage3 | PskAwaitMessage3;

/** With certificates also devices that sign; the server's key agrees in either. */
const methodsByKid: readonly Method[] = [rawLinkMethod];
const methodsByCertificate: readonly Method[] = [rawLinkMethod, 1];

export class Handshakes {
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;
  readonly #resumptions: Resumptions;
  readonly #certificates: CertificateCredentials | undefined;
  readonly #profile: ResponderProfile;
  readonly #kudosLabel: number;

  constructor(ports: SessionPorts, limits: SessionLimits, resumptions: Resumptions) {
    this.#ports = ports;
    this.#limits = limits;
    this.#resumptions = resumptions;
    this.#kudosLabel = ports.kudosLabel ?? exampleKudosLabel;
    const { crypto, certificates } = ports;
    this.#certificates =
      certificates === undefined ? undefined : new CertificateCredentials(crypto, certificates);
    const methods = certificates === undefined ? methodsByKid : methodsByCertificate;
    this.#profile = { methods, suites: [rawLinkSuite], message4: false };
  }

  /** The frame to answer with: message_2, or the error that names our suites. */
  async begin(endpoint: Endpoint, message1: Uint8Array): Promise<Uint8Array | FrameRefusal> {
    const { crypto, store, observe } = this.#ports;
    const hash = crypto.hash('SHA-256', message1);
    for (const known of await store.handshakes(endpoint)) {
      const { message1Hash, answer } = this.#stateOf(known);
      // RFC 9528 §7: a duplicate leads to the stored message, never to another one.
      if (!equal(message1Hash, hash)) continue;
      observe({ kind: 'duplicate', endpoint });
      return answer;
    }
    const accepted =
      parseMessage1(message1).method === suggestedPskCodePoints.method
        ? readPskMessage1(crypto, this.#profile, message1)
        : readMessage1(crypto, this.#profile, message1);
    if (isEdhocRefusal(accepted)) return this.#refuseMessage1(endpoint, accepted, message1);
    const connectionId = await this.#freeConnectionId(endpoint, accepted.peerConnectionId);
    if (connectionId === undefined) return 'endpoint-full';
    const place = placeOf(endpoint, connectionId);
    const composed =
      accepted.kind === 'psk-message-1-accepted'
        ? accepted.compose({ connectionId, ead2: this.#ead2(accepted) })
        : await this.#compose(accepted, connectionId);
    if (isEdhocRefusal(composed)) return 'handshake-refused';
    const { next, message2 } = composed;
    const { peerConnectionId } = next;
    const answer = writeFrame({ kind: 'edhoc', connectionId: peerConnectionId, message: message2 });
    const added = await this.#add(place, next, hash, answer);
    if (added === 'taken') return 'lost-race';
    observe({ kind: 'handshake-began', endpoint, evicted: added.evicted });
    return answer;
  }

  /** Verifies message_3. The handshake is still stored: the caller promotes it. */
  async complete(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message3: Uint8Array,
  ): Promise<CompletedHandshake | FrameRefusal> {
    const handshakes = await this.#ports.store.handshakes(placeOf(endpoint, connectionId));
    const stored = handshakes.find((known) => equal(known.connectionId, connectionId));
    if (stored === undefined) return 'unknown-connection';
    const edhoc = this.#restore(stored);
    return edhoc.kind === 'await-message-3'
      ? this.#completeFull(stored, edhoc, endpoint, message3)
      : this.#completeResumption(stored, edhoc, endpoint, message3);
  }

  /** Returns how many were given up. */
  removeExpired(): Promise<number> {
    const { clock, store } = this.#ports;
    return store.removeHandshakesBefore(clock.nowMs() - this.#limits.handshakeLifetimeMs);
  }

  async #compose(
    accepted: Message1Accepted,
    connectionId: Uint8Array,
  ): Promise<Message2Step | EdhocRefusal> {
    const { agreement, identity } = this.#ports;
    const ead2 = this.#ead2(accepted);
    const needed = accepted.compose({ connectionId, own: identity, ead2 });
    if (isEdhocRefusal(needed)) return needed;
    if (needed.kind !== 'agreement-needed') throw new InvariantError('method 3 only agrees');
    const secret = await agreement.agree(needed.peerPublicKey);
    return secret === undefined
      ? refuse('invalid-key', 'the server key refused G_X')
      : needed.finish(secret);
  }

  /** Whoever asks whether we speak KUDOS is told (draft-ietf-core-oscore-key-update §5). */
  #ead2({ ead1 }: Pick<Message1Accepted, 'ead1'>): readonly EadItem[] {
    const asked = ead1.find(({ label }) => label === this.#kudosLabel);
    if (!asksKudosSupport(asked?.value)) return [];
    return [{ label: this.#kudosLabel, critical: false, value: encodeKudosSupport('full') }];
  }

  #completed(stored: StoredHandshake, found: AuthenticatedDevice): CompletedHandshake {
    const { deviceId, verified, authenticatedMs, usedKeyOf } = found;
    const said = verified.ead3.find(({ label }) => label === this.#kudosLabel);
    const { session } = verified.finish();
    const side = sideOf(parseKudosSupport(said?.value), session);
    return { stored, deviceId, session, side, authenticatedMs, usedKeyOf };
  }

  async #completeFull(
    stored: StoredHandshake,
    edhoc: AwaitMessage3,
    endpoint: Endpoint,
    message3: Uint8Array,
  ): Promise<CompletedHandshake | FrameRefusal> {
    const read = edhoc.readMessage3(message3);
    if (isEdhocRefusal(read)) return this.#keepWaiting(stored, edhoc, read);
    const found = await this.#authenticate(read, endpoint);
    if (typeof found !== 'string') return this.#completed(stored, found);
    // It came from whoever sent message_1, so that nobody else could have spoiled it: this one is over.
    await this.#ports.store.removeHandshake(stored.id);
    return found;
  }

  /** Until a PSK fits, message_3 may be anybody's: it does not end the handshake before there were many. */
  async #completeResumption(
    stored: StoredHandshake,
    edhoc: PskAwaitMessage3,
    endpoint: Endpoint,
    message3: Uint8Array,
  ): Promise<CompletedHandshake | FrameRefusal> {
    const needed = edhoc.readMessage3(message3);
    if (isEdhocRefusal(needed)) return this.#keepWaiting(stored, edhoc, needed);
    const found = await this.#resumptions.authenticate(needed, endpoint);
    if (typeof found !== 'string') return this.#completed(stored, found);
    const waiting = needed.spent ? undefined : needed.keepWaiting();
    if (waiting === undefined || isEdhocRefusal(waiting)) {
      await this.#ports.store.removeHandshake(stored.id);
      return 'exhausted';
    }
    await this.#storeWaiting(stored, waiting);
    return found;
  }

  async #add(
    { ingress, linkAddress }: Endpoint,
    next: Waiting,
    message1Hash: Uint8Array,
    answer: Uint8Array,
  ): Promise<{ readonly evicted: number } | 'taken'> {
    const { crypto, clock, store, sealing } = this.#ports;
    const id = toHex(crypto.random(16));
    const state = cbor.array(cbor.bytes(message1Hash), cbor.bytes(answer));
    // A crash before this write: the sensor sends message_1 again and gets another answer. After it: the
    // same bytes, whether or not they were sent before.
    return store.addHandshake(
      {
        id,
        ingress,
        linkAddress,
        connectionId: next.connectionId,
        beganMs: clock.nowMs(),
        version: 1,
        keys: sealing.seal(next.store(), keysContext(id)),
        state: sealing.seal(state, stateContext(id)),
      },
      {
        perEndpoint: this.#limits.handshakesPerEndpoint,
        perIngress: this.#limits.handshakesPerIngress,
      },
    );
  }

  #authenticate(
    read: InitiatorCredentialNeeded,
    endpoint: Endpoint,
  ): Promise<AuthenticatedDevice | FrameRefusal> | FrameRefusal {
    const [reference, ...more] = read.references;
    return reference?.kind === 'kid' && more.length === 0
      ? this.#authenticateByKid(read, reference.kid, endpoint)
      : this.#authenticateByCertificate(read);
  }

  async #authenticateByCertificate(
    read: InitiatorCredentialNeeded,
  ): Promise<AuthenticatedDevice | FrameRefusal> {
    const resolved = await this.#certificates?.resolve(read.references, read.method);
    if (resolved === undefined) return 'unknown-credential';
    if (typeof resolved === 'string') return resolved;
    const { deviceId, credential, accepted } = resolved;
    const verified = read.accept(credential);
    if (isEdhocRefusal(verified)) return 'not-authentic';
    await accepted();
    return { deviceId, verified, authenticatedMs: this.#ports.clock.nowMs() };
  }

  /** Tries the devices that the kid may stand for: it is a byte, so there are several. */
  async #authenticateByKid(
    read: InitiatorCredentialNeeded,
    kid: Uint8Array,
    endpoint: Endpoint,
  ): Promise<AuthenticatedDevice | FrameRefusal> {
    const { crypto, clock, registry } = this.#ports;
    // The keys that a kid names are for agreement alone: a signature by one of them is no proof.
    if (authenticationOf(read.method).initiator !== 'static-dh') return 'unknown-credential';
    const linkAddress = isRoaming(endpoint) ? undefined : endpoint.linkAddress;
    let tried = false;
    for (const { deviceId, agreeKey } of await registry.candidates(kid, linkAddress)) {
      const credential =
        agreeKey === undefined ? undefined : deviceCredential(crypto, deviceId, agreeKey);
      if (credential === undefined) continue;
      const verified = read.accept(credential);
      if (!isEdhocRefusal(verified)) {
        return { deviceId, verified, authenticatedMs: clock.nowMs() };
      }
      if (read.spent) return 'exhausted';
      tried = true;
    }
    return tried ? 'not-authentic' : 'unknown-credential';
  }

  /**
   * RFC 9528 §9.7: what did not decrypt may be anybody's, and does not end the handshake before there were
   * many of it; the count is stored, so that a restart does not begin it anew.
   */
  async #keepWaiting(
    stored: StoredHandshake,
    edhoc: Waiting,
    refusal: EdhocRefusal,
  ): Promise<FrameRefusal> {
    if (refusal.refused === 'peer-error') return 'peer-error';
    if (edhoc.spent) {
      await this.#ports.store.removeHandshake(stored.id);
      return 'exhausted';
    }
    await this.#storeWaiting(stored, edhoc);
    return refusal.refused === 'malformed' ? 'malformed' : 'not-authentic';
  }

  async #storeWaiting(stored: StoredHandshake, edhoc: Waiting): Promise<void> {
    const { store, sealing } = this.#ports;
    const keys = sealing.seal(edhoc.store(), keysContext(stored.id));
    await store.updateHandshake(stored.id, stored.version, keys);
  }

  #restore(stored: StoredHandshake): Waiting {
    const { crypto } = this.#ports;
    const bytes = this.#open(stored.keys, keysContext(stored.id));
    return storedKind(bytes) === 'pskAwaitMessage3'
      ? PskAwaitMessage3.restore(crypto, bytes)
      : AwaitMessage3.restore(crypto, bytes);
  }

  #refuseMessage1(
    endpoint: Endpoint,
    refusal: EdhocRefusal,
    message1: Uint8Array,
  ): Uint8Array | FrameRefusal {
    if (refusal.refused === 'malformed' || refusal.refused === 'unsupported') {
      return refusal.refused;
    }
    const message = refusal.refused === 'wrong-suite' ? errorMessageFor(refusal) : undefined;
    if (message === undefined) return 'handshake-refused';
    const { cI: connectionId } = parseMessage1(message1);
    if (connectionId.length > maximumConnectionIdBytes) return 'unsupported';
    this.#ports.observe({ kind: 'refused', code: 'wrong-suite', endpoint });
    return writeFrame({ kind: 'edhoc', connectionId, message });
  }

  /**
   * Random, so that it says nothing, and free where it has to be: one byte that travels as one byte on a
   * raw link; three bytes where all devices of an ingress share one name space.
   */
  async #freeConnectionId(
    endpoint: Endpoint,
    peerConnectionId: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const { crypto, store } = this.#ports;
    if (isRoaming(endpoint)) return this.#freeRoamingId(endpoint, peerConnectionId);
    const taken = [peerConnectionId, ...(await store.connectionIds(endpoint))];
    const free = oneByteIdentifiers.filter((id) => !taken.some((other) => equal(other, id)));
    const [chance = 0, more = 0] = crypto.random(2);
    return free[(chance * 256 + more) % Math.max(1, free.length)];
  }

  async #freeRoamingId(
    endpoint: Endpoint,
    peerConnectionId: Uint8Array,
  ): Promise<Uint8Array | undefined> {
    const { crypto, store } = this.#ports;
    for (let attempt = 0; attempt < roamingAttempts; attempt += 1) {
      const id = crypto.random(roamingIdBytes);
      const taken = await store.connectionIds(placeOf(endpoint, id));
      if (taken.length === 0 && !equal(id, peerConnectionId)) return id;
    }
    return undefined;
  }

  #stateOf(stored: StoredHandshake): { message1Hash: Uint8Array; answer: Uint8Array } {
    const reader = new CborReader(this.#open(stored.state, stateContext(stored.id)));
    reader.array();
    return { message1Hash: reader.bytes(), answer: reader.bytes() };
  }

  #open(sealed: Uint8Array, context: string): Uint8Array {
    const opened = this.#ports.sealing.open(sealed, context);
    if (opened === undefined) throw new InvariantError('a stored handshake cannot be opened');
    return opened;
  }
}

function sideOf(support: KudosSupport | undefined, session: EdhocSession): KudosSide {
  const peer = peerCapability(support ?? 'none');
  return peer === 'non-capable' ? { peer, bootstrap: session.oscoreParameters() } : { peer };
}

/** 2^24 identifiers: with 10,000 sessions one in 1,700 is taken, and a few tries are enough. */
const roamingIdBytes = 3;
const roamingAttempts = 8;

/** No address: a peer on IP, whose address may change with every datagram. */
export function isRoaming({ linkAddress }: Endpoint): boolean {
  return linkAddress.length === 0;
}

/** Where the state of a connection is kept: of a peer without a stable address its identifier alone says it. */
export function placeOf(endpoint: Endpoint, connectionId: Uint8Array): Endpoint {
  if (!isRoaming(endpoint)) return endpoint;
  return { ingress: endpoint.ingress, linkAddress: connectionId };
}

/** RFC 9528 §3.3.2: the byte strings that travel as the integers -24..23. */
const oneByteIdentifiers: readonly Uint8Array[] = Array.from({ length: 48 }, (_, place) =>
  Uint8Array.of(place < 24 ? place : 0x20 + place - 24),
);

function keysContext(id: string): string {
  return `handshake-keys/${id}`;
}

function stateContext(id: string): string {
  return `handshake-state/${id}`;
}
