/**
 * The reverse message flow over CoAP (RFC 9528 Appendix A.2.2): the client asks us to begin, and we are the
 * initiator. Who we are is told to nobody but an authenticated device; a device is known to anybody who
 * answers it, which is why it is not the usual way.
 *
 * After message_3 it is not known whether the device has the keys (§5.4.2): the handshake stays a half-open
 * one, with the keys in it sealed, until a request under them has come.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { CoapMessage } from '../../wire/coap/message.ts';
import { AwaitApplication } from '../../wire/edhoc/completion.ts';
import {
  AwaitMessage2,
  type Message3Step,
  type ResponderVerified,
  startInitiator,
} from '../../wire/edhoc/initiator.ts';
import { isEdhocRefusal, type EdhocRefusal, refuse } from '../../wire/edhoc/refusal.ts';
import { authenticationOf } from '../../wire/edhoc/suites.ts';
import { deriveContext, type SecurityContext } from '../../wire/oscore/context.ts';
import { unused } from '../../wire/oscore/limits.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import { unprotectRequest } from '../../wire/oscore/server.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import { InvariantError } from '../ports/faults.ts';
import type { Endpoint, StoredHandshake } from '../ports/sessionStore.ts';
import type { Attestations } from './attestations.ts';
import type { DeviceCredentials } from './deviceCredentials.ts';
import type { ConfirmedHandshake } from './handshakes.ts';
import { type HandshakeRows, isRoaming, placeOf } from './handshakeRows.ts';
import type { FrameRefusal, SessionPorts } from './ports.ts';

/** message_3 was made: the pending keys, and what a repeated message_2 is answered with. */
interface Answered {
  readonly edhoc: AwaitApplication;
  readonly message2Hash: Uint8Array;
  readonly answer: Uint8Array;
  readonly deviceId: string;
  readonly authenticatedMs: number;
  /** Under the pending keys. */
  readonly failedVerifications: number;
}

const profile = { method: rawLinkMethod, suites: [rawLinkSuite], message4: false } as const;

export class ReverseHandshakes {
  readonly #ports: SessionPorts;
  readonly #rows: HandshakeRows;
  readonly #credentials: DeviceCredentials;
  readonly #attestations: Attestations;

  constructor(
    ports: SessionPorts,
    rows: HandshakeRows,
    credentials: DeviceCredentials,
    attestations: Attestations,
  ) {
    this.#ports = ports;
    this.#rows = rows;
    this.#credentials = credentials;
    this.#attestations = attestations;
  }

  /** A radio would send forty bytes for one that anybody may send. */
  async begin(endpoint: Endpoint): Promise<Uint8Array | FrameRefusal> {
    if (!isRoaming(endpoint)) return 'unsupported';
    const { crypto, observe } = this.#ports;
    const connectionId = await this.#rows.freeConnectionId(endpoint, empty);
    if (connectionId === undefined) return 'endpoint-full';
    const { next, message1 } = startInitiator(crypto, profile, { connectionId });
    const answer = writeFrame({ kind: 'edhoc-start', message1 });
    const added = await this.#rows.add(placeOf(endpoint, connectionId), next, empty, answer);
    if (added === 'taken') return 'lost-race';
    observe({ kind: 'handshake-began', endpoint, evicted: added.evicted });
    return answer;
  }

