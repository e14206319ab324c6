/** What a unit has to prove before it gets an identity: possession of both keys, and where they live. */
import { equal, equalConstantTime } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, EphemeralKey } from '../../wire/crypto/crypto.ts';
import { agreeProof } from '../../wire/line/agreeProof.ts';
import type { UnitRequest } from '../../wire/line/endorsement.ts';
import { proofLevels } from '../../wire/line/ticket.ts';
import { signatureAlgorithmOids } from '../../wire/x509/algorithms.ts';
import {
  type CertificationRequest,
  parseCertificationRequest,
} from '../../wire/x509/certificationRequest.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { identifierOfBits } from '../issuance/issuer.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { TicketRecord } from '../ports/orderStore.ts';

export type ProofRefusal = Refusal<
  | 'bad-csr'
  | 'bad-proof'
  | 'bad-agree-proof'
  | 'ticket-not-opened'
  | 'one-key-twice'
  | 'proof-too-weak'
  | 'evidence-not-verified'
>;

/** A readable request; nothing of it is proven yet. */
export interface ReadUnit {
  readonly unit: UnitRequest;
  readonly request: CertificationRequest;
  /** First 160 bits of SHA-256 over the key's bits. */
  readonly keyIdentifier: Uint8Array;
}

/** A unit whose keys are proven. Made by `proveUnit` alone. */
export class ProvenUnit {
  readonly read: ReadUnit;
  readonly agreeKeyIdentifier: Uint8Array | undefined;

  constructor(token: typeof proven, read: ReadUnit, agreeKeyIdentifier: Uint8Array | undefined) {
    if (token !== proven) throw new TypeError('only proveUnit makes a ProvenUnit');
    this.read = read;
    this.agreeKeyIdentifier = agreeKeyIdentifier;
  }
}

const proven: unique symbol = Symbol('keys proven');

export interface ProofContext {
  readonly crypto: Crypto;
  readonly verifier: ProofVerifier;
  readonly ticket: TicketRecord;
  /** Private half of the key that agree proofs are made towards. */
  readonly agreeKey: EphemeralKey | undefined;
}

/** Reads the request of a unit: an uncompressed P-256 key, signed with ECDSA and SHA-256. */
export function readUnit(crypto: Crypto, unit: UnitRequest): ReadUnit | ProofRefusal {
  try {
    const request = parseCertificationRequest(unit.csr);
    p256Point(request.publicKey.spki);
    if (request.signatureAlgorithm.oid !== ecdsaWithSha256) {
      return refuse('bad-csr', 'The request is not signed with ECDSA and SHA-256.');
    }
    return { unit, request, keyIdentifier: identifierOfBits(crypto, request.publicKey.key) };
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return refuse('bad-csr', error.message);
  }
}

export async function proveUnit(
  context: ProofContext,
  read: ReadUnit,
): Promise<ProvenUnit | ProofRefusal> {
  const { crypto, verifier, ticket } = context;
  const { unit, request } = read;
  const weak = refusedByLevel(unit, ticket);
  if (weak !== undefined) return weak;
  const possession = verifier.verifyInPool(
    request.publicKey.spki,
    request.signatureAlgorithm.oid,
    request.info,
    request.signature,
  );
  const agreement = unit.agree === undefined ? undefined : proveAgreement(context, read);
  if (!(await possession)) {
    return refuse('bad-proof', 'The signature of the request is not made by its key.');
  }
  if (isRefusal(agreement)) return agreement;
  const agreeKeyIdentifier =
    unit.agree === undefined ? undefined : identifierOfBits(crypto, unit.agree.publicKey);
  return new ProvenUnit(proven, read, agreeKeyIdentifier);
}

const ecdsaWithSha256 = signatureAlgorithmOids['ecdsa-with-SHA256'];

function refusedByLevel(unit: UnitRequest, ticket: TicketRecord): ProofRefusal | undefined {
  if (proofLevels.indexOf(unit.proofLevel) < proofLevels.indexOf(ticket.leastProof)) {
    return refuse(
      'proof-too-weak',
      `The ticket asks for ${ticket.leastProof} keys, the station claims ${unit.proofLevel}.`,
    );
  }
  // A claim of the element's maker counts only when somebody here can check the maker's signature.
  if (unit.proofLevel === 'vendor-anchored') {
    return refuse('evidence-not-verified', 'No verifier for the evidence of this family.');
  }
  return undefined;
}

/** After RFC 6955 §4: only who holds the private half could have computed the proof's key. */
function proveAgreement(
  context: ProofContext,
  { unit, request }: ReadUnit,
): ProofRefusal | undefined {
  const { crypto, ticket, agreeKey } = context;
  const { agree, csr } = unit;
  if (agree === undefined) return undefined;
  if (agreeKey === undefined || ticket.agreeKey === undefined) {
    return refuse('ticket-not-opened', 'Agree proofs need an opened ticket.');
  }
  if (equal(agree.publicKey, request.publicKey.key)) {
    return refuse('one-key-twice', 'The sign key and the agree key are the same.');
  }
  const publicKey = crypto.importPublicKey('P-256', agree.publicKey);
  const sharedSecret = publicKey && crypto.agree(agreeKey, publicKey);
  if (sharedSecret === undefined) {
    return refuse('bad-agree-proof', 'The agree key is no point on P-256.');
  }
  const expected = agreeProof(crypto, {
    sharedSecret,
    ticketId: ticket.ticketId,
    authorityKey: ticket.agreeKey.publicKey,
    agreeKey: agree.publicKey,
    csr,
  });
  return equalConstantTime(expected, agree.proof)
    ? undefined
    : refuse('bad-agree-proof', 'The proof of the agree key is wrong.');
}
