/**
 * The authority's half of the line: open, endorse, report, close. Bytes in, signed bytes out; every
 * request gets an answer that the order key signed over exactly that request, refusals included, so that
 * no relay can answer in its place.
 */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import {
  encodeEndorseAnswer,
  isEndorsed,
  readEndorseRequest,
} from '../../wire/line/endorsement.ts';
import { encodeOpenAnswer, readOpenRequest } from '../../wire/line/opening.ts';
import * as reporting from '../../wire/line/reporting.ts';
import { bindingTo, prepareSigned } from '../../wire/line/signed.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { Issuance } from '../issuance/issuance.ts';
import type { Birth } from '../issuance/issuer.ts';
import type { Clock } from '../ports/clock.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { ProofVerifier, SealingKey, Signer } from '../ports/keys.ts';
import type { LineStep } from '../ports/lineTransport.ts';
import type { OrderStore, TicketRecord } from '../ports/orderStore.ts';
import { Endorsement, type EndorsementOptions } from './endorse.ts';
import { takeReport } from './report.ts';
import { agreeKeyContext, Authenticator, refusedByTicket } from './request.ts';

export interface LineServiceOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly store: OrderStore;
  readonly issuance: Issuance;
  readonly verifier: ProofVerifier;
  /** Signs tickets and answers. */
  readonly orderKey: Signer;
  /** Keeps the private halves of ticket keys. */
  readonly sealingKey: SealingKey;
  /** DER certificates that elements pin for servers. */
  readonly anchors: readonly Uint8Array[];
  /** DER certificates of the authority of such births and those above it, without the root. */
  readonly chain: (birth: Birth) => readonly Uint8Array[];
  readonly lostElements?: EndorsementOptions['lostElements'];
  /** Hears of everything that was refused, requests and single units. */
  readonly onRefusal?: (refusal: LineRefusal) => void;
}

export interface LineRefusal {
  readonly step: LineStep;
  readonly code: string;
  readonly reason: string;
  /** Known once the request was found to be its station's. */
  readonly ticketId: Uint8Array | undefined;
  readonly uid: Uint8Array | undefined;
}

/** The payload of an answer, or why there is none. */
type Payload = Uint8Array | Refusal<string>;

export class LineService {
  readonly #options: LineServiceOptions;
  readonly #authenticator: Authenticator;
  readonly #endorsement: Endorsement;

