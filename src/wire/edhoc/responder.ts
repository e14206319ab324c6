/**
 * The responder of methods 0 to 3 (RFC 9528 §5), a class per state:
 *
 *     readMessage1 -> Message1Accepted -> AgreementNeeded | SignatureNeeded -> AwaitMessage3
 *       -> InitiatorCredentialNeeded -> InitiatorVerified -> EdhocSession
 */
import { equal } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto, EphemeralKey, Secret } from '../crypto/crypto.ts';
import { InitiatorVerified } from './completion.ts';
import {
  type Credential,
  fits,
  type Identity,
  identityOf,
  type OwnCredential,
  refuseCandidate,
  refuseOwnIdentity,
  restoreIdentity,
  storeIdentity,
} from './credential.ts';
import { encodeEad, type EadItem, unknownCritical } from './ead.ts';
import { type CredentialReference, parseIdCred } from './idCred.ts';
import { type AcceptedMessage1, acceptMessage1, restoreEphemeral } from './message1.ts';
import { checkResponderId, encryptMessage2, keyMessage2 } from './message2.ts';
import { encodePlaintext2, parseCiphertext, parsePlaintext3, type Plaintext3 } from './messages.ts';
import { type ResponderProfile, restoreTerms, storeTerms, type Terms } from './profile.ts';
import {
  type AgreementNeeded,
  initiatorProof,
  prove,
  responderProof,
  type SignatureNeeded,
  verify,
} from './proof.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import * as schedule from './schedule.ts';
import type { SessionValues } from './session.ts';
import { BoundedState, HandshakeState } from './state.ts';
import { openStored, stateKinds, storeState } from './stored.ts';
import { authenticationOf } from './suites.ts';

/** A refusal is answered with `errorMessageFor`, or with silence. */
export function readMessage1(
  crypto: Crypto,
  profile: ResponderProfile,
  message1: Uint8Array,
): Message1Accepted | EdhocRefusal {
  const accepted = acceptMessage1(crypto, profile, profile.methods, message1);
  return 'refused' in accepted ? accepted : new Message1Accepted(accepted);
}

export interface Message2Step {
  readonly next: AwaitMessage3;
  readonly message2: Uint8Array;
}

/** message_1 can be answered. It cost no agreement yet, and nothing in it is authentic. */
export class Message1Accepted extends HandshakeState<AcceptedMessage1> {
  readonly kind = 'message-1-accepted';

  get method(): number {
    return this.look().terms.method;
  }

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

  /** G_X, for a caller that knows static keys which must never come as ephemeral ones. */
  get peerEphemeral(): Uint8Array {
    return this.look().gX.bytes;
  }

  get hashOfMessage1(): Uint8Array {
    return this.look().hashOfMessage1;
  }

  /** With OSCORE `connectionId` must differ from `peerConnectionId` (RFC 9528 §3.3.3). */
  compose(fields: {
    readonly connectionId: Uint8Array;
    readonly own: OwnCredential;
    readonly ead2?: readonly EadItem[];
  }): AgreementNeeded<Message2Step> | SignatureNeeded<Message2Step> | EdhocRefusal {
    const { terms, cI, gX, hashOfMessage1 } = this.look();
    const { connectionId: cR } = fields;
    const authentication = authenticationOf(terms.method).responder;
    if (!fits(fields.own.publicKey, terms.suite, authentication)) {
      throw new TypeError(`our own key does not fit method ${terms.method}`);
    }
    checkResponderId(terms, cI, cR);
    const own = identityOf(fields.own.idCred, fields.own);
    if (equal(gX.bytes, own.publicKey)) return refuse('invalid-key', 'G_X is our long-term key');
    const keyed = keyMessage2(this.look());
    if (keyed === undefined) return refuse('invalid-key', 'G_X is a point of low order');
    const ead = encodeEad(fields.ead2 ?? []);
    this.spend();
    const { algorithms, th2, prk2e, ephemeral } = keyed;
    const proof = responderProof(algorithms, {
      authentication,
      identity: own,
      cR,
      th: th2,
      ead,
      prk: prk2e,
    });
    return prove(algorithms, proof, gX, (prk3e2m, signatureOrMac2) => {
      const plaintext2 = encodePlaintext2({ cR, idCredR: own.idCred, signatureOrMac2, ead2: ead });
      const th3 = schedule.th3(algorithms, th2, plaintext2, own.cred);
      const message2 = encryptMessage2(keyed, ephemeral.publicKey, plaintext2);
      const h12 = schedule.h12(algorithms, hashOfMessage1, message2);
      const next = new AwaitMessage3({
        algorithms,
        terms,
        cI,
        cR,
        own,
        gX: gX.bytes,
        ephemeral,
        h12,
        th3,
        prk3e2m,
      });
      return { next, message2 };
    });
  }
}

interface AwaitMessage3Values {
  readonly algorithms: schedule.Algorithms;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly own: Identity;
  readonly gX: Uint8Array;
  readonly ephemeral: EphemeralKey;
  readonly h12: Uint8Array;
  readonly th3: Uint8Array;
  readonly prk3e2m: Secret;
}

export class AwaitMessage3 extends BoundedState<AwaitMessage3Values> {
  readonly kind = 'await-message-3';

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

