/**
 * Both sides after message_3, whatever the method. The responder has authenticated the initiator. The
 * initiator has the keys and waits for the responder to show that it has them too, in message_4 or in a
 * message under an exported key (RFC 9528 §5.4.2, §5.5).
 */
import * as cbor from '../cbor/writer.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import type { Identity } from './credential.ts';
import { encodeEad, type EadItem, unknownCritical } from './ead.ts';
import { encodeCiphertext, parseCiphertext, parseEadOnly } from './messages.ts';
import { restoreTerms, storeTerms, type Terms } from './profile.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import {
  EdhocSession,
  type PendingKeys,
  restoreSession,
  sessionFields,
  type SessionValues,
  storeSession,
} from './session.ts';
import { BoundedState, HandshakeState, SingleUse } from './state.ts';
import { openStored, stateKinds, storeState } from './stored.ts';

export function awaitLast(
  terms: Terms,
  prk4e3m: Secret,
  th4: Uint8Array,
  session: SessionValues,
): AwaitMessage4 | AwaitApplication {
  return terms.message4
    ? new AwaitMessage4({ terms, prk4e3m, th4, session })
    : new AwaitApplication(session);
}

interface AwaitMessage4Values {
  readonly terms: Terms;
  readonly prk4e3m: Secret;
  readonly th4: Uint8Array;
  readonly session: SessionValues;
}

export class AwaitMessage4 extends BoundedState<AwaitMessage4Values> {
  readonly kind = 'await-message-4';

  get connectionId(): Uint8Array {
    return this.look().session.ownConnectionId;
  }

  readMessage4(
    bytes: Uint8Array,
  ): { readonly session: EdhocSession; readonly ead4: readonly EadItem[] } | EdhocRefusal {
    return this.attemptMessage(bytes, ({ terms, prk4e3m, th4, session }) => {
      const { algorithms } = session;
      const { crypto, suite } = algorithms;
      const ciphertext4 = parseCiphertext(bytes);
      const key = crypto.aeadKey(suite.aead, schedule.k4(algorithms, prk4e3m, th4));
      const nonce = schedule.iv4(algorithms, prk4e3m, th4);
      const plaintext4 = crypto.open(key, nonce, schedule.additionalData(th4), ciphertext4);
      if (plaintext4 === undefined) return refuse('not-authentic', 'message_4 has a wrong tag');
      const { items } = parseEadOnly(plaintext4);
      const critical = unknownCritical(items, terms.knownEad);
      if (critical !== undefined) {
        return refuse('critical-ead', `EAD item ${critical.label} in EAD_4`);
      }
      return { session: new EdhocSession(session), ead4: items };
    });
  }

  /** Holds secrets in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const { terms, prk4e3m, th4, session } = this.look();
    return storeState(
      stateKinds.awaitMessage4,
      storeTerms(terms),
      cbor.bytes(session.algorithms.crypto.exportSecret(prk4e3m)),
      cbor.bytes(th4),
      cbor.integer(this.refusalsLeft),
      ...storeSession(session),
    );
  }

  /** Throws a `MalformedError` on bytes that `store` did not give. */
  static restore(crypto: Crypto, bytes: Uint8Array): AwaitMessage4 {
    const reader = openStored(bytes, stateKinds.awaitMessage4, 4 + sessionFields);
    const terms = restoreTerms(reader);
    const prk4e3m = crypto.secret(reader.bytes());
    const th4 = reader.bytes().slice();
    const refusalsLeft = reader.unsigned();
    const session = restoreSession(crypto, reader);
    reader.end();
    return new AwaitMessage4({ terms, prk4e3m, th4, session }, refusalsLeft);
  }
}

export class AwaitApplication extends SingleUse<SessionValues> {
  readonly kind = 'await-application';

  get connectionId(): Uint8Array {
    return this.look().ownConnectionId;
  }

  /** To send with and to try on what comes back; not to be kept beyond this state. */
  get pendingKeys(): PendingKeys {
    const session = new EdhocSession(this.look());
    return {
      ownConnectionId: session.ownConnectionId,
      peerConnectionId: session.peerConnectionId,
      exporter: (label, context, lengthBytes) => session.exporter(label, context, lengthBytes),
      oscoreParameters: (options) => session.oscoreParameters(options),
    };
  }

  /** The caller has verified a message that the responder protected with an exported key. */
  confirm(): EdhocSession {
    return new EdhocSession(this.spend());
  }

  /** Holds secrets in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    return storeState(stateKinds.awaitApplication, ...storeSession(this.look()));
  }

  /** Throws a `MalformedError` on bytes that `store` did not give. */
  static restore(crypto: Crypto, bytes: Uint8Array): AwaitApplication {
    const reader = openStored(bytes, stateKinds.awaitApplication, sessionFields);
    const session = restoreSession(crypto, reader);
    reader.end();
    return new AwaitApplication(session);
  }
}

interface InitiatorVerifiedValues {
  readonly terms: Terms;
  readonly prk4e3m: Secret;
  readonly th4: Uint8Array;
  readonly session: SessionValues;
  readonly ead3: readonly EadItem[];
}

/** The responder once message_3 is verified: all that is left is message_4, where the profile has one. */
export class InitiatorVerified extends HandshakeState<InitiatorVerifiedValues> {
  readonly kind = 'initiator-verified';

  get peer(): Identity {
    return this.look().session.peer;
  }

  /** Now authentic. */
  get ead3(): readonly EadItem[] {
    return this.look().ead3;
  }

  /** EAD_4 needs a profile with message_4. */
  finish(fields: { readonly ead4?: readonly EadItem[] } = {}): {
    readonly session: EdhocSession;
    readonly message4: Uint8Array | undefined;
  } {
    const { terms } = this.look();
    if (!terms.message4 && fields.ead4 !== undefined) {
      throw new TypeError('EAD_4 without message_4');
    }
    const plaintext4 = encodeEad(fields.ead4 ?? []);
    const { prk4e3m, th4, session } = this.spend();
    const message4 = terms.message4
      ? sealMessage4(session.algorithms, prk4e3m, th4, plaintext4)
      : undefined;
    return { session: new EdhocSession(session), message4 };
  }
}

function sealMessage4(
  algorithms: schedule.Algorithms,
  prk4e3m: Secret,
  th4: Uint8Array,
  plaintext4: Uint8Array,
): Uint8Array {
  const { crypto, suite } = algorithms;
  const key = crypto.aeadKey(suite.aead, schedule.k4(algorithms, prk4e3m, th4));
  const nonce = schedule.iv4(algorithms, prk4e3m, th4);
  return encodeCiphertext(crypto.seal(key, nonce, schedule.additionalData(th4), plaintext4));
}
