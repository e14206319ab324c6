/** Makes the keys of a unit inside its element and the request that proves both. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { sequence } from '../../wire/der/writer.ts';
import { agreeProof } from '../../wire/line/agreeProof.ts';
import type { UnitRequest } from '../../wire/line/endorsement.ts';
import type { OpenAnswer } from '../../wire/line/opening.ts';
import { prepareCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import { type Element, ElementError } from '../ports/element.ts';
import type { SignatureVerifier } from '../ports/keys.ts';
import type { UnitKeys } from '../ports/stationJournal.ts';

/** Rejects with an `ElementError`. A family that cannot agree has no agree key. */
export async function makeKeys(element: Element): Promise<UnitKeys> {
  const sign = await element.generateKey('sign');
  try {
    return { sign, agree: await element.generateKey('agree') };
  } catch (error) {
    if (error instanceof ElementError && error.code === 'not-offered') {
      return { sign, agree: undefined };
    }
    throw error;
  }
}

export interface ProofContext {
  readonly crypto: Crypto;
  readonly verifier: SignatureVerifier;
  readonly opening: OpenAnswer;
}

/** Rejects with an `ElementError`; what it returns is a request that the authority can read. */
export async function proveKeys(
  element: Element,
  keys: UnitKeys,
  { crypto, verifier, opening }: ProofContext,
): Promise<UnitRequest> {
  const { uid, model, firmware } = element.identity;
  const spki = spkiOf(keys.sign);
  const request = prepareCertificationRequest({ subject: noName, spki });
  const signature = await element.sign('sign', request.toBeSigned);
  if (!verifier.verify(spki, ecdsaWithSha256, request.toBeSigned, signature)) {
    throw new ElementError('damaged', 'its signature does not verify with its own key');
  }
  const csr = request.finish('ecdsa-with-SHA256', signature);
  return {
    uid,
    model,
    firmware,
    csr,
    agree: keys.agree && (await proveAgreement(element, keys.agree, csr, crypto, opening)),
    // The station drove the element that made the key, and vouches for no more.
    proofLevel: 'line-anchored',
    evidence: undefined,
  };
}

async function proveAgreement(
  element: Element,
  publicKey: Uint8Array,
  csr: Uint8Array,
  crypto: Crypto,
  { agreeKey, ticketId }: OpenAnswer,
): Promise<NonNullable<UnitRequest['agree']>> {
  const sharedSecret = await element.agree('agree', agreeKey);
  if (sharedSecret === undefined) {
    // The authority's key passed the host's check when the ticket was opened.
    throw new ElementError('damaged', 'it takes a point of the curve for none');
  }
  const input = { sharedSecret, ticketId, authorityKey: agreeKey, agreeKey: publicKey, csr };
  return { publicKey, proof: agreeProof(crypto, input) };
}

const ecdsaWithSha256 = signatureAlgorithmOids['ecdsa-with-SHA256'];

/** The authority takes key and proof from a request, never a name. */
const noName = sequence();

function spkiOf(point: Uint8Array): Uint8Array {
  if (point.length !== 65 || point[0] !== 4) {
    throw new ElementError('damaged', 'its public key is no uncompressed point');
  }
  return p256Spki(point);
}
