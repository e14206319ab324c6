/**
 * How a device on IP shows itself and knows its server in EDHOC: by its agree key, whole or by
 * kid, or with a certificate of its element; the server by the credential that was pinned at birth, or by a certificate
 * chain to the anchor in the element. All of methods 0 to 3: either key agrees or signs.
 */
import { encodeC5t, encodeCoseC509 } from '../../wire/c509/coseHeaders.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { headerLabels } from '../../wire/cose/headers.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { privateAttestation } from '../../wire/edhoc/attestation.ts';
import { AwaitApplication } from '../../wire/edhoc/completion.ts';
import type { AgreeCredential } from '../../wire/edhoc/agreeCredential.ts';
import type { OwnCredential } from '../../wire/edhoc/credential.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { kccsIdCred } from '../../wire/edhoc/idCred.ts';
import {
  type Message3Step,
  type ResponderCredentialNeeded,
  type ResponderVerified,
  startInitiator,
} from '../../wire/edhoc/initiator.ts';
import type { PskCredential } from '../../wire/edhoc/psk.ts';
import { startPskInitiator } from '../../wire/edhoc/pskInitiator.ts';
import { isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import { exampleServerProof } from '../../wire/edhoc/serverStatus.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import type { Method } from '../../wire/edhoc/suites.ts';
import { rawLinkMethod, rawLinkSuite } from '../../wire/relay/rawLink.ts';
import { exampleGenerationOid } from '../../wire/x509/serverGeneration.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { freshStatus } from '../identity/serverStatus.ts';
import { signingKeyOf } from '../identity/signingKeys.ts';
import type { Attester } from '../ports/attester.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { CertificateSlot, DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import { Attesting } from './attesting.ts';
import { kudosDefaults, type KudosOptions, KudosSignalling } from './coapKudos.ts';
import { type EdhocPost, answerHandshake } from './coapReverse.ts';
import { HandshakeRefused, newConnectionId, readOwn } from './handshake.ts';
import { pinnedTrust, readPinned } from './pinnedTrust.ts';
import type { ServerTrust } from './serverTrust.ts';
import { x509Trust } from './x509Trust.ts';

export interface HandshakePorts {
  readonly element: DeviceElement;
  readonly store: DeviceStore;
  readonly crypto: Crypto;
  readonly decompress: PointDecompressor;
  /** Absent: no evidence is offered. */
  readonly attester?: Attester;
}

export interface HandshakeOptions extends KudosOptions {
  /**
   * `ccs`: the agree key, whole. `kid`: one byte for it, a hundred less, where the server has so few devices
   * that it finds this one by it: it tries sixteen of each of 48. A slot: with the certificate in it, by value, and a signature.
   */
  readonly showAs: AgreeForm | CertificateSlot;
  /** Whether a certificate goes as its hash: a server that does not know it says so, and gets it whole. */
  readonly byThumbprint: boolean;
  readonly trust: 'pinned' | 'chain';
  /** In which form a server known by chain is asked for its certificate. */
  readonly serverForm: 'c509' | 'x509';
  /** Only a server for which the authority vouches in this very handshake; goes with `chain`. */
  readonly fresh: boolean;
  /** In methods 1 and 3 its key agrees, in 0 and 2 it signs, which goes with `chain`. */
  readonly server: 'agrees' | 'signs';
  /** Who begins: we, or, asked by us, the server (RFC 9528 Appendix A.2.2): by its agree key and pinned alone. */
  readonly flow: 'forward' | 'reverse';
  readonly generationOid: string;
}

/** How the agree key is shown. */
type AgreeForm = 'ccs' | 'kid';

export function isAgreeForm(showAs: HandshakeOptions['showAs']): showAs is AgreeForm {
  return showAs === 'ccs' || showAs === 'kid';
}

export const handshakeDefaults: HandshakeOptions = {
  showAs: 'ccs',
  byThumbprint: false,
  trust: 'pinned',
  serverForm: 'c509',
  fresh: false,
  server: 'agrees',
  flow: 'forward',
  generationOid: exampleGenerationOid,
  ...kudosDefaults,
};

/** One handshake as its two messages travel over CoAP. */
export interface HandshakeTransport {
  /** POST of message_1; the message_2 that came back. */
  first(message1: Uint8Array): Promise<Uint8Array>;
}

export interface Handshaken {
  readonly edhoc: AwaitApplication;
  readonly message3: Uint8Array;
  /** C_R. */
  readonly connectionId: Uint8Array;
  readonly handshakeBytes: readonly number[];
  readonly resumed: boolean;
  /** Whether the server keeps these keys for KUDOS without forward secrecy. */
  readonly hasBootstrap: boolean;
  /** Whether a server that does not know our credential may know it by value. */
  readonly shownByHash: boolean;
  /** To be called when the server has shown its keys. */
  readonly finished: () => Promise<void>;
}

export class CoapHandshakes {
  readonly #ports: HandshakePorts;
  readonly #options: HandshakeOptions;
  /** That of the agree key, which an element that only signs does not have, or where its certificate is. */
  readonly #own: AgreeCredential | CertificateSlot;
  readonly #trust: ServerTrust;
  readonly #kudos: KudosSignalling;
  readonly #attesting: Attesting;

  private constructor(
    ports: HandshakePorts,
    options: HandshakeOptions,
    own: AgreeCredential | CertificateSlot,
    trust: ServerTrust,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#own = own;
    this.#trust = trust;
    this.#kudos = new KudosSignalling(options);
    this.#attesting = new Attesting(ports.crypto, ports.attester, privateAttestation);
  }

  /**
   * Rejects with a `DeviceFault` when the element was not personalized for this. Throws a `TypeError` for
   * what a pinned server cannot do.
   */
  static async open(
    ports: HandshakePorts,
    options: Partial<HandshakeOptions>,
  ): Promise<CoapHandshakes> {
    const all = { ...handshakeDefaults, ...options };
    const { showAs, trust, fresh, server, serverForm, generationOid } = all;
    const { element, crypto } = ports;
    const own = isAgreeForm(showAs) ? await ownAgreeKey(ports, showAs) : showAs;
    if (trust === 'pinned') {
      if (fresh || server === 'signs') {
        throw new TypeError('a pinned server agrees, and nobody vouches for it');
      }
      return new CoapHandshakes(ports, all, own, await pinnedTrust(element, crypto));
    }
    const codePoints = exampleServerProof;
    const chain = await x509Trust(ports, {
      generationOid,
      keyUse: server === 'signs' ? 'digitalSignature' : 'keyAgreement',
      codePoints,
      form: serverForm,
      fresh: fresh ? freshStatus(crypto, codePoints) : undefined,
    });
    return new CoapHandshakes(ports, all, own, chain);
  }

  /** Rejects with a `DeviceFault`: a server that is not ours is refused without a word about us. */
  async run(transport: HandshakeTransport, byValue: boolean): Promise<Handshaken> {
    const { crypto } = this.#ports;
    const { showAs, byThumbprint } = this.#options;
    const connectionId = newConnectionId(crypto);
    const profile = {
      method: methodOf(this.#options),
      suites: [rawLinkSuite],
      message4: false,
      knownEad: this.#attesting.labels,
    };
    const ead1 = [...(await this.#trust.request()), ...this.#kudos.ead1, ...this.#attesting.ead1];
    const { next, message1 } = startInitiator(crypto, profile, { connectionId, ead1 });
    const message2 = await transport.first(message1);
    const read = next.readMessage2(message2);
    if (isEdhocRefusal(read)) throw refused(read.reason);
    const peerConnectionId = read.peerConnectionId.slice();
    const verified = await this.#verifyServer(read);
    const shownByHash = byThumbprint && !isAgreeForm(showAs) && !byValue;
    const own =
      typeof this.#own === 'string'
        ? await this.#ownCertificate(this.#own, shownByHash)
        : this.#own;
    const { ead2 } = verified;
    const evidence = await this.#attesting.ead3(verified, own.idCred);
    if (evidence === undefined) throw refused('evidence was asked for that we do not give');
    const ead3 = [...this.#kudos.ead3(ead2), ...evidence];
    const { next: edhoc, message3 } = await this.#prove(verified, own, ead3);
    if (!(edhoc instanceof AwaitApplication)) throw new TypeError('the profile has no message_4');
    return {
      edhoc,
      message3,
      connectionId: peerConnectionId,
      handshakeBytes: [message1.length, message2.length, message3.length],
      resumed: false,
      hasBootstrap: this.#kudos.isHeard(ead2),
      shownByHash,
      finished: () => this.#trust.finished(),
    };
  }

  /**
   * The same with the resumption key of a session before (draft-ietf-lake-edhoc-psk). Anybody can have made
   * message_2: who the server is, its first answer under the new keys shows.
   */
  async resume(transport: HandshakeTransport, psk: PskCredential): Promise<Handshaken> {
    const { crypto } = this.#ports;
    const connectionId = newConnectionId(crypto);
    const profile = { suites: [rawLinkSuite], message4: false };
    const { ead1 } = this.#kudos;
    const { next, message1 } = startPskInitiator(crypto, profile, { connectionId, ead1 });
    const message2 = await transport.first(message1);
    const read = next.readMessage2(message2);
    if (isEdhocRefusal(read)) throw refused(read.reason);
    const { ead2 } = read;
    const peerConnectionId = read.peerConnectionId.slice();
    const { next: edhoc, message3 } = read.compose({ psk, ead3: this.#kudos.ead3(ead2) });
    if (!(edhoc instanceof AwaitApplication)) throw new TypeError('the profile has no message_4');
    return {
      edhoc,
      message3,
      connectionId: peerConnectionId,
      handshakeBytes: [message1.length, message2.length, message3.length],
      resumed: true,
      hasBootstrap: this.#kudos.isHeard(ead2),
      shownByHash: false,
      finished: async () => undefined,
    };
  }

  /** The reverse flow. The server has still to see that we have the keys. */
  async answer(
    post: EdhocPost,
  ): Promise<{ readonly session: EdhocSession; readonly handshakeBytes: readonly number[] }> {
    const { element, crypto } = this.#ports;
    const own = this.#own;
    if (typeof own === 'string') throw new TypeError('the reverse flow is by agree key');
    return answerHandshake(this.#ports, { own, server: await readPinned(element, crypto) }, post);
  }

  async #verifyServer(read: ResponderCredentialNeeded): Promise<ResponderVerified> {
    const judged = await this.#trust.judge(read);
    if (isEdhocRefusal(judged)) throw refused(judged.reason);
    const verified = read.accept(judged.credential);
    if (isEdhocRefusal(verified)) throw refused(verified.reason);
    await judged.proven();
    return verified;
  }

  async #ownCertificate(slot: CertificateSlot, byHash: boolean): Promise<OwnCredential> {
    const { crypto, decompress, element } = this.#ports;
    const [leaf, ...chain] = (await element.readCertificate(slot)) ?? [];
    if (leaf === undefined)
      throw new DeviceFault(`the element has no ${slot}`, { retryable: false });
    const { form, certificate } = parseEitherCertificate(leaf, decompress);
    const publicKey = crypto.importPublicKey('P-256', p256Point(certificate.publicKey.spki));
    if (publicKey === undefined)
      throw new DeviceFault('the element is damaged', { retryable: false });
    const sha256 = (data: Uint8Array): Uint8Array => crypto.hash('SHA-256', data);
    if (form === 'der') {
      const hash = cbor.array(cbor.integer(-16), cbor.bytes(sha256(leaf)));
      const idCred = byHash
        ? header(headerLabels.x5t, hash)
        : header(headerLabels.x5chain, chainItem([leaf, ...chain]));
      return { idCred, cred: cbor.bytes(leaf), publicKey };
    }
    const idCred = byHash
      ? header(headerLabels.c5t, encodeC5t(leaf, { algorithm: -15, hash: sha256 }))
      : header(headerLabels.c5c, encodeCoseC509([leaf]));
    return { idCred, cred: leaf, publicKey };
  }

  async #prove(
    verified: ResponderVerified,
    own: OwnCredential,
    ead3: readonly EadItem[],
  ): Promise<Message3Step> {
    const { element } = this.#ports;
    const needed = verified.compose({ own, ead3 });
    if (isEdhocRefusal(needed)) throw refused(needed.reason);
    if (needed.kind === 'signature-needed') {
      const { showAs } = this.#options;
      if (isAgreeForm(showAs)) throw new TypeError('a key that agrees was asked to sign');
      const key = await signingKeyOf(element, showAs);
      const signature = await key.sign(needed.toBeSigned);
      return needed.finish(fixedSignature(signature, coordinateBytes));
    }
    const secret = await element.agree('agree', needed.peerPublicKey);
    if (secret === undefined) throw refused('the element refused G_Y');
    return needed.finish(secret);
  }
}

const coordinateBytes = 32;

async function ownAgreeKey(
  { element, crypto }: HandshakePorts,
  form: AgreeForm,
): Promise<AgreeCredential> {
  const own = await readOwn(element, crypto);
  return form === 'kid' ? own : { ...own, idCred: kccsIdCred(own.cred) };
}

/** RFC 9528 §3.2. */
function methodOf({ showAs, server }: HandshakeOptions): Method {
  if (isAgreeForm(showAs)) return server === 'signs' ? 2 : rawLinkMethod;
  return server === 'signs' ? 0 : 1;
}

function header(label: number, value: Uint8Array): Uint8Array {
  return cbor.map([cbor.integer(label), value]);
}

/** RFC 9360 §2: one certificate stands alone. */
function chainItem(chain: readonly Uint8Array[]): Uint8Array {
  const [leaf, ...more] = chain;
  return leaf !== undefined && more.length === 0
    ? cbor.bytes(leaf)
    : cbor.array(...chain.map(cbor.bytes));
}

/** RFC 9528 §3.3.2: one byte that travels as one byte. */
function refused(reason: string): DeviceFault {
  return new HandshakeRefused(`no handshake: ${reason}`);
}
