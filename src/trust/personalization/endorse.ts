/**
 * Endorsement: keys of elements go in, birth certificates come out. The same element with the same key
 * under the same ticket gets the same identity again and costs nothing; with another key it is refused.
 */
import { toBase32 } from '../../wire/bytes/base32.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto, EphemeralKey } from '../../wire/crypto/crypto.ts';
import type { EndorseRequest, UnitAnswer, UnitRequest } from '../../wire/line/endorsement.ts';
import { encodeSignatureAlgorithm } from '../../wire/x509/algorithms.ts';
import { encodeCertificate } from '../../wire/x509/certificateWriter.ts';
import type { Issuance, IssueRequest } from '../issuance/issuance.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { OrderRecord, OrderStore, TicketRecord, UnitRecord } from '../ports/orderStore.ts';
import type { StationRequest } from './request.ts';
import {
  type ProofRefusal,
  proveUnit,
  type ProvenUnit,
  type ReadUnit,
  readUnit,
} from './unitProof.ts';

export interface EndorsementOptions {
  readonly crypto: Crypto;
  readonly verifier: ProofVerifier;
  readonly store: OrderStore;
  readonly issuance: Issuance;
}

export type UnitRefusal =
  | ProofRefusal
  | Refusal<
      | 'uid-taken'
      | 'key-taken'
      | 'scrapped'
      | 'in-progress'
      | 'quota-exhausted'
      | 'ticket-closed'
      | 'no-eui64-left'
      | 'lint'
      | 'try-again'
    >;

type Outcome = UnitAnswer | UnitRefusal;

export class Endorsement {
  readonly #options: EndorsementOptions;

  constructor(options: EndorsementOptions) {
    this.#options = options;
  }

  /** Answers in the order of the request. The ticket has been found open and in its period. */
  async endorse(
    request: StationRequest<EndorseRequest>,
    agreeKey: EphemeralKey | undefined,
  ): Promise<readonly UnitAnswer[]> {
    const { units } = request.content;
    const read = units.map((unit) => readUnit(this.#options.crypto, unit));
    const known = await this.#known(request.order, units);
    const outcomes = new Map<string, Outcome>();
    const fresh: ReadUnit[] = [];
    const again = (record: UnitRecord, readOne: ReadUnit): Outcome =>
      answerAgain(record, readOne, request.ticket);
    for (const [index, unit] of units.entries()) {
      const readOne = read[index] ?? refuse('bad-csr', 'unread');
      const id = toHex(unit.uid);
      const record = known.get(id);
      if (isRefusal(readOne)) outcomes.set(id, readOne);
      else if (record === undefined) fresh.push(readOne);
      else outcomes.set(id, again(record, readOne));
    }
    for (const [id, outcome] of await this.#endorseFresh(request, fresh, agreeKey)) {
      outcomes.set(id, outcome);
    }
    await this.#answerOvertaken(request.order, fresh, outcomes, again);
    return units.map(({ uid }) => {
      const outcome = outcomes.get(toHex(uid));
      if (outcome === undefined) throw new InvariantError('a unit without an answer');
      return isRefusal(outcome) ? { uid, code: outcome.refused, reason: outcome.reason } : outcome;
    });
  }

  /**
   * A retry may overtake the request that it repeats: the one that came second to T1 gets what the first
   * one made.
   */
  async #answerOvertaken(
    order: OrderRecord,
    fresh: readonly ReadUnit[],
    outcomes: Map<string, Outcome>,
    again: (record: UnitRecord, read: ReadUnit) => Outcome,
  ): Promise<void> {
    const overtaken = fresh.filter(({ unit }) => {
      const outcome = outcomes.get(toHex(unit.uid));
      return isRefusal(outcome) && outcome.refused === 'uid-taken';
    });
    if (overtaken.length === 0) return;
    const units = overtaken.map(({ unit }) => unit);
    const known = await this.#known(order, units);
    for (const read of overtaken) {
      const id = toHex(read.unit.uid);
      const record = known.get(id);
      if (record !== undefined) outcomes.set(id, again(record, read));
    }
  }

  /** Units of the request that have an identity already, by uid. */
  async #known(
    order: OrderRecord,
    units: readonly UnitRequest[],
  ): Promise<ReadonlyMap<string, UnitRecord>> {
    const { store, issuance } = this.#options;
    const records = await settledUnits(store, issuance, order.family, units);
    return new Map(records.map((record) => [toHex(record.uid), record]));
  }

