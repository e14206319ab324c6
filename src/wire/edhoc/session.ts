/** What a completed handshake leaves: an authenticated peer and keys for applications (RFC 9528 §4.2). */
import { empty } from '../bytes/bytes.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import {
  type AeadAlgorithm,
  aeadParameters,
  type Crypto,
  type HashAlgorithm,
  type Secret,
} from '../crypto/crypto.ts';
import { type Identity, restoreIdentity, storeIdentity } from './credential.ts';
import { type Algorithms, kdf, prkExporter, updatedPrkOut } from './schedule.ts';
import { openStored, stateKinds, storeState } from './stored.ts';
import { suiteOf } from './suites.ts';

export type Role = 'initiator' | 'responder';

/** Exporter labels that are registered (RFC 9528 §10.1). */
export const exporterLabels = { oscoreMasterSecret: 0, oscoreMasterSalt: 1 } as const;

/** Input of an OSCORE security context (RFC 9528 Appendix A.1). */
export interface OscoreParameters {
  readonly masterSecret: Uint8Array;
  readonly masterSalt: Uint8Array;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  readonly aead: AeadAlgorithm;
  readonly hkdf: Exclude<HashAlgorithm, 'SHA-1'>;
}

export interface SessionValues {
  readonly algorithms: Algorithms;
  readonly role: Role;
  readonly method: number;
  /** The identifier that we chose: with it the peer finds this session. */
  readonly ownConnectionId: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  readonly peer: Identity;
  readonly own: Identity;
  readonly prkOut: Secret;
  /** How often the keys were updated since the handshake. */
  readonly epoch: number;
}

/**
 * Keys of a handshake whose last message has not been confirmed: to send with, and to try on what the peer
 * answers. Not to be kept (RFC 9528 §5.4.2).
 */
export interface PendingKeys {
  readonly ownConnectionId: Uint8Array;
  readonly peerConnectionId: Uint8Array;
  exporter(label: number, context: Uint8Array, lengthBytes: number): Uint8Array;
  oscoreParameters(options?: { readonly saltBytes?: number }): OscoreParameters;
}

export class EdhocSession implements PendingKeys {
  readonly kind = 'session';
  readonly #values: SessionValues;
  /** Derived when first asked for: a session that is only stored does without. */
  #prkExporter: Secret | undefined;

  constructor(values: SessionValues) {
    this.#values = values;
  }

  get role(): Role {
    return this.#values.role;
  }

  get method(): number {
    return this.#values.method;
  }

  get suite(): number {
    return this.#values.algorithms.suite.number;
  }

  get ownConnectionId(): Uint8Array {
    return this.#values.ownConnectionId;
  }

  get peerConnectionId(): Uint8Array {
    return this.#values.peerConnectionId;
  }

  get peer(): Identity {
    return this.#values.peer;
  }

  /** Which of our credentials the peer has authenticated. */
  get own(): Identity {
    return this.#values.own;
  }

  get epoch(): number {
    return this.#values.epoch;
  }

  /**
   * EDHOC_Exporter (RFC 9528 §4.2.1). The result is a secret. A (label, context) pair is for one purpose
   * only.
   */
  exporter(label: number, context: Uint8Array, lengthBytes: number): Uint8Array {
    if (!Number.isSafeInteger(label) || label < 0) throw new TypeError('exporter labels are uint');
    const { algorithms, prkOut } = this.#values;
    this.#prkExporter ??= prkExporter(algorithms, prkOut);
    return kdf(algorithms, this.#prkExporter, label, context, lengthBytes);
  }

  /** RFC 9528 Appendix A.1. The salt has 8 bytes unless both sides agreed on something else. */
  oscoreParameters(options: { readonly saltBytes?: number } = {}): OscoreParameters {
    const { algorithms, ownConnectionId, peerConnectionId } = this.#values;
    const { applicationAead: aead, applicationHash: hkdf } = algorithms.suite;
    const { keyBytes } = aeadParameters[aead];
    return {
      masterSecret: this.exporter(exporterLabels.oscoreMasterSecret, empty, keyBytes),
      masterSalt: this.exporter(exporterLabels.oscoreMasterSalt, empty, options.saltBytes ?? 8),
      // The peer chose the identifier by which it wants to be addressed.
      senderId: peerConnectionId,
      recipientId: ownConnectionId,
      aead,
      hkdf,
    };
  }

  /**
   * EDHOC_KeyUpdate (RFC 9528 Appendix H) as a new session. Forward secrecy begins when the old one and
   * what was exported from it are dropped, which is the caller's to do once the peer has moved too.
   */
  keyUpdate(context: Uint8Array): EdhocSession {
    const { algorithms, prkOut, epoch } = this.#values;
    return new EdhocSession({
      ...this.#values,
      prkOut: updatedPrkOut(algorithms, prkOut, context),
      epoch: epoch + 1,
    });
  }

  /** Holds PRK_out in clear: whoever keeps it seals it. */
  store(): Uint8Array {
    return storeState(stateKinds.session, ...storeSession(this.#values));
  }

  /** Throws a `MalformedError` on bytes that `store` did not give. */
  static restore(crypto: Crypto, bytes: Uint8Array): EdhocSession {
    const reader = openStored(bytes, stateKinds.session, sessionFields);
    const values = restoreSession(crypto, reader);
    reader.end();
    return new EdhocSession(values);
  }
}

/** Number of items that `storeSession` gives. */
export const sessionFields = 9;

export function storeSession(values: SessionValues): readonly Uint8Array[] {
  const { algorithms } = values;
  return [
    cbor.integer(values.role === 'initiator' ? 0 : 1),
    cbor.integer(values.method),
    cbor.integer(algorithms.suite.number),
    cbor.bytes(values.ownConnectionId),
    cbor.bytes(values.peerConnectionId),
    storeIdentity(values.peer),
    storeIdentity(values.own),
    cbor.bytes(algorithms.crypto.exportSecret(values.prkOut)),
    cbor.integer(values.epoch),
  ];
}

export function restoreSession(crypto: Crypto, reader: CborReader): SessionValues {
  return {
    role: reader.unsigned(1) === 0 ? 'initiator' : 'responder',
    method: reader.integer(),
    algorithms: { crypto, suite: suiteOf(reader.integer()) },
    ownConnectionId: reader.bytes().slice(),
    peerConnectionId: reader.bytes().slice(),
    peer: restoreIdentity(reader),
    own: restoreIdentity(reader),
    prkOut: crypto.secret(reader.bytes()),
    epoch: reader.unsigned(),
  };
}
