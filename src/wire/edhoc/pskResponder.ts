/**
 * The responder of EDHOC-PSK (draft-ietf-lake-edhoc-psk), a class per state:
 *
 *     readPskMessage1 -> PskMessage1Accepted -> PskAwaitMessage3 -> PskNeeded -> InitiatorVerified
 *       -> EdhocSession
 */
import * as cbor from '../cbor/writer.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import { InitiatorVerified } from './completion.ts';
import { encodeEad, type EadItem, unknownCritical } from './ead.ts';
import { encodeIdentifier } from './identifiers.ts';
import { type CredentialReference, parseIdCred } from './idCred.ts';
import { type AcceptedMessage1, acceptMessage1 } from './message1.ts';
import { checkResponderId, encryptMessage2, keyMessage2 } from './message2.ts';
import { parseCiphertext, parseEadOnly } from './messages.ts';
import { restoreTerms, storeTerms, type Terms } from './profile.ts';
import {
  keystream3a,
  maximumPlaintext3aBytes,
  parsePlaintext3a,
  type PskCredential,
  pskIdentities,
  pskKeys,
  type PskProfile,
  pskTh3,
  pskTh4,
  refusePsk,
  suggestedPskCodePoints,
} from './psk.ts';
import { type EdhocRefusal, refuse, refusalOf } from './refusal.ts';
import * as schedule from './schedule.ts';
import { BoundedState, HandshakeState } from './state.ts';
import { openStored, stateKinds, storeState } from './stored.ts';

/** A refusal is answered with `errorMessageFor`, or with silence. */
export function readPskMessage1(
  crypto: Crypto,
  profile: PskProfile,
  message1: Uint8Array,
): PskMessage1Accepted | EdhocRefusal {
  const { method } = profile.codePoints ?? suggestedPskCodePoints;
  const accepted = acceptMessage1(crypto, profile, [method], message1);
  return 'refused' in accepted ? accepted : new PskMessage1Accepted(accepted);
}

/** message_1 can be answered. Nothing in it is authentic. */
export class PskMessage1Accepted extends HandshakeState<AcceptedMessage1> {
  readonly kind = 'psk-message-1-accepted';

  get suite(): number {
    return this.look().terms.suite.number;
  }

  get peerConnectionId(): Uint8Array {
    return this.look().cI;
  }

  /** In clear and not authenticated; values are views of the message. */
  get ead1(): readonly EadItem[] {
    return this.look().ead1;
  }

  /** With OSCORE `connectionId` must differ from `peerConnectionId` (RFC 9528 §3.3.3). */
  compose(fields: {
    readonly connectionId: Uint8Array;
    readonly ead2?: readonly EadItem[];
  }): { readonly next: PskAwaitMessage3; readonly message2: Uint8Array } | EdhocRefusal {
    const { terms, cI } = this.look();
    const { connectionId: cR } = fields;
    checkResponderId(terms, cI, cR);
    const keyed = keyMessage2(this.look());
    if (keyed === undefined) return refuse('invalid-key', 'G_X is a point of low order');
    // PLAINTEXT_2A = ( C_R, ? EAD_2 )
    const plaintext2a = cbor.sequence(encodeIdentifier(cR), encodeEad(fields.ead2 ?? []));
    this.spend();
    const { algorithms, th2, prk2e, ephemeral } = keyed;
    const th3 = pskTh3(algorithms, th2, plaintext2a);
    const next = new PskAwaitMessage3({ algorithms, terms, cI, cR, th3, prk3e2m: prk2e });
    return { next, message2: encryptMessage2(keyed, ephemeral.publicKey, plaintext2a) };
  }
}

interface PskAwaitMessage3Values {
  readonly algorithms: schedule.Algorithms;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly th3: Uint8Array;
  readonly prk3e2m: Secret;
}

export class PskAwaitMessage3 extends BoundedState<PskAwaitMessage3Values> {
  readonly kind = 'psk-await-message-3';

  get connectionId(): Uint8Array {
    return this.look().cR;
  }

  get peerConnectionId(): Uint8Array {
    return this.look().cI;
  }

  /** RFC 9668 §3.3.1: a combined request must not come where the profile has a message_4. */
  get hasMessage4(): boolean {
    return this.look().terms.message4;
  }

  /** Takes the keystream off, which authenticates nothing yet. */
  readMessage3(bytes: Uint8Array): PskNeeded | EdhocRefusal {
    return this.attemptMessage(bytes, (waiting) => {
      const { algorithms, th3, prk3e2m } = waiting;
      const ciphertext3a = parseCiphertext(bytes);
      if (ciphertext3a.length > maximumPlaintext3aBytes(algorithms.suite)) {
        return refuse('unsupported', 'message_3 is longer than one keystream');
      }
      const keystream = keystream3a(algorithms, prk3e2m, th3, ciphertext3a.length);
      const fields = parsePlaintext3a(schedule.xor(ciphertext3a, keystream));
      const references = parseIdCred(fields.idCredPsk);
      return new PskNeeded({ waiting, ...fields, references }, this.refusalsLeft);
    });
  }

