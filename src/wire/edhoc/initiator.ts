/**
 * The initiator of methods 0 to 3 (RFC 9528 §5), a class per state:
 *
 *     startInitiator -> AwaitMessage2 -> ResponderCredentialNeeded -> ResponderVerified
 *       -> AgreementNeeded | SignatureNeeded -> AwaitMessage4 | AwaitApplication -> EdhocSession
 */
import { equal } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import type { Crypto, EphemeralKey, PublicKey, Secret } from '../crypto/crypto.ts';
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
import { encodeEad, type EadItem, unknownCritical } from './ead.ts';
import { type CredentialReference, parseIdCred } from './idCred.ts';
import {
  encodeCiphertext,
  encodeMessage1,
  encodePlaintext3,
  parseMessage2,
  parsePlaintext2,
  type Plaintext2,
} from './messages.ts';
import {
  checkOwnConnectionId,
  type InitiatorProfile,
  maximumOscoreIdBytes,
  restoreTerms,
  storeTerms,
  supportedSuites,
  type Terms,
  termsOf,
} from './profile.ts';
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

/** message_1 has to leave no earlier than the state is kept, where states are kept at all. */
export function startInitiator(
  crypto: Crypto,
  profile: InitiatorProfile,
  fields: { readonly connectionId: Uint8Array; readonly ead1?: readonly EadItem[] },
): { readonly next: AwaitMessage2; readonly message1: Uint8Array } {
  const suites = supportedSuites(profile);
  const selected = profile.selectedSuite ?? profile.suites[0];
  const position = suites.findIndex(({ number }) => number === selected);
  const suite = suites[position];
  if (suite === undefined) throw new TypeError('the selected suite is not a supported one');
  const terms = termsOf(profile, profile.method, suite);
  checkOwnConnectionId(fields.connectionId, terms);
  const ephemeral = crypto.generateKeyPair(suite.curve);
  const message1 = encodeMessage1({
    method: profile.method,
    // RFC 9528 §5.2.2: every suite preferred to the selected one stays in, whatever errors said.
    suites: profile.suites.slice(0, position + 1),
    gX: ephemeral.publicKey,
    cI: fields.connectionId,
    ead1: encodeEad(fields.ead1 ?? []),
  });
  const hashOfMessage1 = schedule.hashOfMessage1({ crypto, suite }, message1);
  const values = { crypto, terms, cI: fields.connectionId, ephemeral, hashOfMessage1 };
  return { next: new AwaitMessage2(values), message1 };
}

interface AwaitMessage2Values {
  readonly crypto: Crypto;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly ephemeral: EphemeralKey;
  readonly hashOfMessage1: Uint8Array;
}

export class AwaitMessage2 extends BoundedState<AwaitMessage2Values> {
  readonly kind = 'await-message-2';

  get connectionId(): Uint8Array {
    return this.look().cI;
  }

  /** Decrypts. Nothing of what comes out is authentic before a credential was accepted. */
  readMessage2(bytes: Uint8Array): ResponderCredentialNeeded | EdhocRefusal {
    return this.attemptMessage(bytes, (values) => {
      const received = openMessage2(values, bytes);
      if ('refused' in received) return received;
      return new ResponderCredentialNeeded({ ...received, waiting: values }, this.refusalsLeft);
    });
  }

  /** Holds the ephemeral private key in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    const { crypto, terms, cI, ephemeral, hashOfMessage1 } = this.look();
    return storeState(
      stateKinds.awaitMessage2,
      storeTerms(terms),
      cbor.bytes(cI),
      cbor.bytes(crypto.exportEphemeral(ephemeral)),
      cbor.bytes(hashOfMessage1),
      cbor.integer(this.refusalsLeft),
    );
  }

  /**
   * Throws a `MalformedError` on bytes that `store` did not give. A state may be restored only as long as
   * no message_3 was made from it: a second message_3 could use the same key and nonce (RFC 9528 §7).
   */
  static restore(crypto: Crypto, bytes: Uint8Array): AwaitMessage2 {
    const reader = openStored(bytes, stateKinds.awaitMessage2, 5);
    const terms = restoreTerms(reader);
    const cI = reader.bytes().slice();
    const ephemeral = crypto.importEphemeral(terms.suite.curve, reader.bytes());
    if (ephemeral === undefined) return reader.fail('no private key of the suite');
    const hashOfMessage1 = reader.bytes().slice();
    const refusalsLeft = reader.unsigned();
    reader.end();
    return new AwaitMessage2({ crypto, terms, cI, ephemeral, hashOfMessage1 }, refusalsLeft);
  }
}

