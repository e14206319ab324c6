/**
 * The Security Context (RFC 8613 §3): keys derived from a Master Secret, and their use. What changes while it is used is kept elsewhere: sequence numbers in `SenderSequence`,
 * the window in `ReplayWindow`; only the counts of key usage belong to the keys and so to this object.
 */
import { empty, equal } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import { aeadAlgorithmNumbers } from '../cose/algorithms.ts';
import {
  type AeadAlgorithm,
  type AeadKey,
  aeadParameters,
  type Crypto,
  type HashAlgorithm,
  type Secret,
} from '../crypto/crypto.ts';
import { type KeyLimits, keyLimits, type KeyUsage, unused } from './limits.ts';
import { Party } from './party.ts';

/**
 * RFC 8613 §3.2.1: an HMAC-based HKDF. COSE names those of SHA-256 and SHA-512; SHA-384 comes with EDHOC's
 * suite 24, whose application hash decides (RFC 9528 Appendix A.1).
 */
export type OscoreHkdf = Exclude<HashAlgorithm, 'SHA-1'>;

export interface ContextParameters {
  readonly crypto: Crypto;
  /** Bytes or an opaque secret. Bytes are not kept: whoever has to store them keeps their own. */
  readonly masterSecret: Uint8Array | Secret;
  /** Default: empty. */
  readonly masterSalt?: Uint8Array;
  readonly idContext?: Uint8Array;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  /** Default: AES-CCM-16-64-128. */
  readonly aead?: AeadAlgorithm;
  /** Default: SHA-256. */
  readonly hkdf?: OscoreHkdf;
  /** What the keys were used for already, when a context is derived again after a restart. */
  readonly usage?: KeyUsage;
}

/** Derives the keys of both directions and the Common IV (RFC 8613 §3.2.1). */
export function deriveContext(parameters: ContextParameters): SecurityContext {
  return new SecurityContext(parameters);
}

/** Longest Sender ID for an algorithm (RFC 8613 §3.3): 7 bytes with nonces of 13. */
export function maximumIdBytes(aead: AeadAlgorithm): number {
  return aeadParameters[aead].nonceBytes - 6;
}

/** `info` of RFC 8613 §3.2.1 for a key (`id` is that of its sender) or, without id, for the Common IV. */
export function derivationInfo(
  aead: AeadAlgorithm,
  idContext: Uint8Array | undefined,
  id?: Uint8Array,
): Uint8Array {
  const { keyBytes, nonceBytes } = aeadParameters[aead];
  return cbor.array(
    cbor.bytes(id ?? empty),
    idContext === undefined ? cbor.nullItem : cbor.bytes(idContext),
    cbor.integer(aeadAlgorithmNumbers[aead]),
    cbor.text(id === undefined ? 'IV' : 'Key'),
    cbor.integer(id === undefined ? nonceBytes : keyBytes),
  );
}

export class SecurityContext {
  readonly aead: AeadAlgorithm;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  readonly idContext: Uint8Array | undefined;
  readonly limits: KeyLimits;
  /** Nonces and additional data of what this side, and the peer, numbered and requested. */
  readonly own: Party;
  readonly peer: Party;
  readonly #crypto: Crypto;
  readonly #senderKey: AeadKey;
  readonly #recipientKey: AeadKey;
  #encryptions: number;
  #failedVerifications: number;

  constructor(parameters: ContextParameters) {
    const { crypto, masterSecret, idContext, senderId, recipientId } = parameters;
    const aead = parameters.aead ?? 'AES-CCM-16-64-128';
    const hkdf = parameters.hkdf ?? 'SHA-256';
    if (Math.max(senderId.length, recipientId.length) > maximumIdBytes(aead)) {
      throw new TypeError(`${aead} allows identifiers of ${maximumIdBytes(aead)} bytes`);
    }
    // RFC 8613 §3.3: with one identifier for both, the two directions would share key and nonces.
    if (equal(senderId, recipientId)) throw new TypeError('Sender ID and Recipient ID are equal');
    const extracted = crypto.hkdfExtract(hkdf, parameters.masterSalt ?? empty, masterSecret);
    const keyOf = (id: Uint8Array): AeadKey => {
      const info = derivationInfo(aead, idContext, id);
      const bytes = crypto.hkdfExpand(hkdf, extracted, info, aeadParameters[aead].keyBytes);
      const key = crypto.aeadKey(aead, bytes);
      bytes.fill(0);
      return key;
    };
    const { nonceBytes } = aeadParameters[aead];
    const ivInfo = derivationInfo(aead, idContext);
    const commonIv = crypto.hkdfExpand(hkdf, extracted, ivInfo, nonceBytes);
    this.aead = aead;
    this.senderId = senderId.slice();
    this.recipientId = recipientId.slice();
    this.idContext = idContext?.slice();
    this.limits = keyLimits(aead);
    this.#crypto = crypto;
    this.#senderKey = keyOf(senderId);
    this.#recipientKey = keyOf(recipientId);
    this.own = new Party(aead, commonIv, senderId);
    this.peer = new Party(aead, commonIv, recipientId);
    this.#encryptions = parameters.usage?.encryptions ?? unused.encryptions;
    this.#failedVerifications = parameters.usage?.failedVerifications ?? unused.failedVerifications;
  }

  get usage(): KeyUsage {
    return { encryptions: this.#encryptions, failedVerifications: this.#failedVerifications };
  }

  /** `undefined` when the Sender Key is worn out (key-limits §2.3.1: counted before it is used). */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array | undefined {
    if (this.#encryptions >= this.limits.encryptions) return undefined;
    this.#encryptions += 1;
    return this.#crypto.seal(this.#senderKey, nonce, aad, plaintext);
  }

  /**
   * `undefined` when the message does not verify, which is counted, or when so many failed before that
   * the Recipient Key must not be used any more (key-limits §2.3.2): ask `isRecipientKeyWornOut` first.
   */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined {
    if (this.isRecipientKeyWornOut) return undefined;
    const plaintext = this.#crypto.open(this.#recipientKey, nonce, aad, ciphertext);
    if (plaintext === undefined) this.#failedVerifications += 1;
    return plaintext;
  }

  get isRecipientKeyWornOut(): boolean {
    return this.#failedVerifications >= this.limits.failedVerifications;
  }

  /** Whether the plaintext is within the length that the key limits allow (key-limits §2.3). */
  fits(plaintext: Uint8Array): boolean {
    return plaintext.length + aeadParameters[this.aead].tagBytes <= this.limits.messageBytes;
  }
}
