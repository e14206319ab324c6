/**
 * What the identifier of one side contributes to every message: its nonces (RFC 8613 §5.2) and the
 * additional data of the exchanges that it requested (§5.4). Both are prepared once, and only the Partial
 * IV is written in: this is half of what a message costs beside the cipher.
 */
import { empty } from '../bytes/bytes.ts';
import * as cbor from '../cbor/writer.ts';
import { aeadAlgorithmNumbers } from '../cose/algorithms.ts';
import { encStructure } from '../cose/encrypt0.ts';
import type { AeadAlgorithm } from '../crypto/crypto.ts';

/** RFC 8613 §5.2: Partial IVs have up to five bytes and are padded to five in nonces. */
export const maximumPartialIvBytes = 5;

export class Party {
  /** Nonce of the sequence number 0. */
  readonly #zeroNonce: Uint8Array;
  readonly #nonce: Uint8Array;
  /** One prepared AAD for each length of Partial IV, the shortest first. */
  readonly #additionalData: readonly Uint8Array[];

  constructor(aead: AeadAlgorithm, commonIv: Uint8Array, id: Uint8Array) {
    this.#zeroNonce = zeroNonce(commonIv, id);
    this.#nonce = prepared(this.#zeroNonce);
    this.#additionalData = Array.from({ length: maximumPartialIvBytes }, (_, index) =>
      prepared(additionalDataTemplate(aead, id, index + 1)),
    );
  }

  /** Nonce of a Partial IV that this side generated. The next call writes into the same array. */
  nonce(partialIv: Uint8Array): Uint8Array {
    const nonce = this.#nonce;
    const zeroNonce = this.#zeroNonce;
    const start = nonce.length - partialIv.length;
    for (let index = nonce.length - maximumPartialIvBytes; index < nonce.length; index++) {
      // Before `start` the Partial IV is padding: there is no such byte in it.
      nonce[index] = (zeroNonce[index] ?? 0) ^ (partialIv[index - start] ?? 0);
    }
    return nonce;
  }

  /** AAD of an exchange that this side requested. The next call may write into the same array. */
  additionalData(requestPartialIv: Uint8Array): Uint8Array {
    const aad = this.#additionalData[requestPartialIv.length - 1];
    if (aad === undefined) throw new TypeError('a Partial IV has one to five bytes');
    // The empty list of Class I options is the last byte; the Partial IV stands before it.
    aad.set(requestPartialIv, aad.length - 1 - requestPartialIv.length);
    return aad;
  }
}

/** RFC 8613 §5.2 with a Partial IV of zero: length and value of the id, XOR the Common IV. */
function zeroNonce(commonIv: Uint8Array, id: Uint8Array): Uint8Array {
  const nonce = commonIv.slice();
  nonce[0] = (nonce[0] ?? 0) ^ id.length;
  const start = nonce.length - maximumPartialIvBytes - id.length;
  for (let index = 0; index < id.length; index++) {
    nonce[start + index] = (nonce[start + index] ?? 0) ^ (id[index] ?? 0);
  }
  return nonce;
}

function additionalDataTemplate(
  aead: AeadAlgorithm,
  requestKid: Uint8Array,
  partialIvBytes: number,
): Uint8Array {
  const external = cbor.array(
    cbor.integer(oscoreVersion),
    cbor.array(cbor.integer(aeadAlgorithmNumbers[aead])),
    cbor.bytes(requestKid),
    cbor.bytes(new Uint8Array(partialIvBytes)),
    // No option is of Class I (RFC 8613 §4.1).
    cbor.bytes(empty),
  );
  return encStructure(empty, external);
}

/**
 * A copy with memory of its own outside the heap of the engine. Engines keep small arrays inside their
 * heap and move them out, at a price, each time they are handed to native code.
 */
function prepared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new ArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

const oscoreVersion = 1;
