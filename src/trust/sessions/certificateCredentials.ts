/**
 * Devices that authenticate by certificate: X.509 or C509, by value or, once it was seen, by thumbprint.
 * A path to an authority of the door and the exact certificate in the registry make a `VerifiedPeer`; only
 * then EDHOC is asked whether the device holds the key. Nothing is remembered but bytes: whoever comes by
 * thumbprint is verified anew.
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
import { isRefusal, type Refusal } from '../ports/faults.ts';
import type { FrameRefusal } from './ports.ts';

export interface CertificatePorts {
  readonly decompress: PointDecompressor;
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

/** Chains that a thumbprint may name; a device whose chain went shows it by value again. */
const maximumRemembered = 4_096;

export class CertificateCredentials {
  readonly #crypto: Crypto;
  readonly #ports: CertificatePorts;
  /** By kind and 8 bytes of SHA-256; in the order of last use. */
  readonly #chains = new Map<string, readonly Uint8Array[]>();

  constructor(crypto: Crypto, ports: CertificatePorts) {
    this.#crypto = crypto;
    this.#ports = ports;
  }

  async resolve(
    reference: CredentialReference,
    method: number,
  ): Promise<ResolvedCredential | FrameRefusal> {
    const chain = this.#chainOf(reference);
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
        this.#remember(isC509 ? 'c5t' : 'x5t', chain);
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

  #chainOf(reference: CredentialReference): readonly Uint8Array[] | undefined {
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

  #recall(
    kind: 'x5t' | 'c5t',
    algorithm: number | string,
    hash: Uint8Array,
  ): readonly Uint8Array[] | undefined {
    const name = typeof algorithm === 'number' ? hashAlgorithmOf(algorithm) : undefined;
    const lengthBytes = name === 'SHA-256' ? 32 : name === 'SHA-256/64' ? 8 : 0;
    if (lengthBytes === 0 || hash.length !== lengthBytes) return undefined;
    const key = `${kind}/${toHex(hash.subarray(0, 8))}`;
    const chain = this.#chains.get(key);
    const [leaf] = chain ?? [];
    if (chain === undefined || leaf === undefined) return undefined;
    const digest = this.#crypto.hash('SHA-256', leaf).subarray(0, lengthBytes);
    if (toHex(digest) !== toHex(hash)) return undefined;
    this.#chains.delete(key);
    this.#chains.set(key, chain);
    return chain;
  }

  #remember(kind: 'x5t' | 'c5t', chain: readonly Uint8Array[]): void {
    const [leaf] = chain;
    if (leaf === undefined) return;
    const key = `${kind}/${toHex(this.#crypto.hash('SHA-256', leaf).subarray(0, 8))}`;
    this.#chains.delete(key);
    const [oldest] = this.#chains.keys();
    if (oldest !== undefined && this.#chains.size >= maximumRemembered) this.#chains.delete(oldest);
    this.#chains.set(
      key,
      chain.map((one) => new Uint8Array(one)),
    );
  }
}
