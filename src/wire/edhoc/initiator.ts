/**
 * The initiator of methods 0 to 3 (RFC 9528 §5), a class per state:
 *
 *     startInitiator -> AwaitMessage2 -> ResponderCredentialNeeded -> ResponderVerified
 *       -> AgreementNeeded | SignatureNeeded -> AwaitMessage4 | AwaitApplication -> EdhocSession
 */
import * as cbor from '../cbor/writer.ts';
import type { Crypto, PublicKey, Secret } from '../crypto/crypto.ts';
import { type AwaitApplication, type AwaitMessage4, awaitLast } from './completion.ts';
import {
  type Credential,
  fits,
  type Identity,
  identityOf,
  type OwnCredential,
  refuseCandidate,
  refuseOwnIdentity,
} from './credential.ts';
import { encodeEad, type EadItem } from './ead.ts';
import { type CredentialReference, parseIdCred } from './idCred.ts';
import {
  composeMessage1,
  type Message1Fields,
  restoreSentMessage1,
  type SentMessage1,
  sentMessage1Fields,
  storeSentMessage1,
} from './message1.ts';
import { decryptMessage2, type KeyedMessage2, refuseMessage2 } from './message2.ts';
import {
  encodeCiphertext,
  encodePlaintext3,
  parsePlaintext2,
  type Plaintext2,
} from './messages.ts';
import type { InitiatorProfile, Terms } from './profile.ts';
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
import { BoundedState, HandshakeState } from './state.ts';
import { openStored, stateKinds, storeState } from './stored.ts';
import { authenticationOf } from './suites.ts';

/** Where states are kept, `next` is kept before message_1 leaves. */
export function startInitiator(
  crypto: Crypto,
  profile: InitiatorProfile,
  fields: Message1Fields,
): { readonly next: AwaitMessage2; readonly message1: Uint8Array } {
  const { sent, message1 } = composeMessage1(crypto, profile, profile.method, fields);
  return { next: new AwaitMessage2(sent), message1 };
}

export class AwaitMessage2 extends BoundedState<SentMessage1> {
  readonly kind = 'await-message-2';

  get connectionId(): Uint8Array {
    return this.look().cI;
  }

  /** Decrypts. Nothing of what comes out is authentic before a credential was accepted. */
  readMessage2(bytes: Uint8Array): ResponderCredentialNeeded | EdhocRefusal {
    return this.attemptMessage(bytes, (sent) => {
      const received = decryptMessage2(sent, bytes);
      if ('refused' in received) return received;
      const fields = parsePlaintext2(received.plaintext2);
      const refused = refuseMessage2(sent, fields.cR, fields.ead2);
      if (refused !== undefined) return refused;
      const references = parseIdCred(fields.idCredR);
      return new ResponderCredentialNeeded(
        { ...received, sent, message2: bytes.slice(), fields, references },
        this.refusalsLeft,
      );
    });
  }

  /** Holds the ephemeral private key in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const refusalsLeft = cbor.integer(this.refusalsLeft);
    return storeState(stateKinds.awaitMessage2, ...storeSentMessage1(this.look()), refusalsLeft);
  }

  /**
   * Throws a `MalformedError` on bytes that `store` did not give. A state may be restored only as long as
   * no message_3 was made from it: a second message_3 could use the same key and nonce (RFC 9528 §7).
   */
  static restore(crypto: Crypto, bytes: Uint8Array): AwaitMessage2 {
    const reader = openStored(bytes, stateKinds.awaitMessage2, sentMessage1Fields + 1);
    const sent = restoreSentMessage1(crypto, reader);
    const refusalsLeft = reader.unsigned();
    reader.end();
    return new AwaitMessage2(sent, refusalsLeft);
  }
}

interface CredentialNeededValues extends KeyedMessage2 {
  readonly sent: SentMessage1;
  readonly message2: Uint8Array;
  readonly gY: PublicKey;
  readonly plaintext2: Uint8Array;
  readonly fields: Plaintext2;
  readonly references: readonly CredentialReference[];
}

/** Which credential message_2 names is known; whose it is, is not. */
export class ResponderCredentialNeeded extends BoundedState<CredentialNeededValues> {
  readonly kind = 'responder-credential-needed';

  /** The whole header map. */
  get idCredR(): Uint8Array {
    return this.look().fields.idCredR;
  }

  get references(): readonly CredentialReference[] {
    return this.look().references;
  }

  /** Not authenticated; encrypted against eavesdroppers only (RFC 9528 §9.1). */
  get ead2(): readonly EadItem[] {
    return this.look().fields.ead2.items;
  }

  get connectionId(): Uint8Array {
    return this.look().sent.cI;
  }

  get peerConnectionId(): Uint8Array {
    return this.look().fields.cR;
  }

  /** G_Y, for a caller that knows static keys which must never come as ephemeral ones. */
  get peerEphemeral(): Uint8Array {
    return this.look().gY.bytes;
  }

  /** H(message_1), to which a fresh status in EAD_2 may be bound. */
  get hashOfMessage1(): Uint8Array {
    return this.look().sent.hashOfMessage1;
  }

