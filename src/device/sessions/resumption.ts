/**
 * Resumption with a PSK (draft-ietf-lake-edhoc-psk) as a part of its own: a sensor that is given it renews its
 * keys without its long-term ones, a sensor that is not leaves its code out of the build.
 */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  type PskCredential,
  restorePskCredential,
  resumptionCredential,
  storePskCredential,
} from '../../wire/edhoc/psk.ts';
import { PskAwaitMessage2, startPskInitiator } from '../../wire/edhoc/pskInitiator.ts';
import { isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import {
  type Message2Outcome,
  newConnectionId,
  profile,
  type Resuming,
  unconfirmed,
} from './handshake.ts';

export interface ResumptionMethod {
  /** A new ephemeral key and a new connection identifier; the PSK is named in message_3 only. */
  readonly begin: (crypto: Crypto) => Resuming;
  /**
   * Takes message_2. Anybody can have made it: whoever cannot answer message_3 ends this attempt, and only
   * it.
   */
  readonly take: (
    resuming: Resuming,
    message2: Uint8Array,
    psk: PskCredential,
  ) => Message2Outcome<PskAwaitMessage2>;
  /** Throws a `MalformedError` on bytes that `PskAwaitMessage2.store` did not give. */
  readonly restoreState: (crypto: Crypto, stored: Uint8Array) => PskAwaitMessage2;
  /** What the next session can be made with. */
  readonly keyOf: (crypto: Crypto, session: EdhocSession) => PskCredential;
  readonly storeKey: (crypto: Crypto, psk: PskCredential) => Uint8Array;
  /** Throws a `MalformedError`. */
  readonly restoreKey: (crypto: Crypto, stored: Uint8Array) => PskCredential;
}

export const pskResumption: ResumptionMethod = {
  begin: (crypto) => {
    const connectionId = newConnectionId(crypto);
    const { next, message1 } = startPskInitiator(crypto, profile, { connectionId });
    const frame = writeFrame({ kind: 'edhoc-start', message1 });
    return { kind: 'resuming', edhoc: next, frame, handshakeBytes: [message1.length] };
  },
  take: ({ edhoc, handshakeBytes }, message2, psk) => {
    const read = edhoc.readMessage2(message2);
    if (isEdhocRefusal(read)) {
      return edhoc.spent
        ? { kind: 'over', refusal: read }
        : { kind: 'ignored', edhoc, refusal: read };
    }
    const { next, message3 } = read.compose({ psk });
    return unconfirmed(next, message3, true, [...handshakeBytes, message2.length]);
  },
  restoreState: (crypto, stored) => PskAwaitMessage2.restore(crypto, stored),
  keyOf: resumptionCredential,
  storeKey: storePskCredential,
  restoreKey: restorePskCredential,
};