  /** Holds secrets in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const { algorithms, terms, cI, cR, th3, prk3e2m } = this.look();
    return storeState(
      stateKinds.pskAwaitMessage3,
      storeTerms(terms),
      cbor.bytes(cI),
      cbor.bytes(cR),
      cbor.bytes(th3),
      cbor.bytes(algorithms.crypto.exportSecret(prk3e2m)),
      cbor.integer(this.refusalsLeft),
    );
  }

  /** Throws a `MalformedError` on bytes that `store` did not give. */
  static restore(crypto: Crypto, bytes: Uint8Array): PskAwaitMessage3 {
    const reader = openStored(bytes, stateKinds.pskAwaitMessage3, 6);
    const terms = restoreTerms(reader);
    const cI = reader.bytes().slice();
    const cR = reader.bytes().slice();
    const th3 = reader.bytes().slice();
    const prk3e2m = crypto.secret(reader.bytes());
    const refusalsLeft = reader.unsigned();
    reader.end();
    const algorithms = { crypto, suite: terms.suite };
    return new PskAwaitMessage3({ algorithms, terms, cI, cR, th3, prk3e2m }, refusalsLeft);
  }
}

interface PskNeededValues {
  readonly waiting: PskAwaitMessage3Values;
  readonly idCredPsk: Uint8Array;
  readonly ciphertext3b: Uint8Array;
  readonly references: readonly CredentialReference[];
}

/** Which PSK message_3 names is known; whether its sender has it, is not. */
export class PskNeeded extends BoundedState<PskNeededValues> {
  readonly kind = 'psk-needed';

  /** The whole header map. */
  get idCredPsk(): Uint8Array {
    return this.look().idCredPsk;
  }

  get references(): readonly CredentialReference[] {
    return this.look().references;
  }

  get connectionId(): Uint8Array {
    return this.look().waiting.cR;
  }

  /**
   * After `not-authentic` another candidate may be tried: a kid of two bytes collides. The ID_CRED_PSK of
   * the message goes into the check, not that of the candidate.
   */
  accept(candidate: PskCredential): InitiatorVerified | EdhocRefusal {
    return this.attempt(({ waiting, idCredPsk, ciphertext3b }) => {
      const { algorithms, terms, cI, cR, th3, prk3e2m } = waiting;
      const { crypto, suite } = algorithms;
      const unsuitable = refusePsk(candidate, suite);
      if (unsuitable !== undefined) return unsuitable;
      const psk = { ...candidate, idCred: idCredPsk };
      const keys = pskKeys(algorithms, prk3e2m, th3, psk);
      const aeadKey = crypto.aeadKey(suite.aead, keys.k3);
      const plaintext3b = crypto.open(aeadKey, keys.iv3, keys.additionalData, ciphertext3b);
      if (plaintext3b === undefined) return refuse('not-authentic', 'message_3 has a wrong tag');
      const ead3 = readEad3(plaintext3b, terms);
      if ('refused' in ead3) return ead3;
      const th4 = pskTh4(algorithms, th3, plaintext3b, psk);
      const { initiator: peer, responder: own } = pskIdentities(psk);
      const session = {
        algorithms,
        role: 'responder',
        method: terms.method,
        ownConnectionId: cR,
        peerConnectionId: cI,
        peer,
        own,
        prkOut: schedule.prkOut(algorithms, keys.prk4e3m, th4),
        epoch: 0,
      } as const;
      return new InitiatorVerified({ terms, prk4e3m: keys.prk4e3m, th4, session, ead3 });
    });
  }

  /** Takes message_3 for a forgery and waits for another one. Counts as a refusal. */
  keepWaiting(): PskAwaitMessage3 | EdhocRefusal {
    const refusalsLeft = this.refusalsLeft - 1;
    const { waiting } = this.spend();
    if (refusalsLeft <= 0) return refuse('exhausted', 'too many forged messages');
    return new PskAwaitMessage3(waiting, refusalsLeft);
  }
}

function readEad3(plaintext3b: Uint8Array, terms: Terms): readonly EadItem[] | EdhocRefusal {
  try {
    const { items } = parseEadOnly(plaintext3b);
    const critical = unknownCritical(items, terms.knownEad);
    if (critical === undefined) return items;
    return refuse('critical-ead', `EAD item ${critical.label} in EAD_3`);
  } catch (error) {
    return refusalOf(error);
  }
}
