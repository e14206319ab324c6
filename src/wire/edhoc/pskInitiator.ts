/**
 * The initiator of EDHOC-PSK (draft-ietf-lake-edhoc-psk), a class per state:
 *
 *     startPskInitiator -> PskAwaitMessage2 -> PskMessage2Read -> AwaitMessage4 | AwaitApplication
 *       -> EdhocSession
 *
 * Until the fourth message nothing of the responder is authentic: the keys before it are pending, and the
 * states have no session to give.
 */
import * as cbor from '../cbor/writer.ts';
import { CborReader } from '../cbor/reader.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import { type AwaitApplication, type AwaitMessage4, awaitLast } from './completion.ts';
import { encodeEad, type EadItem, readEad } from './ead.ts';
import { readIdentifier } from './identifiers.ts';
import {
  composeMessage1,
  type Message1Fields,
  restoreSentMessage1,
  type SentMessage1,
  sentMessage1Fields,
  storeSentMessage1,
} from './message1.ts';
import { decryptMessage2, refuseMessage2 } from './message2.ts';
import { encodeCiphertext } from './messages.ts';
import {
  encodePlaintext3a,
  keystream3a,
  maximumPlaintext3aBytes,
  type PskCredential,
  pskIdentities,
  pskKeys,
  type PskProfile,
  pskTh3,
  pskTh4,
  refusePsk,
  suggestedPskCodePoints,
} from './psk.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import { BoundedState } from './state.ts';
import { openStored, stateKinds, storeState } from './stored.ts';

/** Where states are kept, `next` is kept before message_1 leaves. */
export function startPskInitiator(
  crypto: Crypto,
  profile: PskProfile,
  fields: Message1Fields,
): { readonly next: PskAwaitMessage2; readonly message1: Uint8Array } {
  const { method } = profile.codePoints ?? suggestedPskCodePoints;
  const { sent, message1 } = composeMessage1(crypto, profile, method, fields);
  return { next: new PskAwaitMessage2(sent), message1 };
}

export class PskAwaitMessage2 extends BoundedState<SentMessage1> {
  readonly kind = 'psk-await-message-2';

  get connectionId(): Uint8Array {
    return this.look().cI;
  }

  readMessage2(bytes: Uint8Array): PskMessage2Read | EdhocRefusal {
    return this.attemptMessage(bytes, (sent) => {
      const received = decryptMessage2(sent, bytes);
      if ('refused' in received) return received;
      const { algorithms, th2, prk2e, plaintext2 } = received;
      // PLAINTEXT_2A = ( C_R, ? EAD_2 )
      const reader = new CborReader(plaintext2);
      const cR = readIdentifier(reader);
      const ead2 = readEad(reader);
      const refused = refuseMessage2(sent, cR, ead2);
      if (refused !== undefined) return refused;
      const th3 = pskTh3(algorithms, th2, plaintext2);
      const values = { algorithms, sent, cR, th3, prk3e2m: prk2e, ead2: ead2.items };
      return new PskMessage2Read(values, this.refusalsLeft);
    });
  }

  /** Holds the ephemeral private key in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const refusalsLeft = cbor.integer(this.refusalsLeft);
    return storeState(stateKinds.pskAwaitMessage2, ...storeSentMessage1(this.look()), refusalsLeft);
  }

  /**
   * Throws a `MalformedError` on bytes that `store` did not give. A state may be restored only as long as
   * no message_3 was made from it.
   */
  static restore(crypto: Crypto, bytes: Uint8Array): PskAwaitMessage2 {
    const reader = openStored(bytes, stateKinds.pskAwaitMessage2, sentMessage1Fields + 1);
    const sent = restoreSentMessage1(crypto, reader);
    const refusalsLeft = reader.unsigned();
    reader.end();
    return new PskAwaitMessage2(sent, refusalsLeft);
  }
}

interface PskMessage2Values {
  readonly algorithms: schedule.Algorithms;
  readonly sent: SentMessage1;
  readonly cR: Uint8Array;
  readonly th3: Uint8Array;
  readonly prk3e2m: Secret;
  readonly ead2: readonly EadItem[];
}

/** Somebody answered message_1. Anybody could have. */
export class PskMessage2Read extends BoundedState<PskMessage2Values> {
  readonly kind = 'psk-message-2-read';

  get connectionId(): Uint8Array {
    return this.look().sent.cI;
  }

  get peerConnectionId(): Uint8Array {
    return this.look().cR;
  }

  /** Not authenticated; encrypted against eavesdroppers only. */
  get ead2(): readonly EadItem[] {
    return this.look().ead2;
  }

  /**
   * An active attacker learns ID_CRED_PSK from message_3. Throws a `TypeError` for a PSK that does not fit
   * the suite or names one credential twice.
   */
  compose(fields: { readonly psk: PskCredential; readonly ead3?: readonly EadItem[] }): {
    readonly next: AwaitMessage4 | AwaitApplication;
    readonly message3: Uint8Array;
  } {
    const { psk } = fields;
    const { algorithms, sent, cR, th3, prk3e2m } = this.look();
    const { crypto, suite } = algorithms;
    const unsuitable = refusePsk(psk, suite);
    if (unsuitable !== undefined) throw new TypeError(unsuitable.reason);
    const plaintext3b = encodeEad(fields.ead3 ?? []);
    const keys = pskKeys(algorithms, prk3e2m, th3, psk);
    const aeadKey = crypto.aeadKey(suite.aead, keys.k3);
    const ciphertext3b = crypto.seal(aeadKey, keys.iv3, keys.additionalData, plaintext3b);
    const plaintext3a = encodePlaintext3a(psk.idCred, ciphertext3b);
    if (plaintext3a.length > maximumPlaintext3aBytes(suite)) {
      throw new TypeError('EAD_3 is too long for EDHOC-PSK');
    }
    this.spend();
    const keystream = keystream3a(algorithms, prk3e2m, th3, plaintext3a.length);
    const th4 = pskTh4(algorithms, th3, plaintext3b, psk);
    const { initiator: own, responder: peer } = pskIdentities(psk);
    const next = awaitLast(sent.terms, keys.prk4e3m, th4, {
      algorithms,
      role: 'initiator',
      method: sent.terms.method,
      ownConnectionId: sent.cI,
      peerConnectionId: cR,
      peer,
      own,
      prkOut: schedule.prkOut(algorithms, keys.prk4e3m, th4),
      epoch: 0,
    });
    return { next, message3: encodeCiphertext(schedule.xor(plaintext3a, keystream)) };
  }

  /** Takes message_2 for a forgery and waits for another one. Counts as a refusal. */
  keepWaiting(): PskAwaitMessage2 | EdhocRefusal {
    const refusalsLeft = this.refusalsLeft - 1;
    const { sent } = this.spend();
    if (refusalsLeft <= 0) return refuse('exhausted', 'too many forged messages');
    return new PskAwaitMessage2(sent, refusalsLeft);
  }
}