  /**
   * Verifies Signature_or_MAC_2 with a credential that the caller trusts. After `not-authentic` another
   * candidate may be tried, since a kid is not unique (RFC 9528 §3.5.3).
   */
  accept(credential: Credential): ResponderVerified | EdhocRefusal {
    return this.attempt((values) => {
      const { algorithms, sent, message2, fields, gY, th2, prk2e, plaintext2 } = values;
      const { terms, cI, ephemeral } = sent;
      const authentication = authenticationOf(terms.method).responder;
      const unsuitable = refuseCandidate(credential, gY.bytes, terms.suite, authentication);
      if (unsuitable !== undefined) return unsuitable;
      const peer = identityOf(fields.idCredR, credential);
      const proof = responderProof(algorithms, {
        authentication,
        identity: peer,
        cR: fields.cR,
        th: th2,
        ead: fields.ead2.bytes,
        prk: prk2e,
      });
      const { publicKey } = credential;
      const prk3e2m = verify(algorithms, proof, ephemeral, publicKey, fields.signatureOrMac2);
      if (prk3e2m === undefined) return refuse('not-authentic', 'Signature_or_MAC_2 is wrong');
      const th3 = schedule.th3(algorithms, th2, plaintext2, credential.cred);
      return new ResponderVerified({
        algorithms,
        terms,
        cI,
        cR: fields.cR,
        hashOfMessage1: sent.hashOfMessage1,
        message2,
        gY,
        th3,
        prk3e2m,
        peer,
        ead2: fields.ead2.items,
      });
    });
  }

  /**
   * Takes message_2 for a forgery and waits for another one (RFC 9528 §9.7). Counts as a refusal of the
   * message, so that this ends.
   */
  keepWaiting(): AwaitMessage2 | EdhocRefusal {
    const refusalsLeft = this.refusalsLeft - 1;
    const { sent } = this.spend();
    if (refusalsLeft <= 0) return refuse('exhausted', 'too many forged messages');
    return new AwaitMessage2(sent, refusalsLeft);
  }
}

interface ResponderVerifiedValues {
  readonly algorithms: schedule.Algorithms;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly hashOfMessage1: Uint8Array;
  readonly message2: Uint8Array;
  readonly gY: PublicKey;
  readonly th3: Uint8Array;
  readonly prk3e2m: Secret;
  readonly peer: Identity;
  readonly ead2: readonly EadItem[];
}

export interface Message3Step {
  readonly next: AwaitMessage4 | AwaitApplication;
  readonly message3: Uint8Array;
}

/** The responder holds the private key of the credential that was accepted. */
export class ResponderVerified extends HandshakeState<ResponderVerifiedValues> {
  readonly kind = 'responder-verified';

  get peer(): Identity {
    return this.look().peer;
  }

  /** Now authentic. */
  get ead2(): readonly EadItem[] {
    return this.look().ead2;
  }

  /** H( H(message_1), message_2 ), to which items of EAD_3 are bound. */
  get h12(): Uint8Array {
    const { algorithms, hashOfMessage1, message2 } = this.look();
    return schedule.h12(algorithms, hashOfMessage1, message2);
  }

  /**
   * Our own identity goes out only from here on. Refuses to go on where the responder turned out to be
   * ourselves.
   */
  compose(fields: {
    readonly own: OwnCredential;
    readonly ead3?: readonly EadItem[];
  }): AgreementNeeded<Message3Step> | SignatureNeeded<Message3Step> | EdhocRefusal {
    const { algorithms, terms, gY, th3, prk3e2m, peer } = this.look();
    const authentication = authenticationOf(terms.method).initiator;
    if (!fits(fields.own.publicKey, terms.suite, authentication)) {
      throw new TypeError(`our own key does not fit method ${terms.method}`);
    }
    const own = identityOf(fields.own.idCred, fields.own);
    const reflected = refuseOwnIdentity(own, peer);
    if (reflected !== undefined) return reflected;
    const ead = encodeEad(fields.ead3 ?? []);
    const values = this.spend();
    const proof = initiatorProof(algorithms, {
      authentication,
      identity: own,
      th: th3,
      ead,
      prk: prk3e2m,
    });
    return prove(algorithms, proof, gY, (prk4e3m, signatureOrMac3) => {
      const plaintext3 = encodePlaintext3({ idCredI: own.idCred, signatureOrMac3, ead3: ead });
      return sealMessage3(values, own, plaintext3, prk4e3m);
    });
  }
}

function sealMessage3(
  values: ResponderVerifiedValues,
  own: Identity,
  plaintext3: Uint8Array,
  prk4e3m: Secret,
): Message3Step {
  const { algorithms, terms, cI, cR, th3, prk3e2m, peer } = values;
  const { crypto, suite } = algorithms;
  const key = crypto.aeadKey(suite.aead, schedule.k3(algorithms, prk3e2m, th3));
  const nonce = schedule.iv3(algorithms, prk3e2m, th3);
  const ciphertext3 = crypto.seal(key, nonce, schedule.additionalData(th3), plaintext3);
  const th4 = schedule.th4(algorithms, th3, plaintext3, own.cred);
  const next = awaitLast(terms, prk4e3m, th4, {
    algorithms,
    role: 'initiator',
    method: terms.method,
    ownConnectionId: cI,
    peerConnectionId: cR,
    peer,
    own,
    prkOut: schedule.prkOut(algorithms, prk4e3m, th4),
    epoch: 0,
  });
  return { next, message3: encodeCiphertext(ciphertext3) };
}
