/**
 * Remote attestation in a handshake (draft-ietf-lake-ra, background-check model): the device offers evidence
 * in EAD_1, is asked for it with a nonce in EAD_2, and gives it in EAD_3. What the verifier says of it is part
 * of the decision whether there is a session.
 */
import {
  type AttestationCodePoints,
  attestationItem,
  binderOfMessage3,
  encodeRequest,
  parseProposal,
  privateAttestation,
} from '../../wire/edhoc/attestation.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { suiteOf } from '../../wire/edhoc/suites.ts';
import { rawLinkSuite } from '../../wire/relay/rawLink.ts';
import type { AttestationVerifier, EvidenceRefusal } from '../ports/attestation.ts';
import { isRefusal } from '../ports/faults.ts';

export interface AttestationPolicy {
  /** Whoever offers evidence has to give it, and it has to be good. */
  readonly verifier: AttestationVerifier;
  /**
   * Where this device gets no session without: a name of what counts as good, another one whenever that
   * changes. A session that is resumed rests on evidence that was good under the same name.
   */
  readonly demandOf: (deviceId: string) => Promise<string | undefined>;
  /** Default: `privateAttestation`. */
  readonly codePoints?: AttestationCodePoints;
}

/** What goes into EAD_2, and what to remember of it: no bytes where nothing was asked. */
export interface Question {
  readonly items: readonly EadItem[];
  readonly nonce: Uint8Array;
}

export interface Answer {
  readonly deviceId: string;
  readonly h12: Uint8Array;
  readonly idCredI: Uint8Array;
  readonly ead3: readonly EadItem[];
  /** Of the question. */
  readonly nonce: Uint8Array;
}

/** Where nothing is asked. */
export const noQuestion: Question = { items: [], nonce: new Uint8Array(0) };

export class Attestations {
  readonly #crypto: Crypto;
  readonly #policy: AttestationPolicy | undefined;
  readonly #codePoints: AttestationCodePoints;

  /** Without a policy nothing is asked, and what is offered is not looked at. */
  constructor(crypto: Crypto, policy: AttestationPolicy | undefined) {
    this.#crypto = crypto;
    this.#policy = policy;
    this.#codePoints = policy?.codePoints ?? privateAttestation;
  }

  async demandOf(deviceId: string): Promise<string | undefined> {
    return this.#policy?.demandOf(deviceId);
  }

  /** Labels that are processed in EAD_1 and EAD_3. */
  get labels(): readonly number[] {
    return this.#policy === undefined ? [] : [this.#codePoints.backgroundCheckLabel];
  }

  /** Of whom, is not known yet. */
  async ask(ead1: readonly EadItem[]): Promise<Question> {
    if (this.#policy === undefined) return noQuestion;
    const { verifier } = this.#policy;
    const offered = this.#offerIn(ead1);
    const contentFormat = verifier.contentFormats.find((format) => offered.includes(format));
    if (contentFormat === undefined) return noQuestion;
    const nonce = await verifier.nonce();
    const value = encodeRequest({ contentFormat, nonce });
    // Critical: a device that offered it and cannot give it now ends the handshake by itself.
    return { items: [attestationItem(this.#codePoints, value, true)], nonce };
  }

  /** `undefined` when there may be a session. EDHOC has authenticated the device before. */
  async judge(answer: Answer): Promise<undefined | EvidenceRefusal | 'missing'> {
    const { deviceId, ead3, nonce } = answer;
    const [item, ...more] = ead3.filter(({ label }) => this.labels.includes(label));
    if (this.#policy === undefined || nonce.length === 0) {
      // RFC 9528 §3.8: a critical item is processed or ends the handshake; nobody has asked for this one.
      if (item?.critical === true) return 'malformed';
      return (await this.demandOf(deviceId)) === undefined ? undefined : 'missing';
    }
    if (item?.value === undefined || more.length > 0) return 'missing';
    const algorithms = { crypto: this.#crypto, suite: suiteOf(rawLinkSuite) };
    const binder = binderOfMessage3(algorithms, answer.h12, answer.idCredI);
    const presented = { deviceId, evidence: item.value, binder, nonce };
    const refusal = await this.#policy.verifier.appraise(presented);
    return isRefusal(refusal) ? refusal.refused : undefined;
  }

  #offerIn(ead1: readonly EadItem[]): readonly number[] {
    const item = ead1.find(({ label }) => this.labels.includes(label));
    if (item?.value === undefined) return [];
    try {
      return parseProposal(item.value);
    } catch (error) {
      if (error instanceof MalformedError) return [];
      throw error;
    }
  }
}
