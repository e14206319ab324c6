/** Where requests and decisions come in: each signed, by somebody who may, at a time that can be. */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { ApprovalDeskPort } from '../ports/approvalDesk.ts';
import type { OperatorRecord, RequestRecord, TwoPersonMode } from '../ports/approvalStore.ts';
import { isRefusal } from '../ports/faults.ts';
import { actRules } from './acts.ts';
import {
  type DecisionDocument,
  readDecision,
  readRequest,
  readSigned,
  type RequestDocument,
  type SignedDocument,
} from './documents.ts';
import { type ApprovalCode, type ApprovalRefusal, refuseApproval } from './refusals.ts';
import { type ApprovalOptions, Signers } from './signers.ts';

/** A request lives so long at most. */
export const maximumRequestMs: number = 30 * 86_400_000;
/** Clocks of operators may be off by so much. */
const skewMs = 300_000;
/** Of one operator. */
const maximumWaiting = 100;

export class ApprovalDesk implements ApprovalDeskPort {
  readonly #options: ApprovalOptions;
  readonly #signers: Signers;

  constructor(options: ApprovalOptions) {
    this.#options = options;
    this.#signers = new Signers(options);
  }

  mode(): Promise<TwoPersonMode | undefined> {
    return this.#options.store.mode();
  }

  soleChangesLeft(): Promise<number | undefined> {
    return this.#options.store.soleChangesLeft(this.#options.clock.nowMs());
  }

  operators(): Promise<readonly OperatorRecord[]> {
    return this.#options.store.operators();
  }

  request(id: Uint8Array): Promise<RequestRecord | undefined> {
    return this.#options.store.request(id);
  }

  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]> {
    return this.#options.store.requests(limit, before);
  }

  async submit(signed: Uint8Array): Promise<RequestRecord | ApprovalRefusal> {
    const read = this.#read(signed, readRequest);
    if (isRefusal(read)) return read;
    const { document, id } = read;
    const { act, requester, expiresMs } = document;
    const { store, clock } = this.#options;
    const takenMs = clock.nowMs();
    const code =
      (await this.#faultOfSigner(read, requester)) ??
      faultOfTimes(document, takenMs) ??
      (await this.#faultOfRole(requester, document));
    if (code !== undefined) return this.#signers.refuse(code, requester, id);
    const entry = encodeAuditEntry({
      kind: 'approval-requested',
      atMs: takenMs,
      request: id,
      signed,
    });
    const record = { id, act, requester, signed, takenMs, expiresMs };
    const outcome = await store.addRequest(record, maximumWaiting, entry);
    if (outcome === 'too-many') return this.#signers.refuse('too-many', requester, id);
    return (await store.request(id)) ?? refuseApproval('approval-unknown');
  }

  async decide(signed: Uint8Array): Promise<RequestRecord | ApprovalRefusal> {
    const read = this.#read(signed, readDecision);
    if (isRefusal(read)) return read;
    const { request: id, by, decision } = read.document;
    const { store, clock } = this.#options;
    const atMs = clock.nowMs();
    const code =
      (await this.#faultOfSigner(read, by)) ?? (await this.#faultOfDecision(read.document, atMs));
    if (code !== undefined) return this.#signers.refuse(code, by, id);
    const entry = encodeAuditEntry({ kind: 'approval-decided', atMs, request: id, signed });
    // Between the look above and this transaction another decision may have come.
    if (!(await store.decide(id, { decision, by, signed, atMs }, entry))) {
      return this.#signers.refuse('decided', by, id);
    }
    return (await store.request(id)) ?? refuseApproval('approval-unknown');
  }

  #read<Document>(
    signed: Uint8Array,
    read: (document: Uint8Array) => Document,
  ): SignedDocument<Document> | ApprovalRefusal {
    try {
      return readSigned(this.#options.crypto, signed, read);
    } catch (error) {
      if (!(error instanceof MalformedError) && !(error instanceof UnsupportedError)) throw error;
      return this.#signers.refuse('malformed');
    }
  }

  async #faultOfSigner(
    signed: SignedDocument<RequestDocument | DecisionDocument>,
    name: string,
  ): Promise<ApprovalCode | undefined> {
    const mode = await this.mode();
    if (mode === undefined) return 'one-person';
    if (!equal(mode.installation, signed.document.installation)) return 'other-installation';
    return this.#signers.faultOf(name, signed);
  }

  async #faultOfRole(
    requester: string,
    { act }: RequestDocument,
  ): Promise<ApprovalCode | undefined> {
    const { requesters } = actRules[act];
    return (await this.#signers.holds(requester, requesters)) ? undefined : 'wrong-role';
  }

  async #faultOfDecision(
    { request: id, decision, by, atMs: saidMs }: DecisionDocument,
    nowMs: number,
  ): Promise<ApprovalCode | undefined> {
    const request = await this.#options.store.request(id);
    if (request === undefined) return 'approval-unknown';
    if (saidMs > nowMs + skewMs || saidMs < request.takenMs - skewMs) return 'bad-time';
    if (request.decision !== undefined || request.spentMs !== undefined) return 'decided';
    if (decision === 'withdrawn') return by === request.requester ? undefined : 'wrong-role';
    if (by === request.requester) return 'same-person';
    if (nowMs >= request.expiresMs) return 'approval-expired';
    const { document } = readSigned(this.#options.crypto, request.signed, readRequest);
    const { approvers = [] } = actRules[document.act];
    return (await this.#signers.holds(by, approvers)) ? undefined : 'wrong-role';
  }
}

function faultOfTimes(
  { requestedMs, expiresMs }: RequestDocument,
  nowMs: number,
): ApprovalCode | undefined {
  const sound =
    requestedMs <= nowMs + skewMs &&
    requestedMs < expiresMs &&
    expiresMs - requestedMs <= maximumRequestMs;
  if (!sound) return 'bad-time';
  return nowMs >= expiresMs ? 'approval-expired' : undefined;
}
