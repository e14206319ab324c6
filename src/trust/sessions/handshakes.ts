/**
 * The server's side of EDHOC on raw links: responder, method 3 by kid, or resumption with a PSK of an
 * earlier session. The state of a handshake is stored with the answer before the answer leaves, so that a
 * restart, and a duplicate, finds the same bytes.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { CoapMessage } from '../../wire/coap/message.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { parseMessage1 } from '../../wire/edhoc/messages.ts';
import { suggestedPskCodePoints } from '../../wire/edhoc/psk.ts';
import type { ResponderProfile } from '../../wire/edhoc/profile.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../wire/edhoc/pskResponder.ts';
import { type EdhocRefusal, errorMessageFor, isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import {
  AwaitMessage3,
  type InitiatorCredentialNeeded,
  type Message1Accepted,
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
import { cutPart, partHashBytes, type PartRequest } from '../../wire/relay/parts.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import type { Endpoint, StoredHandshake } from '../ports/sessionStore.ts';
import { type Answer, Attestations, noQuestion } from './attestations.ts';
import { DeviceCredentials } from './deviceCredentials.ts';
import { HandshakeRows, placeOf } from './handshakeRows.ts';
import { OwnCredentials, serverProofLabels } from './ownCredentials.ts';
import type { FrameRefusal, SessionLimits, SessionPorts } from './ports.ts';
import type { AuthenticatedDevice, Resumptions } from './resumptions.ts';
import { isAnswered, ReverseHandshakes } from './reverseHandshakes.ts';
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
  /** `AttestationPolicy.demandOf` when its evidence was good; absent where none was demanded. */
  readonly attestedUnder?: string | undefined;
  /** Where its keys were in use before: what failed to verify under them. */
  readonly failedVerifications?: number;
}

/** The peer has shown by a request that it has the keys. */
export interface ConfirmedHandshake extends CompletedHandshake {
  /** SHA-256 of what the peer said last in it. */
  readonly lastMessageHash: Uint8Array;
}

type Waiting = AwaitMessage3 | PskAwaitMessage3;

/** With certificates also devices that sign. */
const methodsByKid: readonly Method[] = [rawLinkMethod];
const methodsByCertificate: readonly Method[] = [rawLinkMethod, 1];

export class Handshakes {
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;
  readonly #resumptions: Resumptions;
  readonly #credentials: DeviceCredentials;
  readonly #rows: HandshakeRows;
  readonly #reverse: ReverseHandshakes;
  readonly #own: OwnCredentials;
  readonly #attestations: Attestations;
  readonly #profile: ResponderProfile;
  readonly #kudosLabel: number;

  constructor(ports: SessionPorts, limits: SessionLimits, resumptions: Resumptions) {
    this.#ports = ports;
    this.#limits = limits;
    this.#resumptions = resumptions;
    this.#kudosLabel = ports.kudosLabel ?? exampleKudosLabel;
    this.#credentials = new DeviceCredentials(ports);
    this.#rows = new HandshakeRows(ports, limits);
    this.#attestations = new Attestations(ports.crypto, ports.attestation);
    this.#reverse = new ReverseHandshakes(ports, this.#rows, this.#credentials, this.#attestations);
    this.#own = new OwnCredentials(ports);
    const { certificates, chains } = ports;
    const methods = certificates === undefined ? methodsByKid : methodsByCertificate;
    this.#profile = {
      methods: this.#own.methods(methods),
      suites: [rawLinkSuite],
      message4: false,
      knownEad: [...(chains === undefined ? [] : serverProofLabels), ...this.#attestations.labels],
    };
  }

