/**
 * Endorsement: keys of elements go in, birth certificates come out. The same element with the same key
 * under the same ticket gets the same identity again and costs nothing; with another key it is refused.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Crypto, EphemeralKey } from '../../wire/crypto/crypto.ts';
import type { EndorseRequest, UnitAnswer, UnitRequest } from '../../wire/line/endorsement.ts';
import { completeCertificate } from '../../wire/x509/certificateWriter.ts';
import { drawnDeviceIds } from '../issuance/drawn.ts';
import type { Issuance, IssueRequest } from '../issuance/issuance.ts';
import type { Clock } from '../ports/clock.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { ProofVerifier } from '../ports/keys.ts';
import type { OrderRecord, OrderStore, TicketRecord, UnitRecord } from '../ports/orderStore.ts';
import type { StationRequest } from './request.ts';
import { type ProofRefusal, proveUnit, ProvenUnit, type ReadUnit, readUnit } from './unitProof.ts';

export interface EndorsementOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly verifier: ProofVerifier;
  readonly store: OrderStore;
  readonly issuance: Issuance;
  /** Asked for each request: whether elements of that kind are worth an identity no more. */
  readonly lostElements?: (() => Promise<LostElements>) | undefined;
}

export type LostElements = (family: string, firmware: string) => boolean;

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
      | 'family-lost'
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
    const outcomes = units.map((unit): Slot => ({ unit, outcome: undefined }));
    const known = await this.#known(request.order, units);
    const fresh: FreshUnit[] = [];
    const isLost = await this.#options.lostElements?.();
    for (const slot of outcomes) {
      const read = readUnit(this.#options.crypto, slot.unit);
      const record = known(slot.unit.uid);
      if (isRefusal(read)) slot.outcome = read;
      else if (isLost?.(request.order.family, slot.unit.firmware) === true) {
        slot.outcome = refuse('family-lost', 'Keys of such elements are lost: see the authority.');
      } else if (record === undefined) fresh.push({ slot, read });
      else slot.outcome = answerAgain(record, read, request.ticket);
    }
    await this.#endorseFresh(request, fresh, agreeKey);
    await this.#answerOvertaken(request, fresh);
    return outcomes.map(answerOf);
  }

  async #endorseFresh(
    { ticket, order }: StationRequest<EndorseRequest>,
    fresh: readonly FreshUnit[],
    agreeKey: EphemeralKey | undefined,
  ): Promise<void> {
    const { crypto, clock, verifier, issuance } = this.#options;
    const context = { crypto, verifier, ticket, agreeKey };
    const proofs = await Promise.all(fresh.map(({ read }) => proveUnit(context, read)));
    const proven: Array<{ readonly slot: Slot; readonly proof: ProvenUnit }> = [];
    for (const [index, { slot }] of fresh.entries()) {
      const proof = proofs[index];
      if (proof instanceof ProvenUnit) proven.push({ slot, proof });
      else slot.outcome = proof;
    }
    if (proven.length === 0) return;
    const deviceIds = drawnDeviceIds(crypto, clock.nowMs(), proven.length);
    const issued = await issuance.issue(
      proven.map(({ proof }, index) => birthRequest(proof, deviceIds(index), ticket, order)),
    );
    for (const [index, { slot }] of proven.entries()) {
      const outcome = issued[index];
      if (outcome === undefined) throw new InvariantError('a request without an outcome');
      if (isRefusal(outcome)) slot.outcome = issueRefusal(outcome);
      else {
        const { certificate, eui64, holder: deviceId } = outcome;
        slot.outcome = { uid: slot.unit.uid, deviceId, eui64, certificate };
      }
    }
  }

  /**
   * A retry may overtake the request that it repeats: the one that came second to T1 gets what the first
   * one made.
   */
  async #answerOvertaken(
    { order, ticket }: StationRequest<EndorseRequest>,
    fresh: readonly FreshUnit[],
  ): Promise<void> {
    const overtaken = fresh.filter(
      ({ slot: { outcome } }) => isRefusal(outcome) && outcome.refused === 'uid-taken',
    );
    if (overtaken.length === 0) return;
    const known = await this.#known(
      order,
      overtaken.map(({ slot }) => slot.unit),
    );
    for (const { slot, read } of overtaken) {
      const record = known(slot.unit.uid);
      if (record !== undefined) slot.outcome = answerAgain(record, read, ticket);
    }
  }

  /** Units of the request that have an identity already. */
  async #known(
    order: OrderRecord,
    units: readonly UnitRequest[],
  ): Promise<(uid: Uint8Array) => UnitRecord | undefined> {
    const { store, issuance } = this.#options;
    const records = await settledUnits(store, issuance, order.family, units);
    if (records.length === 0) return () => undefined;
    const byUid = new Map(records.map((record) => [toHex(record.uid), record]));
    return (uid) => byUid.get(toHex(uid));
  }
}

/** One unit of a request and what becomes of it. */
interface Slot {
  readonly unit: UnitRequest;
  outcome: Outcome | undefined;
}

interface FreshUnit {
  readonly slot: Slot;
  readonly read: ReadUnit;
}

function answerOf({ unit: { uid }, outcome }: Slot): UnitAnswer {
  if (outcome === undefined) throw new InvariantError('a unit without an answer');
  return isRefusal(outcome) ? { uid, code: outcome.refused, reason: outcome.reason } : outcome;
}

/** The proofs were made by a `ProvenUnit`; everything else comes from the order, nothing from the request's names. */
function birthRequest(
  { read, agreeKeyIdentifier }: ProvenUnit,
  deviceId: string,
  { ticketId, batch }: TicketRecord,
  { profile, hwType, family, product }: OrderRecord,
): IssueRequest {
  const { uid, model, firmware, proofLevel, agree } = read.unit;
  return {
    profile,
    use: { product, batch },
    content: {
      spki: read.request.publicKey.spki,
      keyIdentifier: read.keyIdentifier,
      name: deviceId,
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
  return completeCertificate(tbs, signature);
}

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
