/**
 * The device's part in attestation (draft-ietf-lake-ra, background-check model): what it can give in EAD_1,
 * what it is asked in EAD_2, the evidence in EAD_3, bound to this handshake and to us.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  type AttestationCodePoints,
  type AttestationRequest,
  attestationItem,
  binderOfMessage3,
  encodeProposal,
  parseRequest,
} from '../../wire/edhoc/attestation.ts';
import type { EadItem } from '../../wire/edhoc/ead.ts';
import type { ResponderVerified } from '../../wire/edhoc/initiator.ts';
import { suiteOf } from '../../wire/edhoc/suites.ts';
import { rawLinkSuite } from '../../wire/relay/rawLink.ts';
import type { Attester } from '../ports/attester.ts';

export class Attesting {
  readonly #crypto: Crypto;
  readonly #attester: Attester | undefined;
  readonly #codePoints: AttestationCodePoints;

  constructor(crypto: Crypto, attester: Attester | undefined, codePoints: AttestationCodePoints) {
    this.#crypto = crypto;
    this.#attester = attester;
    this.#codePoints = codePoints;
  }

  get ead1(): readonly EadItem[] {
    if (this.#attester === undefined) return [];
    return [attestationItem(this.#codePoints, encodeProposal(this.#attester.contentFormats))];
  }

  /** Labels that are processed in EAD_2. */
  get labels(): readonly number[] {
    return this.#attester === undefined ? [] : [this.#codePoints.backgroundCheckLabel];
  }

  /**
   * Nothing where nothing was asked; `undefined` for a request that cannot be met, which ends the handshake.
   * EAD_2 is authentic here: nobody else gets evidence of us.
   */
  async ead3(
    verified: Pick<ResponderVerified, 'ead2' | 'h12'>,
    idCredI: Uint8Array,
  ): Promise<readonly EadItem[] | undefined> {
    const { ead2, h12 } = verified;
    const asked = ead2.filter(({ label }) => this.labels.includes(label));
    if (this.#attester === undefined || asked.length === 0) return [];
    const request = asked.length === 1 ? requestIn(asked[0]) : undefined;
    if (request === undefined) return undefined;
    if (!this.#attester.contentFormats.includes(request.contentFormat)) return undefined;
    const algorithms = { crypto: this.#crypto, suite: suiteOf(rawLinkSuite) };
    const binder = binderOfMessage3(algorithms, h12, idCredI);
    const evidence = await this.#attester.evidence(request, binder);
    return [attestationItem(this.#codePoints, evidence)];
  }
}

function requestIn(item: EadItem | undefined): AttestationRequest | undefined {
  if (item?.value === undefined) return undefined;
  try {
    return parseRequest(item.value);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
