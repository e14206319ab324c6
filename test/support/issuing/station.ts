/** A station and its elements for tests of the authority: right messages, and wrong ones on demand. */
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import type { LineService } from '../../../src/trust/personalization/lineService.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import type { EphemeralKey, PublicKey } from '../../../src/wire/crypto/crypto.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { sequence } from '../../../src/wire/der/writer.ts';
import { agreeProof } from '../../../src/wire/line/agreeProof.ts';
import {
  encodeEndorseRequest,
  type EndorseAnswer,
  readEndorseAnswer,
  type UnitAnswer,
  type UnitRequest,
} from '../../../src/wire/line/endorsement.ts';
import { messageTypeOf } from '../../../src/wire/line/fields.ts';
import {
  encodeOpenRequest,
  type OpenAnswer,
  readOpenAnswer,
} from '../../../src/wire/line/opening.ts';
import * as reporting from '../../../src/wire/line/reporting.ts';
import {
  bindingTo,
  isSignedBy,
  parseSigned,
  prepareSigned,
} from '../../../src/wire/line/signed.ts';
import { prepareCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import { p256Point } from '../../../src/wire/x509/spki.ts';
import { testSigner, type TestSigner } from './world.ts';

export type Step = 'open' | 'endorse' | 'report' | 'close';

export interface TestElement {
  readonly uid: Uint8Array;
  readonly sign: TestSigner;
  readonly agree: EphemeralKey;
}

export function testElement(uid: string): TestElement {
  return { uid: utf8(uid), sign: testSigner(), agree: nodeCrypto.generateKeyPair('P-256') };
}

export class TestStation {
  readonly signer: TestSigner = testSigner();
  readonly #line: Pick<LineService, 'answer'>;
  readonly #orderKey: PublicKey;
  readonly #ticket: Uint8Array;

  constructor(
    line: Pick<LineService, 'answer'>,
    orderKey: Pick<Signer, 'publicKeySpki'>,
    ticket: Uint8Array,
    signer?: TestSigner,
  ) {
    this.#line = line;
    const key = nodeCrypto.importPublicKey('P-256', p256Point(orderKey.publicKeySpki));
    if (key === undefined) throw new Error('no order key');
    this.#orderKey = key;
    this.#ticket = ticket;
    this.signer = signer ?? this.signer;
  }

  /** The answer's payload, or the refusal in its place; throws when the authority did not sign it. */
  async ask(step: Step, payload: Uint8Array, signer: Signer = this.signer): Promise<Uint8Array> {
    return this.send(step, await signed(signer, payload));
  }

  async send(step: Step, request: Uint8Array): Promise<Uint8Array> {
    const answer = parseSigned(await this.#line.answer(step, request));
    if (!isSignedBy(nodeCrypto, this.#orderKey, answer, bindingTo(nodeCrypto, request))) {
      throw new Error('the answer is not signed by the order key');
    }
    return answer.payload;
  }

  async open(): Promise<OpenAnswer> {
    return readOpenAnswer(await this.ask('open', this.openRequest()));
  }

  openRequest(): Uint8Array {
    return encodeOpenRequest({ ticket: this.#ticket, nonce: nodeCrypto.random(16) });
  }

  async endorse(units: readonly UnitRequest[]): Promise<readonly UnitAnswer[]> {
    return (await this.endorseWhole(units)).units;
  }

  /** With the certificates above those of the units. */
  async endorseWhole(units: readonly UnitRequest[]): Promise<EndorseAnswer> {
    return readEndorseAnswer(await this.ask('endorse', this.endorseRequest(units)));
  }

  endorseRequest(units: readonly UnitRequest[]): Uint8Array {
    return encodeEndorseRequest({ ticket: this.#ticket, units });
  }

  async report(
    units: ReadonlyArray<readonly [element: TestElement, outcome: reporting.UnitOutcome]>,
  ): Promise<ReadonlyArray<string | undefined>> {
    const payload = reporting.encodeReport({
      ticket: this.#ticket,
      units: units.map(([{ uid }, outcome]) => ({ uid, outcome, reason: `it is ${outcome}` })),
    });
    const answer = reporting.readReportAnswer(await this.ask('report', payload));
    return answer.refusals.map((refusal) => refusal?.code);
  }

  /** The counts, or the code of the refusal. */
  async close(counts: reporting.TicketCounts): Promise<reporting.CloseAnswer | string> {
    const payload = reporting.encodeCloseRequest({ ticket: this.#ticket, counts });
    const answer = await this.ask('close', payload);
    return messageTypeOf(answer) === 'refusal'
      ? reporting.readRefusal(answer).code
      : reporting.readCloseAnswer(answer);
  }
}

export async function signed(signer: Signer, payload: Uint8Array): Promise<Uint8Array> {
  const unsigned = prepareSigned(payload);
  return unsigned.finish(fixedSignature(await signer.sign(unsigned.toBeSigned), 32));
}

/** With both keys proven, unless the opening is missing: then without an agree key. */
export async function unitRequest(
  element: TestElement,
  opening?: OpenAnswer,
): Promise<UnitRequest> {
  const csr = await requestOf(element.sign);
  return {
    uid: element.uid,
    model: 'SW-1',
    firmware: '1.0',
    csr,
    agree: opening && { publicKey: pointOf(element), proof: proofOf(element, opening, csr) },
    proofLevel: 'line-anchored',
    evidence: undefined,
  };
}

/** `claimed` is the key in the request when it is not the signer's own. */
export async function requestOf(
  signer: Signer,
  claimed: Uint8Array = signer.publicKeySpki,
): Promise<Uint8Array> {
  const request = prepareCertificationRequest({ subject: sequence(), spki: claimed });
  return request.finish('ecdsa-with-SHA256', await signer.sign(request.toBeSigned));
}

export function pointOf({ agree }: TestElement): Uint8Array {
  return nodeCrypto.publicPoint(agree);
}

function proofOf(element: TestElement, opening: OpenAnswer, csr: Uint8Array): Uint8Array {
  const peer = nodeCrypto.importPublicKey('P-256', opening.agreeKey);
  const sharedSecret = peer && nodeCrypto.agree(element.agree, peer);
  if (sharedSecret === undefined) throw new Error('no agreement');
  return agreeProof(nodeCrypto, {
    sharedSecret,
    ticketId: opening.ticketId,
    authorityKey: opening.agreeKey,
    agreeKey: pointOf(element),
    csr,
  });
}