  /** Opens the AEAD: what comes out is from whoever sent message_1. Who that is, is not known yet. */
  readMessage3(bytes: Uint8Array): InitiatorCredentialNeeded | EdhocRefusal {
    return this.attemptMessage(bytes, (values) => {
      const { algorithms, terms, th3, prk3e2m } = values;
      const { crypto, suite } = algorithms;
      const ciphertext3 = parseCiphertext(bytes);
      const key = crypto.aeadKey(suite.aead, schedule.k3(algorithms, prk3e2m, th3));
      const nonce = schedule.iv3(algorithms, prk3e2m, th3);
      const plaintext3 = crypto.open(key, nonce, schedule.additionalData(th3), ciphertext3);
      if (plaintext3 === undefined) return refuse('not-authentic', 'message_3 has a wrong tag');
      const fields = parsePlaintext3(plaintext3);
      const references = parseIdCred(fields.idCredI);
      const critical = unknownCritical(fields.ead3.items, terms.knownEad);
      if (critical !== undefined) {
        return refuse('critical-ead', `EAD item ${critical.label} in EAD_3`);
      }
      return new InitiatorCredentialNeeded({ waiting: values, plaintext3, fields, references });
    });
  }

  /** Holds secrets in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const { algorithms, terms, cI, cR, own, gX, ephemeral, h12, th3, prk3e2m } = this.look();
    const { crypto } = algorithms;
    return storeState(
      stateKinds.awaitMessage3,
      storeTerms(terms),
      cbor.bytes(cI),
      cbor.bytes(cR),
      storeIdentity(own),
      cbor.bytes(gX),
      cbor.bytes(crypto.exportEphemeral(ephemeral)),
      cbor.bytes(h12),
      cbor.bytes(th3),
      cbor.bytes(crypto.exportSecret(prk3e2m)),
      cbor.integer(this.refusalsLeft),
    );
  }

  /** Throws a `MalformedError` on bytes that `store` did not give. */
  static restore(crypto: Crypto, bytes: Uint8Array): AwaitMessage3 {
    const reader = openStored(bytes, stateKinds.awaitMessage3, 10);
    const terms = restoreTerms(reader);
    const cI = reader.bytes().slice();
    const cR = reader.bytes().slice();
    const own = restoreIdentity(reader);
    const gX = reader.bytes().slice();
    const ephemeral = restoreEphemeral(crypto, terms, reader);
    const h12 = reader.bytes().slice();
    const th3 = reader.bytes().slice();
    const prk3e2m = crypto.secret(reader.bytes());
    const refusalsLeft = reader.unsigned();
    reader.end();
    const algorithms = { crypto, suite: terms.suite };
    return new AwaitMessage3(
      { algorithms, terms, cI, cR, own, gX, ephemeral, h12, th3, prk3e2m },
      refusalsLeft,
    );
  }
}

interface CredentialNeededValues {
  readonly waiting: AwaitMessage3Values;
  readonly plaintext3: Uint8Array;
  readonly fields: Plaintext3;
  readonly references: readonly CredentialReference[];
}

export class InitiatorCredentialNeeded extends BoundedState<CredentialNeededValues> {
  readonly kind = 'initiator-credential-needed';

  /** The whole header map. */
  get idCredI(): Uint8Array {
    return this.look().fields.idCredI;
  }

  get references(): readonly CredentialReference[] {
    return this.look().references;
  }

  /** Says whether the initiator signs or agrees, and so what its key has to be for. */
  get method(): number {
    return this.look().waiting.terms.method;
  }

  /** From whoever sent message_1, who has not been authenticated. */
  get ead3(): readonly EadItem[] {
    return this.look().fields.ead3.items;
  }

  get connectionId(): Uint8Array {
    return this.look().waiting.cR;
  }

  /** H( H(message_1), message_2 ), to which items of EAD_3 are bound. */
  get h12(): Uint8Array {
    return this.look().waiting.h12;
  }

  /**
   * Verifies Signature_or_MAC_3 with a credential that the caller trusts. After `not-authentic` another
   * candidate may be tried, since a kid is not unique (RFC 9528 §3.5.3).
   */
  accept(credential: Credential): InitiatorVerified | EdhocRefusal {
    return this.attempt(({ waiting, plaintext3, fields }) => {
      const { algorithms, terms, cI, cR, own, gX, ephemeral, th3, prk3e2m } = waiting;
      const authentication = authenticationOf(terms.method).initiator;
      const unsuitable = refuseCandidate(credential, gX, terms.suite, authentication);
      if (unsuitable !== undefined) return unsuitable;
      const peer = identityOf(fields.idCredI, credential);
      const reflected = refuseOwnIdentity(own, peer);
      if (reflected !== undefined) return reflected;
      const proof = initiatorProof(algorithms, {
        authentication,
        identity: peer,
        th: th3,
        ead: fields.ead3.bytes,
        prk: prk3e2m,
      });
      const { publicKey } = credential;
      const prk4e3m = verify(algorithms, proof, ephemeral, publicKey, fields.signatureOrMac3);
      if (prk4e3m === undefined) return refuse('not-authentic', 'Signature_or_MAC_3 is wrong');
      const th4 = schedule.th4(algorithms, th3, plaintext3, credential.cred);
      const session: SessionValues = {
        algorithms,
        role: 'responder',
        method: terms.method,
        ownConnectionId: cR,
        peerConnectionId: cI,
        peer,
        own,
        prkOut: schedule.prkOut(algorithms, prk4e3m, th4),
        epoch: 0,
      };
      return new InitiatorVerified({ terms, prk4e3m, th4, session, ead3: fields.ead3.items });
    });
  }
}