interface ReceivedMessage2 {
  readonly gY: PublicKey;
  readonly th2: Uint8Array;
  readonly prk2e: Secret;
  readonly plaintext2: Uint8Array;
  readonly fields: Plaintext2;
  readonly references: readonly CredentialReference[];
}

interface CredentialNeededValues extends ReceivedMessage2 {
  readonly waiting: AwaitMessage2Values;
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
    return this.look().waiting.cI;
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
    return this.look().waiting.hashOfMessage1;
  }

  /**
   * Verifies Signature_or_MAC_2 with a credential that the caller trusts. After `not-authentic` another
   * candidate may be tried, since a kid is not unique (RFC 9528 §3.5.3).
   */
  accept(credential: Credential): ResponderVerified | EdhocRefusal {
    return this.attempt((values) => {
      const { waiting, fields, gY, th2, prk2e, plaintext2 } = values;
      const { crypto, terms, ephemeral } = waiting;
      const { suite } = terms;
      const authentication = authenticationOf(terms.method).responder;
      const unsuitable = refuseCandidate(credential, gY.bytes, suite, authentication);
      if (unsuitable !== undefined) return unsuitable;
      const algorithms = { crypto, suite };
      const peer = identityOf(fields.idCredR, credential);
      const proof = responderProof(algorithms, {
        authentication,
        identity: peer,
        cR: fields.cR,
        th: th2,
        ead: fields.ead2.bytes,
        prk: prk2e,
      });
      const prk3e2m = verify(
        algorithms,
        proof,
        ephemeral,
        credential.publicKey,
        fields.signatureOrMac2,
      );
      if (prk3e2m === undefined) return refuse('not-authentic', 'Signature_or_MAC_2 is wrong');
      const th3 = schedule.th3(algorithms, th2, plaintext2, credential.cred);
      return new ResponderVerified({
        algorithms,
        terms,
        cI: waiting.cI,
        cR: fields.cR,
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
    const { waiting } = this.spend();
    if (refusalsLeft <= 0) return refuse('exhausted', 'too many forged messages');
    return new AwaitMessage2(waiting, refusalsLeft);
  }
}

interface ResponderVerifiedValues {
  readonly algorithms: schedule.Algorithms;
  readonly terms: Terms;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
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
    const values = this.spend();
    const ead = encodeEad(fields.ead3 ?? []);
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

function openMessage2(
  { crypto, terms, cI, ephemeral, hashOfMessage1 }: AwaitMessage2Values,
  bytes: Uint8Array,
): ReceivedMessage2 | EdhocRefusal {
  const { suite, oscore, knownEad } = terms;
  const algorithms = { crypto, suite };
  const { gY: gYBytes, ciphertext2 } = parseMessage2(bytes, suite.publicKeyBytes);
  if (equal(gYBytes, ephemeral.publicKey)) return refuse('invalid-key', 'G_Y is our own G_X');
  const gY = crypto.importPublicKey(suite.curve, gYBytes);
  const gXY = gY === undefined ? undefined : crypto.agree(ephemeral, gY);
  if (gY === undefined || gXY === undefined) return refuse('invalid-key', 'G_Y is no valid point');
  const th2 = schedule.th2(algorithms, gYBytes, hashOfMessage1);
  const prk2e = schedule.prk2e(algorithms, th2, gXY);
  const keystream = schedule.keystream2(algorithms, prk2e, th2, ciphertext2.length);
  const plaintext2 = schedule.xor(ciphertext2, keystream);
  const fields = parsePlaintext2(plaintext2);
  const references = parseIdCred(fields.idCredR);
  const critical = unknownCritical(fields.ead2.items, knownEad);
  if (critical !== undefined) return refuse('critical-ead', `EAD item ${critical.label} in EAD_2`);
  if (oscore && equal(fields.cR, cI)) return refuse('same-identifiers', 'C_R equals C_I');
  if (oscore && fields.cR.length > maximumOscoreIdBytes(suite)) {
    return refuse('unsupported', 'C_R is too long for OSCORE');
  }
  return { gY, th2, prk2e, plaintext2, fields, references };
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
