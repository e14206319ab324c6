/**
 * Devices that authenticate by certificate: X.509 or C509, by value or, once it was seen, by thumbprint.
 * A path to an authority of the door and the exact certificate in the registry make a `VerifiedPeer`; only
 * then EDHOC is asked whether the device holds the key. Nothing is remembered but bytes, across restarts too:
 * whoever comes by thumbprint is verified anew.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { hashAlgorithmOf } from '../../wire/cose/algorithms.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { KeyUse } from '../peers/pathRules.ts';
import type { PeerRefusal, VerifiedPeer } from '../peers/verifiedPeer.ts';
import type { ChainStore, ThumbprintKind } from '../ports/chainStore.ts';
import { isRefusal, type Refusal } from '../ports/faults.ts';
import type { FetchedChains } from './fetchedChains.ts';
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
  /** Absent: an x5u or c5u is an unknown credential. */
  readonly located?: FetchedChains;
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

  /** One reference, or a place together with the thumbprint of what is there. */
  async resolve(
    references: readonly CredentialReference[],
    use: KeyUse,
  ): Promise<ResolvedCredential | FrameRefusal> {
    const shown = await this.#shown(references);
    const [leaf] = shown?.chain ?? [];
    if (shown === undefined || leaf === undefined) return 'unknown-credential';
    const { chain, isC509, isNew } = shown;
    const peer = await this.#ports.verify(chain, use);
    if (isRefusal(peer) || (peer.kind !== 'idevid' && peer.kind !== 'ldevid')) {
      return 'not-authentic';
    }
    const publicKey = this.#keyOf(peer);
    if (publicKey === undefined) return 'not-authentic';
    return {
      deviceId: peer.holder,
      // RFC 9528 §3.5.2: the end entity alone; DER in a byte string, C509 as its array.
      credential: { cred: isC509 ? leaf : cbor.bytes(leaf), publicKey },
      accepted: async () => {
        if (isNew) await this.#remember(isC509 ? 'c5t' : 'x5t', peer.holder, chain);
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

  async #shown(references: readonly CredentialReference[]): Promise<ShownChain | undefined> {
    const location = references.find(isLocation);
    if (location !== undefined) return this.#located(location, references);
    const [reference, ...more] = references;
    if (reference === undefined || more.length > 0) return undefined;
    switch (reference.kind) {
      case 'x5chain':
        return { chain: reference.certificates, isC509: false, isNew: true };
      case 'c5c':
        return this.#allC509({ chain: reference.certificates, isC509: true, isNew: true });
      case 'x5t':
      case 'c5t':
        return this.#recalled(reference);
      case 'x5u':
      case 'c5u':
      case 'kid':
      case 'kccs':
      case 'kcwt':
      case 'other':
        return undefined;
    }
  }

  /** What is known by its thumbprint is not read again. */
  async #located(
    location: Location,
    references: readonly CredentialReference[],
  ): Promise<ShownChain | undefined> {
    const isC509 = location.kind === 'c5u';
    const prints = references.filter(isThumbprint);
    const [print] = prints;
    const isPair = references.length === prints.length + 1 && prints.length <= 1;
    if (!isPair || (print !== undefined && (print.kind === 'c5t') !== isC509)) return undefined;
    const known = print === undefined ? undefined : await this.#recalled(print);
    if (known !== undefined) return known;
    const chain = await this.#ports.located?.chainAt(location);
    if (chain === undefined) return undefined;
    // RFC 9360 §2: the hash is what makes the place a reference to one certificate.
    if (print !== undefined && !this.#matches(print, chain[0])) return undefined;
    const shown = { chain, isC509, isNew: true };
    return isC509 ? this.#allC509(shown) : shown;
  }

  #allC509(shown: ShownChain): ShownChain | undefined {
    return shown.chain.every((one) => this.#isC509(one)) ? shown : undefined;
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

  async #recalled(print: Thumbprint): Promise<ShownChain | undefined> {
    const { kind, hash } = print;
    if (hashBytesOf(print) !== hash.length) return undefined;
    const chain = await this.#ports.chains.chain(kind, hash.slice(0, keptHashBytes));
    if (chain === undefined || !this.#matches(print, chain[0])) return undefined;
    return { chain, isC509: kind === 'c5t', isNew: false };
  }

  #matches(print: Thumbprint, certificate: Uint8Array | undefined): boolean {
    const lengthBytes = hashBytesOf(print);
    if (certificate === undefined || lengthBytes === undefined) return false;
    return equal(this.#crypto.hash('SHA-256', certificate).subarray(0, lengthBytes), print.hash);
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

type Location = Extract<CredentialReference, { readonly kind: 'x5u' | 'c5u' }>;
type Thumbprint = Extract<CredentialReference, { readonly kind: 'x5t' | 'c5t' }>;

interface ShownChain {
  /** End entity first. */
  readonly chain: readonly Uint8Array[];
  readonly isC509: boolean;
  /** It came with the handshake: next time its thumbprint will do. */
  readonly isNew: boolean;
}

function isLocation(reference: CredentialReference): reference is Location {
  return reference.kind === 'x5u' || reference.kind === 'c5u';
}

function isThumbprint(reference: CredentialReference): reference is Thumbprint {
  return reference.kind === 'x5t' || reference.kind === 'c5t';
}

/** `undefined` for hashes that are not taken here. */
function hashBytesOf({ algorithm }: Thumbprint): number | undefined {
  const name = typeof algorithm === 'number' ? hashAlgorithmOf(algorithm) : undefined;
  if (name === 'SHA-256') return 32;
  return name === 'SHA-256/64' ? keptHashBytes : undefined;
}