  /** The frame with message_3. A repeated message_2 gets the same bytes. */
  async answer(
    stored: StoredHandshake,
    endpoint: Endpoint,
    message2: Uint8Array,
  ): Promise<Uint8Array | FrameRefusal> {
    const { crypto, observe } = this.#ports;
    const keys = this.#rows.keysOf(stored);
    const message2Hash = crypto.hash('SHA-256', message2);
    if (isAnswered(keys)) {
      const { message2Hash: known, answer } = readAnswered(this.#ports, keys);
      if (!equal(known, message2Hash)) return 'unknown-connection';
      observe({ kind: 'duplicate', endpoint });
      return answer;
    }
    const edhoc = AwaitMessage2.restore(crypto, keys);
    const read = edhoc.readMessage2(message2);
    if (isEdhocRefusal(read)) return this.#keepWaiting(stored, edhoc, read);
    const peerConnectionId = read.peerConnectionId.slice();
    const proof = authenticationOf(profile.method).responder;
    const found = await this.#credentials.recognize(read, proof, endpoint);
    if (typeof found === 'string') {
      const waiting = read.spent ? undefined : read.keepWaiting();
      if (waiting === undefined || isEdhocRefusal(waiting)) await this.#remove(stored);
      else await this.#rows.replaceKeys(stored, waiting.store());
      return found;
    }
    const { deviceId, verified, authenticatedMs } = found;
    // Here the device has no message after ours in which it could give evidence.
    if ((await this.#attestations.demandOf(deviceId)) !== undefined) {
      await this.#remove(stored);
      observe({ kind: 'not-attested', endpoint, deviceId, reason: 'missing' });
      return 'not-attested';
    }
    const composed = await this.#compose(verified);
    if (isEdhocRefusal(composed)) {
      await this.#remove(stored);
      return 'handshake-refused';
    }
    const { next, message3 } = composed;
    if (!(next instanceof AwaitApplication)) throw new InvariantError('there is no message_4');
    const answer = writeFrame({ kind: 'edhoc', connectionId: peerConnectionId, message: message3 });
    const device = { deviceId, authenticatedMs, failedVerifications: 0 };
    const answered = { edhoc: next, message2Hash, answer, ...device };
    // A crash before this write: message_2 comes again, to the state before. After it: the same message_3,
    // and never a second one, which could have the same key and nonce (RFC 9528 §7).
    const written = await this.#rows.replaceKeys(stored, writeAnswered(answered));
    return written ? answer : 'lost-race';
  }

  /** `undefined` when nothing waits under this identifier, or the request proves nothing. */
  async confirm(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    request: CoapMessage,
  ): Promise<ConfirmedHandshake | undefined> {
    const { crypto } = this.#ports;
    const stored = await this.#rows.find(endpoint, connectionId);
    const keys = stored === undefined ? undefined : this.#rows.keysOf(stored);
    if (stored === undefined || keys === undefined || !isAnswered(keys)) return undefined;
    const answered = readAnswered(this.#ports, keys);
    const { edhoc, message2Hash, deviceId, authenticatedMs, failedVerifications } = answered;
    const usage = { ...unused, failedVerifications };
    const context = deriveContext({ ...edhoc.pendingKeys.oscoreParameters(), crypto, usage });
    const opened = unprotectRequest(context, ReplayWindow.empty(), request);
    if ('refused' in opened) {
      await this.#countFailures(stored, answered, context);
      return undefined;
    }
    const session = edhoc.confirm();
    const side = { peer: 'unknown' } as const;
    const completed = { stored, deviceId, session, side, authenticatedMs, usedKeyOf: undefined };
    return { ...completed, failedVerifications, lastMessageHash: message2Hash };
  }

  async #compose(verified: ResponderVerified): Promise<Message3Step | EdhocRefusal> {
    const { agreement, identity } = this.#ports;
    const needed = verified.compose({ own: identity });
    if (isEdhocRefusal(needed)) return needed;
    if (needed.kind !== 'agreement-needed') throw new InvariantError('method 3 only agrees');
    const secret = await agreement.agree(needed.peerPublicKey);
    return secret === undefined
      ? refuse('invalid-key', 'the server key refused G_Y')
      : needed.finish(secret);
  }

  /** The keys go on into the session, so that their limit holds from here (key-limits §2.3.2). */
  async #countFailures(
    stored: StoredHandshake,
    answered: Answered,
    { usage: { failedVerifications }, isRecipientKeyWornOut }: SecurityContext,
  ): Promise<void> {
    if (isRecipientKeyWornOut) return this.#remove(stored);
    // What was not tried on the key is not counted.
    if (failedVerifications === answered.failedVerifications) return;
    await this.#rows.replaceKeys(stored, writeAnswered({ ...answered, failedVerifications }));
  }

  /** RFC 9528 §9.7: what did not decrypt may be anybody's. */
  async #keepWaiting(
    stored: StoredHandshake,
    edhoc: AwaitMessage2,
    { refused }: EdhocRefusal,
  ): Promise<FrameRefusal> {
    if (refused === 'peer-error') return 'peer-error';
    if (edhoc.spent) {
      await this.#remove(stored);
      return 'exhausted';
    }
    await this.#rows.replaceKeys(stored, edhoc.store());
    return refused === 'malformed' ? 'malformed' : 'not-authentic';
  }

  #remove({ id }: StoredHandshake): Promise<void> {
    return this.#ports.store.removeHandshake(id);
  }
}

function writeAnswered(answered: Answered): Uint8Array {
  const { edhoc, message2Hash, answer, deviceId, authenticatedMs } = answered;
  return cbor.array(
    cbor.bytes(edhoc.store()),
    cbor.bytes(message2Hash),
    cbor.bytes(answer),
    cbor.text(deviceId),
    cbor.integer(authenticatedMs),
    cbor.integer(answered.failedVerifications),
  );
}

/** States of EDHOC begin with a number, this with bytes. */
export function isAnswered(keys: Uint8Array): boolean {
  const reader = new CborReader(keys);
  reader.array();
  return reader.peek() === 'bytes';
}

function readAnswered({ crypto }: SessionPorts, keys: Uint8Array): Answered {
  const reader = new CborReader(keys);
  const members = reader.array();
  if (members !== 5 && members !== 6) reader.fail('five or six members expected', 0);
  const answered = {
    edhoc: AwaitApplication.restore(crypto, reader.bytes()),
    message2Hash: reader.bytes().slice(),
    answer: reader.bytes().slice(),
    deviceId: reader.text(),
    authenticatedMs: reader.unsigned(),
    // Handshakes that were answered under an older version have no count.
    failedVerifications: members > 5 ? reader.unsigned() : 0,
  };
  reader.end();
  return answered;
}