  /** The frame to answer with: message_2, or the error that names our suites. */
  async begin(endpoint: Endpoint, message1: Uint8Array): Promise<Uint8Array | FrameRefusal> {
    const { crypto, store, observe } = this.#ports;
    const hash = crypto.hash('SHA-256', message1);
    for (const known of await store.handshakes(endpoint)) {
      const { message1Hash, answer } = this.#rows.stateOf(known);
      // RFC 9528 §7: a duplicate leads to the stored message, never to another one.
      if (!equal(message1Hash, hash)) continue;
      observe({ kind: 'duplicate', endpoint });
      return answer;
    }
    const accepted =
      parseMessage1(message1).method === suggestedPskCodePoints.method
        ? readPskMessage1(crypto, { ...this.#profile, knownEad: [] }, message1)
        : readMessage1(crypto, this.#profile, message1);
    if (isEdhocRefusal(accepted)) return this.#refuseMessage1(endpoint, accepted, message1);
    const connectionId = await this.#rows.freeConnectionId(endpoint, accepted.peerConnectionId);
    if (connectionId === undefined) return 'endpoint-full';
    const place = placeOf(endpoint, connectionId);
    const isResumption = accepted.kind === 'psk-message-1-accepted';
    const question = isResumption ? noQuestion : await this.#attestations.ask(accepted.ead1);
    const ead2 = [...this.#ead2(accepted), ...question.items];
    const composed = isResumption
      ? accepted.compose({ connectionId, ead2 })
      : await this.#own.answer(accepted, connectionId, ead2);
    if (isEdhocRefusal(composed)) return 'handshake-refused';
    const { next, message2 } = composed;
    const { peerConnectionId } = next;
    const answer = writeFrame({ kind: 'edhoc', connectionId: peerConnectionId, message: message2 });
    const added = await this.#rows.add(place, next, hash, answer, question.nonce);
    if (added === 'taken') return 'lost-race';
    observe({ kind: 'handshake-began', endpoint, evicted: added.evicted });
    return answer;
  }

  /** A part of the answer to message_1, for links whose frames do not hold it. Stored as it is, it is cut anew. */
  async part(endpoint: Endpoint, request: PartRequest): Promise<Uint8Array | FrameRefusal> {
    const { crypto } = this.#ports;
    const asked =
      'message1' in request
        ? crypto.hash('SHA-256', request.message1).subarray(0, partHashBytes)
        : request.hash;
    const answer =
      'message1' in request
        ? await this.begin(endpoint, request.message1)
        : await this.#answerTo(endpoint, asked);
    if (typeof answer === 'string') return answer;
    return cutPart(answer, request, asked) ?? 'malformed';
  }

  /**
   * Verifies message_3; the handshake is still stored, and the caller promotes it. In the reverse flow,
   * answers message_2.
   */
  async complete(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message: Uint8Array,
  ): Promise<CompletedHandshake | Uint8Array | FrameRefusal> {
    const stored = await this.#rows.find(endpoint, connectionId);
    if (stored === undefined) return 'unknown-connection';
    const { crypto } = this.#ports;
    const keys = this.#rows.keysOf(stored);
    if (isReverse(keys)) return this.#reverse.answer(stored, endpoint, message);
    return storedKind(keys) === 'pskAwaitMessage3'
      ? this.#completeResumption(stored, PskAwaitMessage3.restore(crypto, keys), endpoint, message)
      : this.#completeFull(stored, AwaitMessage3.restore(crypto, keys), endpoint, message);
  }

  /** The reverse flow (RFC 9528 Appendix A.2.2): the frame with our message_1. */
  beginReverse(endpoint: Endpoint): Promise<Uint8Array | FrameRefusal> {
    return this.#reverse.begin(endpoint);
  }

  /** A handshake of the reverse flow whose peer shows by this request that it has the keys. */
  confirm(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    request: CoapMessage,
  ): Promise<ConfirmedHandshake | undefined> {
    return this.#reverse.confirm(endpoint, connectionId, request);
  }

  /** Returns how many were given up. */
  removeExpired(): Promise<number> {
    const { handshakeLifetimeMs, roamingHandshakeLifetimeMs } = this.#limits;
    const nowMs = this.#ports.clock.nowMs();
    return this.#ports.store.removeHandshakesBefore(
      nowMs - handshakeLifetimeMs,
      nowMs - roamingHandshakeLifetimeMs,
    );
  }

  /** Whoever asks whether we speak KUDOS is told (draft-ietf-core-oscore-key-update §5). */
  #ead2({ ead1 }: Pick<Message1Accepted, 'ead1'>): readonly EadItem[] {
    const asked = ead1.find(({ label }) => label === this.#kudosLabel);
    if (!asksKudosSupport(asked?.value)) return [];
    return [{ label: this.#kudosLabel, critical: false, value: encodeKudosSupport('full') }];
  }

  #completed(stored: StoredHandshake, found: AuthenticatedDevice): CompletedHandshake {
    const { deviceId, verified, authenticatedMs, usedKeyOf, attestedUnder } = found;
    const said = verified.ead3.find(({ label }) => label === this.#kudosLabel);
    const { session } = verified.finish();
    const side = sideOf(parseKudosSupport(said?.value), session);
    return { stored, deviceId, session, side, authenticatedMs, usedKeyOf, attestedUnder };
  }

  async #answerTo(endpoint: Endpoint, hash: Uint8Array): Promise<Uint8Array | FrameRefusal> {
    for (const known of await this.#ports.store.handshakes(endpoint)) {
      const { message1Hash, answer } = this.#rows.stateOf(known);
      if (equal(message1Hash.subarray(0, hash.length), hash)) return answer;
    }
    return 'unknown-connection';
  }

  async #completeFull(
    stored: StoredHandshake,
    edhoc: AwaitMessage3,
    endpoint: Endpoint,
    message3: Uint8Array,
  ): Promise<CompletedHandshake | FrameRefusal> {
    const read = edhoc.readMessage3(message3);
    if (isEdhocRefusal(read)) return this.#keepWaiting(stored, edhoc, read);
    const { h12, idCredI, ead3 } = read;
    // What is asked for in EAD_1 has no place here.
    const known = this.#attestations.labels;
    const strange = ead3.some(({ critical, label }) => critical && !known.includes(label));
    const found = strange
      ? 'handshake-refused'
      : await this.#recognize(stored, { read, h12, idCredI, ead3 }, endpoint);
    if (typeof found !== 'string') return this.#completed(stored, found);
    // It came from whoever sent message_1, so that nobody else could have spoiled it: this one is over.
    await this.#ports.store.removeHandshake(stored.id);
    return found;
  }

  /** Who it is; and where evidence was asked for, in which state. */
  async #recognize(
    stored: StoredHandshake,
    received: Omit<Answer, 'deviceId' | 'nonce'> & { readonly read: InitiatorCredentialNeeded },
    endpoint: Endpoint,
  ): Promise<AuthenticatedDevice | FrameRefusal> {
    const { read, ...answer } = received;
    const proof = authenticationOf(read.method).initiator;
    const found = await this.#credentials.recognize(read, proof, endpoint);
    if (typeof found === 'string') return found;
    const { deviceId } = found;
    const { nonce } = this.#rows.stateOf(stored);
    // Before the evidence is judged: it must not count for what became good only meanwhile.
    const attestedUnder = await this.#attestations.demandOf(deviceId);
    const refused = await this.#attestations.judge({ ...answer, deviceId, nonce });
    if (refused === undefined) return { ...found, attestedUnder };
    this.#ports.observe({ kind: 'not-attested', endpoint, deviceId, reason: refused });
    return 'not-attested';
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
    await this.#rows.replaceKeys(stored, edhoc.store());
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
}

function sideOf(support: KudosSupport | undefined, session: EdhocSession): KudosSide {
  const peer = peerCapability(support ?? 'none');
  return peer === 'non-capable' ? { peer, bootstrap: session.oscoreParameters() } : { peer };
}

function isReverse(keys: Uint8Array): boolean {
  return isAnswered(keys) || storedKind(keys) === 'awaitMessage2';
}
