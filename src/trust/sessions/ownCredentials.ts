/**
 * What this server shows of itself in message_2: the credential that elements pinned, or, to a device that
 * asks for it, a certificate of the authority in its anchors, as C509, whole or by its hash, or as X.509,
 * with a fresh word of that authority about it.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { encodeC5t, encodeCoseC509 } from '../../wire/c509/coseHeaders.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { headerLabels } from '../../wire/cose/headers.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import type { OwnCredential } from '../../wire/edhoc/credential.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { type EdhocRefusal, isEdhocRefusal, refuse } from '../../wire/edhoc/refusal.ts';
import type { Message1Accepted, Message2Step } from '../../wire/edhoc/responder.ts';
import {
  knownBytes,
  exampleServerProof,
  readServerRequest,
  type ServerRequest,
  statusItem,
} from '../../wire/edhoc/serverStatus.ts';
import { authenticationOf, type Method } from '../../wire/edhoc/suites.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { isRefusal } from '../ports/faults.ts';
import type { KeyAgreement, Signer } from '../ports/keys.ts';
import type { SessionServerAuthority } from '../ports/sessionServerAuthority.ts';

/** A key, and what the authority in the anchors of elements certifies of it. */
export interface ChainCredential<Key extends KeyAgreement | Signer> {
  /** C509, signed natively. */
  readonly certificate: Uint8Array;
  /** X.509, DER. */
  readonly x509: Uint8Array;
  readonly key: Key;
}

/** Those that are shown now; they change while the server runs. */
export interface ServerChains {
  /** For methods 1 and 3. */
  readonly agreeing: () => ChainCredential<KeyAgreement> | undefined;
  /** For methods 0 and 2. */
  readonly signing: () => ChainCredential<Signer> | undefined;
  readonly vouch: SessionServerAuthority['vouch'];
}

export interface OwnCredentialPorts {
  readonly crypto: Crypto;
  /** The server's static key, and the credential with its public half that elements pin. */
  readonly agreement: KeyAgreement;
  readonly identity: OwnCredential;
  readonly chains?: ServerChains;
}

interface Shown {
  readonly own: OwnCredential;
  readonly key: KeyAgreement | Signer;
  /** Absent for the pinned credential: nobody vouches for it. */
  readonly certificate: Uint8Array | undefined;
}

/** Labels that this server processes in EAD_1. */
export const serverProofLabels: readonly number[] = Object.values(exampleServerProof);

export class OwnCredentials {
  readonly #ports: OwnCredentialPorts;

  constructor(ports: OwnCredentialPorts) {
    this.#ports = ports;
  }

  /** `methods`, and where this server can sign, the same with its signature. */
  methods(methods: readonly Method[]): readonly Method[] {
    if (this.#ports.chains === undefined) return methods;
    return methods.flatMap((method) => [method, signedForm[method] ?? method]);
  }

  /** `further`: for EAD_2. Rejects with an `EnvironmentError` when a key or the authority cannot be reached. */
  async answer(
    accepted: Message1Accepted,
    connectionId: Uint8Array,
    further: readonly EadItem[] = [],
  ): Promise<Message2Step | EdhocRefusal> {
    const asked = readServerRequest(exampleServerProof, accepted.ead1);
    const isSigning = authenticationOf(accepted.method).responder === 'signature';
    const shown = isSigning ? this.#signing(asked) : this.#agreeing(asked);
    if (shown === undefined) return refuse('unsupported', 'no credential for this method');
    const word = asked.status ? await this.#word(shown, accepted.hashOfMessage1) : [];
    // RFC 9528 §3.8: a critical item that cannot be processed ends the handshake.
    if (word === undefined) return refuse('critical-ead', 'nobody vouches for the credential now');
    const needed = accepted.compose({ connectionId, own: shown.own, ead2: [...word, ...further] });
    if (isEdhocRefusal(needed)) return needed;
    const { key } = shown;
    if (needed.kind === 'signature-needed') {
      if (!('sign' in key)) throw new TypeError('a key that agrees was asked to sign');
      const signature = await key.sign(needed.toBeSigned);
      return needed.finish(fixedSignature(signature, coordinateBytes));
    }
    if (!('agree' in key)) throw new TypeError('a key that signs was asked to agree');
    const secret = await key.agree(needed.peerPublicKey);
    return secret === undefined
      ? refuse('invalid-key', 'the server key refused G_X')
      : needed.finish(secret);
  }

  #agreeing(asked: ServerRequest): Shown {
    const { agreement, identity, chains } = this.#ports;
    const chain = asked.chain ? chains?.agreeing() : undefined;
    return chain === undefined
      ? { own: identity, key: agreement, certificate: undefined }
      : this.#shownAs(chain, chain.key.publicKey, asked);
  }

  #signing(asked: ServerRequest): Shown | undefined {
    const chain = this.#ports.chains?.signing();
    if (chain === undefined) return undefined;
    return this.#shownAs(chain, p256Point(chain.key.publicKeySpki), asked);
  }

  #shownAs(
    { certificate, x509, key }: ChainCredential<KeyAgreement | Signer>,
    point: Uint8Array,
    asked: ServerRequest,
  ): Shown {
    const { crypto } = this.#ports;
    const publicKey = crypto.importPublicKey('P-256', point);
    if (publicKey === undefined) throw new TypeError('a key of our own that is no point');
    if (asked.x509) {
      // RFC 9360 §2: one certificate stands alone; RFC 9528 §3.5.2: of a chain the end entity is CRED_R.
      const cred = cbor.bytes(x509);
      const idCred = cbor.map([cbor.integer(headerLabels.x5chain), cred]);
      return { own: { idCred, cred, publicKey }, key, certificate: x509 };
    }
    const idCred = cbor.map(this.#headerOf(certificate, asked.known));
    return { own: { idCred, cred: certificate, publicKey }, key, certificate };
  }

  #headerOf(certificate: Uint8Array, known: Uint8Array | undefined): [Uint8Array, Uint8Array] {
    const hash = (data: Uint8Array): Uint8Array => this.#ports.crypto.hash('SHA-256', data);
    const isKnown = known !== undefined && equal(known, hash(certificate).subarray(0, knownBytes));
    return isKnown
      ? [
          cbor.integer(headerLabels.c5t),
          encodeC5t(certificate, { algorithm: sha256Of64Bits, hash }),
        ]
      : [cbor.integer(headerLabels.c5c), encodeCoseC509([certificate])];
  }

  /** `undefined` when there is none. */
  async #word(
    { certificate }: Shown,
    hashOfMessage1: Uint8Array,
  ): Promise<readonly EadItem[] | undefined> {
    const { chains } = this.#ports;
    if (certificate === undefined || chains === undefined) return undefined;
    const word = await chains.vouch(certificate, hashOfMessage1);
    return isRefusal(word) ? undefined : [statusItem(exampleServerProof, word)];
  }
}

/** The method with the same initiator and a responder that signs (RFC 9528 §3.2). */
const signedForm: Readonly<Partial<Record<Method, Method>>> = { 1: 0, 3: 2 };

const coordinateBytes = 32;
/** SHA-256/64 of the COSE Algorithms registry. */
const sha256Of64Bits = -15;