  constructor(options: LineServiceOptions) {
    const { crypto, clock, store, orderKey, sealingKey, verifier, issuance } = options;
    const { lostElements } = options;
    const publicKey = crypto.importPublicKey('P-256', p256Point(orderKey.publicKeySpki));
    if (publicKey === undefined) throw new InvariantError('the order key is off its curve');
    this.#options = options;
    this.#authenticator = new Authenticator({ crypto, store, orderKey: publicKey, sealingKey });
    this.#endorsement = new Endorsement({
      crypto,
      clock,
      verifier,
      store,
      issuance,
      lostElements,
    });
  }

  /** The signed answer. Rejects with an `EnvironmentError` when store or keys fail. */
  async answer(step: LineStep, request: Uint8Array): Promise<Uint8Array> {
    const { crypto, orderKey } = this.#options;
    const payload = await this.#payload(step, request);
    if (isRefusal(payload)) {
      const { refused: code, reason } = payload;
      this.#options.onRefusal?.({ step, code, reason, ticketId: undefined, uid: undefined });
    }
    const unsigned = prepareSigned(
      isRefusal(payload)
        ? reporting.encodeRefusal({ code: payload.refused, reason: payload.reason })
        : payload,
      bindingTo(crypto, request),
    );
    const signature = await orderKey.sign(unsigned.toBeSigned);
    return unsigned.finish(fixedSignature(signature, 32));
  }

  #payload(step: LineStep, request: Uint8Array): Promise<Payload> {
    switch (step) {
      case 'open':
        return this.#open(request);
      case 'endorse':
        return this.#endorse(request);
      case 'report':
        return this.#report(request);
      case 'close':
        return this.#close(request);
    }
  }

  async #open(message: Uint8Array): Promise<Payload> {
    const { clock, store, anchors } = this.#options;
    const request = await this.#authenticator.authenticate(message, readOpenRequest);
    if (isRefusal(request)) return request;
    const nowMs = clock.nowMs();
    const refused = refusedByTicket(request.ticket, nowMs);
    if (refused !== undefined) return refused;
    const { ticketId } = request.ticket;
    const ticket = request.ticket.agreeKey
      ? request.ticket
      : await store.openTicket(ticketId, this.#newAgreeKey(ticketId));
    if (ticket?.agreeKey === undefined) return refuse('ticket-closed', 'The ticket is closed.');
    const { eui64First, quantity, serverIdentity } = request.order;
    return encodeOpenAnswer({
      ticketId,
      agreeKey: ticket.agreeKey.publicKey,
      anchors,
      serverIdentity,
      eui64Range: { first: eui64First, count: quantity },
      endorsed: ticket.taken,
      nowS: Math.floor(nowMs / 1000),
    });
  }

  async #endorse(message: Uint8Array): Promise<Payload> {
    const request = await this.#authenticator.authenticate(message, readEndorseRequest);
    if (isRefusal(request)) return request;
    const { ticket, order } = request;
    const refused = refusedByTicket(ticket, this.#options.clock.nowMs());
    if (refused !== undefined) return refused;
    const agreeKey = this.#authenticator.agreeKey(ticket);
    const units = await this.#endorsement.endorse(request, agreeKey);
    for (const unit of units) {
      if (isEndorsed(unit)) continue;
      const { code, reason, uid } = unit;
      this.#options.onRefusal?.({ step: 'endorse', code, reason, ticketId: ticket.ticketId, uid });
    }
    const { product, profile } = order;
    const chain = this.#options.chain({ profile, product, batch: ticket.batch });
    return encodeEndorseAnswer({ units, chain });
  }

  async #report(message: Uint8Array): Promise<Payload> {
    const { store, issuance, clock } = this.#options;
    const request = await this.#authenticator.authenticate(message, reporting.readReport);
    if (isRefusal(request)) return request;
    // Not bound to the period: what was made must be accounted for, however late.
    const answer = await takeReport({ store, issuance, clock }, request);
    return reporting.encodeReportAnswer(answer);
  }

  async #close(message: Uint8Array): Promise<Payload> {
    const { store, clock } = this.#options;
    const request = await this.#authenticator.authenticate(message, reporting.readCloseRequest);
    if (isRefusal(request)) return request;
    const { ticketId, count } = request.ticket;
    const { issued, released, scrapped, returned } = request.content.counts;
    const atMs = clock.nowMs();
    const outcome = await store.closeTicket({
      ticketId,
      counts: request.content.counts,
      atMs,
      entry: encodeAuditEntry({
        kind: 'ticket-closed',
        atMs,
        ticketId,
        counts: [issued, released, scrapped, returned],
      }),
    });
    if (!outcome.closed) return differenceOf(request.content.counts, outcome.counts);
    return reporting.encodeCloseAnswer({
      counts: outcome.counts,
      void: count - outcome.counts.issued,
    });
  }

  #newAgreeKey(ticketId: Uint8Array): NonNullable<TicketRecord['agreeKey']> {
    const { crypto, sealingKey } = this.#options;
    const key = crypto.generateKeyPair('P-256');
    const scalar = crypto.exportEphemeral(key);
    return {
      sealedPrivateKey: sealingKey.seal(scalar, agreeKeyContext(ticketId)),
      publicKey: crypto.publicPoint(key),
    };
  }
}

/** Names what does not add up, so that a person knows which units to look for. */
function differenceOf(
  station: reporting.TicketCounts,
  authority: reporting.TicketCounts,
): Refusal<'counts-differ' | 'not-accounted-for'> {
  const { issued, released, scrapped, returned } = authority;
  const missing = issued - released - scrapped - returned;
  if (missing !== 0) {
    return refuse(
      'not-accounted-for',
      `${missing} of ${issued} identities are neither released, scrapped nor returned.`,
    );
  }
  return refuse(
    'counts-differ',
    `The station counts ${counted(station)}, the authority ${counted(authority)}.`,
  );
}

function counted({ issued, released, scrapped, returned }: reporting.TicketCounts): string {
  return `${issued} issued, ${released} released, ${scrapped} scrapped, ${returned} returned`;
}