  async #endorseFresh(
    request: StationRequest<EndorseRequest>,
    fresh: readonly ReadUnit[],
    agreeKey: EphemeralKey | undefined,
  ): Promise<ReadonlyMap<string, Outcome>> {
    const { crypto, verifier, issuance } = this.#options;
    const { ticket, order } = request;
    const outcomes = new Map<string, Outcome>();
    const context = { crypto, verifier, ticket, agreeKey };
    const proofs = await Promise.all(fresh.map((unit) => proveUnit(context, unit)));
    const proven: ProvenUnit[] = [];
    for (const [index, proof] of proofs.entries()) {
      if (!isRefusal(proof)) proven.push(proof);
      else outcomes.set(toHex(fresh[index]?.unit.uid ?? new Uint8Array(0)), proof);
    }
    if (proven.length === 0) return outcomes;
    const issued = await issuance.issue(
      proven.map((unit) => birthRequest(crypto, unit, ticket, order)),
    );
    for (const [index, outcome] of issued.entries()) {
      const uid = proven[index]?.read.unit.uid ?? new Uint8Array(0);
      if (isRefusal(outcome)) outcomes.set(toHex(uid), issueRefusal(outcome));
      else {
        const { certificate, eui64, holder } = outcome;
        outcomes.set(toHex(uid), { uid, deviceId: holder, eui64, certificate });
      }
    }
    return outcomes;
  }
}

/** The proofs were made by a `ProvenUnit`; everything else comes from the order, nothing from the request's names. */
function birthRequest(
  crypto: Crypto,
  { read, agreeKeyIdentifier }: ProvenUnit,
  { ticketId }: TicketRecord,
  { profile, hwType, family }: OrderRecord,
): IssueRequest {
  const { uid, model, firmware, proofLevel, agree } = read.unit;
  return {
    profile,
    content: {
      spki: read.request.publicKey.spki,
      name: toBase32(crypto.random(10)),
      hardware: { hwType, hwSerialNum: uid },
    },
    unit: {
      ticketId,
      family,
      uid,
      model,
      firmware,
      proofLevel,
      agreeKey:
        agree === undefined || agreeKeyIdentifier === undefined
          ? undefined
          : { point: agree.publicKey, keyIdentifier: agreeKeyIdentifier },
    },
  };
}

/**
 * The records of units with their certificates: what another call is making is waited for, and what a
 * lost key or store left between T1 and T2 is finished first.
 */
export async function settledUnits(
  store: OrderStore,
  issuance: Issuance,
  family: string,
  units: ReadonlyArray<{ readonly uid: Uint8Array }>,
): Promise<readonly UnitRecord[]> {
  const uids = units.map(({ uid }) => uid);
  const read = (): Promise<readonly UnitRecord[]> => store.units(family, uids);
  const records = await read();
  const unfinished = records.filter(({ signature }) => signature === undefined);
  if (unfinished.length === 0) return records;
  await Promise.all(unfinished.map(({ serialNumber }) => issuance.settled(serialNumber)));
  await issuance.recover();
  return read();
}

/** A retry gets what it got, or would have got, the first time; anything else under that uid is refused. */
function answerAgain(record: UnitRecord, read: ReadUnit, ticket: TicketRecord): Outcome {
  if (!equal(record.ticketId, ticket.ticketId)) {
    return refuse('uid-taken', 'This element has an identity of another ticket.');
  }
  const agreeKey = read.unit.agree?.publicKey;
  const sameAgreeKey =
    agreeKey === undefined || record.agreeKey === undefined
      ? agreeKey === record.agreeKey
      : equal(agreeKey, record.agreeKey);
  if (!equal(record.keyIdentifier, read.keyIdentifier) || !sameAgreeKey) {
    return refuse('uid-taken', 'This element has an identity with other keys.');
  }
  if (record.state === 'scrapped') return refuse('scrapped', 'This unit was scrapped.');
  if (record.signature === undefined) {
    return refuse('in-progress', 'The identity is being made; ask again.');
  }
  return {
    uid: record.uid,
    deviceId: record.deviceId,
    eui64: record.eui64,
    certificate: certificateOf(record.tbs, record.signature),
  };
}

/** Units have certificates of P-256 authorities only. */
export function certificateOf(tbs: Uint8Array, signature: Uint8Array): Uint8Array {
  return encodeCertificate(tbs, ecdsaWithSha256, signature);
}

const ecdsaWithSha256 = encodeSignatureAlgorithm('ecdsa-with-SHA256');

function issueRefusal(refusal: Refusal<string>): UnitRefusal {
  const { refused, reason } = refusal;
  switch (refused) {
    case 'uid-taken':
    case 'key-taken':
    case 'quota-exhausted':
    case 'ticket-closed':
    case 'no-eui64-left':
    case 'lint':
      return refuse(refused, reason);
    case 'device-id-taken':
      return refuse('try-again', reason);
    default:
      throw new InvariantError(`a birth certificate was refused: ${reason}`);
  }
}
