/**
 * Tokens that only the check of an approval makes. The code of a dangerous act takes one, and takes from it
 * what it does: there is no way to have one thing approved and do another. In single-operator mode the
 * check asks for nothing.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import { faultOfSpending } from '../ports/approvalRules.ts';
import type { ApprovalStore, RequestRecord, Spending } from '../ports/approvalStore.ts';
import { isRefusal } from '../ports/faults.ts';
import { type ActKind, actRules, type ActRequests, encodeParameters } from './acts.ts';
import { isSameAct, readDecision, readRequest, readSigned } from './documents.ts';
import { type ApprovalCode, type ApprovalRefusal, refuseApproval } from './refusals.ts';
import { type ApprovalOptions, Signers } from './signers.ts';

/** An act that may be done. Its approval is not spent yet: the transaction of the act does that. */
export class Approved<Kind extends ActKind> {
  readonly #kind: Kind;
  readonly #request: ActRequests[Kind];
  readonly #spending: Spending | undefined;
  readonly #sinceMs: number;

  constructor(
    token: typeof checked,
    kind: Kind,
    request: ActRequests[Kind],
    sinceMs: number,
    spending: Spending | undefined,
  ) {
    if (token !== checked) throw new TypeError('only the check of an approval makes one');
    this.#kind = kind;
    this.#request = request;
    this.#spending = spending;
    this.#sinceMs = sinceMs;
  }

  get kind(): Kind {
    return this.#kind;
  }

  /** What was approved; nothing else is done. */
  get request(): ActRequests[Kind] {
    return this.#request;
  }

  /** When it was asked for: nothing of the act is older. */
  get sinceMs(): number {
    return this.#sinceMs;
  }

  /** `undefined` where one person is enough. */
  get spending(): Spending | undefined {
    return this.#spending;
  }
}

/** An act of several transactions whose approval is spent, and which may be taken up until it is done. */
export class Begun<Kind extends ActKind> {
  readonly #approved: Approved<Kind>;
  readonly #resumed: boolean;

  constructor(token: typeof checked, approved: Approved<Kind>, resumed: boolean) {
    if (token !== checked) throw new TypeError('only the check of an approval makes one');
    this.#approved = approved;
    this.#resumed = resumed;
  }

  get request(): ActRequests[Kind] {
    return this.#approved.request;
  }

  get sinceMs(): number {
    return this.#approved.sinceMs;
  }

  /** SHA-256 of the request that allowed it. */
  get approval(): Uint8Array | undefined {
    return this.#approved.spending?.id;
  }

  /** Something of it may be done already. */
  get resumed(): boolean {
    return this.#resumed;
  }
}

const checked: unique symbol = Symbol('checked');

export type PermissionOptions = Omit<ApprovalOptions, 'store'> & {
  readonly store: Pick<ApprovalStore, 'mode' | 'operators' | 'request' | 'begin' | 'finish'>;
};

export class Permissions {
  readonly #options: PermissionOptions;
  readonly #signers: Signers;

  constructor(options: PermissionOptions) {
    this.#options = options;
    this.#signers = new Signers(options);
  }

  /** Whether exactly this may be done now, under the request `id`. */
  async allow<Kind extends ActKind>(
    kind: Kind,
    request: ActRequests[Kind],
    id: Uint8Array | undefined,
  ): Promise<Approved<Kind> | ApprovalRefusal> {
    const { store, clock } = this.#options;
    const atMs = clock.nowMs();
    if ((await store.mode()) === undefined) {
      return new Approved<Kind>(checked, kind, request, atMs, undefined);
    }
    if (id === undefined) return refuseApproval('approval-needed');
    const record = await store.request(id);
    if (record === undefined) return this.#signers.refuse('approval-unknown', undefined, id);
    const entry = encodeAuditEntry({ kind: 'approval-used', atMs, request: id, act: kind });
    const spending: Spending = { id, atMs, ...actRules[kind], entry };
    const fault =
      (await this.#faultOf(record, spending, kind, encodeParameters(request))) ??
      // Rows that somebody else wrote are no approval.
      ((await this.#isGenuine(record)) ? undefined : 'bad-signature');
    if (fault !== undefined) return this.#signers.refuse(fault, record.requester, id);
    return new Approved<Kind>(checked, kind, request, record.takenMs, spending);
  }

  /** Spends the approval. A crash behind this leaves an act that the same call takes up again. */
  async begin<Kind extends ActKind>(
    approved: Approved<Kind>,
  ): Promise<Begun<Kind> | ApprovalRefusal> {
    const { spending } = approved;
    if (spending === undefined) return new Begun(checked, approved, false);
    const outcome = await this.#options.store.begin(spending);
    return outcome === 'begun' || outcome === 'resumed'
      ? new Begun(checked, approved, outcome === 'resumed')
      : this.#signers.refuse(outcome, undefined, spending.id);
  }

  /** The act is done: from here on its approval is worth nothing. */
  async finish<Kind extends ActKind>({ approval }: Begun<Kind>): Promise<void> {
    const { store, clock } = this.#options;
    if (approval !== undefined) await store.finish(approval, clock.nowMs());
  }

  /** `allow`, `begin`, the act, `finish`. */
  async carryOut<Kind extends ActKind, Result>(
    kind: Kind,
    request: ActRequests[Kind],
    id: Uint8Array | undefined,
    act: (begun: Begun<Kind>) => Promise<Result>,
  ): Promise<Result | ApprovalRefusal> {
    const approved = await this.allow(kind, request, id);
    if (isRefusal(approved)) return approved;
    const begun = await this.begin(approved);
    if (isRefusal(begun)) return begun;
    const result = await act(begun);
    // What was refused is not done: its approval stays good for another try.
    if (!isRefusal(result)) await this.finish(begun);
    return result;
  }

  async #faultOf(
    record: RequestRecord,
    spending: Spending,
    kind: ActKind,
    parameters: Uint8Array,
  ): Promise<ApprovalCode | undefined> {
    const { document } = readSigned(this.#options.crypto, record.signed, readRequest);
    if (!isSameAct(document, kind, parameters)) return 'other-bytes';
    if (record.doneMs !== undefined) return 'approval-spent';
    const requesterRoles = await this.#signers.rolesOf(record.requester);
    const approverRoles = await this.#signers.rolesOf(record.decision?.by);
    return faultOfSpending({ request: record, requesterRoles, approverRoles }, spending);
  }

  async #isGenuine({ id, requester, signed, decision }: RequestRecord): Promise<boolean> {
    const { crypto } = this.#options;
    const request = readSigned(crypto, signed, readRequest);
    if (!equal(request.id, id) || request.document.requester !== requester) return false;
    if (!(await this.#signers.isSignedBy(requester, request))) return false;
    if (decision === undefined) return true;
    const decided = readSigned(crypto, decision.signed, readDecision);
    const { request: about, by, decision: said } = decided.document;
    return (
      equal(about, id) &&
      by === decision.by &&
      by !== requester &&
      said === decision.decision &&
      (await this.#signers.isSignedBy(by, decided))
    );
  }
}
