/**
 * Devices that authenticate by certificate: X.509 or C509, by value or, once it was seen, by thumbprint.
 * A path to an authority of the door and the exact certificate in the registry make a `VerifiedPeer`; only
 * then EDHOC is asked whether the device holds the key. Nothing is remembered but bytes, across restarts too:
 * whoever comes by thumbprint is verified anew.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { hashAlgorithmOf } from '../../wire/cose/algorithms.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { authenticationOf } from '../../wire/edhoc/suites.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { KeyUse } from '../peers/pathRules.ts';
import type { PeerRefusal, VerifiedPeer } from '../peers/verifiedPeer.ts';
import type { ChainStore, ThumbprintKind } from '../ports/chainStore.ts';
import { isRefusal, type Refusal } from '../ports/faults.ts';
import type { FrameRefusal } from './ports.ts';

export interface CertificatePorts {
  readonly decompress: PointDecompressor;
  /** What a thumbprint may name; a device whose chain is not there shows it by value again. */
  readonly chains: ChainStore;
  /** `PeerVerifier.verifyPeer` of the door of devices, with its rules for that use of keys. */
  readonly verify: (
    chain: readonly Uint8Array[],
    use: KeyUse,
  ) => Promise<VerifiedPeer | Refusal<PeerRefusal>>;
  /** The certificate was used: older ones of the device may go. */
  readonly noteUse: (peer: VerifiedPeer) => Promise<void>;
}

export interface ResolvedCredential {
  readonly deviceId: string;
  readonly credential: Credential;
  /** To be called when the device has proven its key. */
  readonly accepted: () => Promise<void>;
}

export class CertificateCredentials {
  readonly #crypto: Crypto;
  readonly #ports: CertificatePorts;

  constructor(crypto: Crypto, ports: CertificatePorts) {
    this.#crypto = crypto;
    this.#ports = ports;
  }

  async resolve(
    reference: CredentialReference,
    method: number,
  ): Promise<ResolvedCredential | FrameRefusal> {
    const chain = await this.#chainOf(reference);
    const [leaf] = chain ?? [];
    if (chain === undefined || leaf === undefined) return 'unknown-credential';
    const isSigning = authenticationOf(method).initiator === 'signature';
    const peer = await this.#ports.verify(chain, isSigning ? 'signature' : 'agreement');
    if (isRefusal(peer) || (peer.kind !== 'idevid' && peer.kind !== 'ldevid')) {
      return 'not-authentic';
    }
    const publicKey = this.#keyOf(peer);
    if (publicKey === undefined) return 'not-authentic';
    const isC509 = reference.kind === 'c5c' || reference.kind === 'c5t';
    return {
      deviceId: peer.holder,
      // RFC 9528 §3.5.2: the end entity alone; DER in a byte string, C509 as its array.
      credential: { cred: isC509 ? leaf : cbor.bytes(leaf), publicKey },
      accepted: async () => {
        if (isByValue(reference)) {
          await this.#remember(isC509 ? 'c5t' : 'x5t', peer.holder, chain);
        }
        await this.#ports.noteUse(peer);
      },
    };
  }

  #keyOf({ certificate }: VerifiedPeer): PublicKey | undefined {
    try {
      return this.#crypto.importPublicKey('P-256', p256Point(certificate.publicKey.spki));
    } catch (error) {
      if (error instanceof MalformedError) return undefined;
      throw error;
    }
  }

  async #chainOf(reference: CredentialReference): Promise<readonly Uint8Array[] | undefined> {
    switch (reference.kind) {
      case 'x5chain':
        return reference.certificates;
      case 'c5c':
        return reference.certificates.every((one) => this.#isC509(one))
          ? reference.certificates
          : undefined;
      case 'x5t':
      case 'c5t':
        return this.#recall(reference.kind, reference.algorithm, reference.hash);
      case 'kid':
      case 'x5u':
      case 'c5u':
      case 'kccs':
      case 'kcwt':
      case 'other':
        return undefined;
    }
  }

  /** DER in a c5c would be a credential with two encodings. */
  #isC509(encoding: Uint8Array): boolean {
    try {
      return parseEitherCertificate(encoding, this.#ports.decompress).form !== 'der';
    } catch (error) {
      if (error instanceof MalformedError || error instanceof UnsupportedError) return false;
      throw error;
    }
  }

  async #recall(
    kind: ThumbprintKind,
    algorithm: number | string,
    hash: Uint8Array,
  ): Promise<readonly Uint8Array[] | undefined> {
    const name = typeof algorithm === 'number' ? hashAlgorithmOf(algorithm) : undefined;
    const lengthBytes = name === 'SHA-256' ? 32 : name === 'SHA-256/64' ? keptHashBytes : 0;
    if (lengthBytes === 0 || hash.length !== lengthBytes) return undefined;
    const chain = await this.#ports.chains.chain(kind, hash.slice(0, keptHashBytes));
    const [leaf] = chain ?? [];
    if (chain === undefined || leaf === undefined) return undefined;
    const digest = this.#crypto.hash('SHA-256', leaf).subarray(0, lengthBytes);
    return toHex(digest) === toHex(hash) ? chain : undefined;
  }

  async #remember(
    kind: ThumbprintKind,
    deviceId: string,
    certificates: readonly Uint8Array[],
  ): Promise<void> {
    const [leaf] = certificates;
    if (leaf === undefined) return;
    const hash = this.#crypto.hash('SHA-256', leaf).slice(0, keptHashBytes);
    await this.#ports.chains.remember({ kind, hash, deviceId, certificates });
  }
}

const keptHashBytes = 8;

function isByValue({ kind }: CredentialReference): boolean {
  return kind === 'x5chain' || kind === 'c5c';
}
