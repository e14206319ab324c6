/**
 * Cases of lost keys, written before every step and after it, so that a command that was cut short goes on
 * where it was, and everybody can see how far it has come. What is decided by them is decided from the
 * database, and each of their states is a leaf of the log: a case does not vanish.
 */
import type { Approved, Permissions } from '../../trust/approvals/permissions.ts';
import { refuseApproval } from '../../trust/approvals/refusals.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import type { Spending, SpendingFault } from '../../trust/ports/approvalStore.ts';
import type { CaseStore } from '../../trust/ports/caseStore.ts';
import { EnvironmentError, isRefusal, type Refusal, refuse } from '../../trust/ports/faults.ts';
import {
  type CaseAct,
  type CaseDesk,
  caseDocument,
  type CaseRefusal,
  type CaseStep,
  isDone,
  isOpen,
  type LossCase,
  type LossKind,
  nextStep,
  parseCase,
} from '../../trust/ports/lossCase.ts';

/** Of the one process that has the database open, so that what it knows is what is there. */
export class Cases implements Omit<CaseDesk, 'closeCase'> {
  readonly #store: CaseStore;
  /** In the order they were opened. */
  #known: readonly LossCase[];

  private constructor(store: CaseStore, known: readonly LossCase[]) {
    this.#store = store;
    this.#known = known;
  }

  static async open(store: CaseStore): Promise<Cases> {
    const records = await store.cases();
    return new Cases(
      store,
      records.map(({ document }) => parseCase(document)),
    );
  }

  async cases(): Promise<readonly LossCase[]> {
    return this.#known;
  }

  async openCase(one: LossCase): Promise<LossCase> {
    const known = this.#named(one.name);
    if (known !== undefined && isOpen(known)) return known;
    return this.#save('case-opened', one, one.openedMs);
  }

  async finishStep(
    name: string,
    step: Required<CaseStep>,
  ): Promise<LossCase | Refusal<CaseRefusal>> {
    const one = this.#named(name);
    if (one === undefined) return unknown(name);
    if (isDone(one, step.name)) return one;
    const steps = one.steps.map((each) => (each.name === step.name ? step : each));
    return this.#save('case-step', { ...one, steps }, step.doneMs);
  }

  async closeCase(
    { request, spending }: Approved<'case.close'>,
    atMs: number,
  ): Promise<LossCase | Refusal<CaseRefusal | SpendingFault>> {
    const { case: name } = request;
    const one = this.#named(name);
    if (one === undefined) return unknown(name);
    const waits = nextStep(one);
    if (waits !== undefined) {
      const reason = `the case ${name} is not at its end: ${waits} is to be done`;
      return refuse('case-not-done', reason);
    }
    return isOpen(one)
      ? this.#saveWith('case-closed', { ...one, closedMs: atMs }, atMs, spending)
      : one;
  }

  /** Whether the key of an authority is in wrong hands. To close its case does not bring it back. */
  isAuthorityLost(name: string): boolean {
    return this.#known.some(({ kind, subject }) => kind === 'authority' && subject === name);
  }

  /** The running log, once it is lost, is not published on under its name: only its next start has another key. */
  requireLogKept(): void {
    const lost = this.#known.find((one) => one.kind === 'log' && nextStep(one) !== undefined);
    if (lost !== undefined) throw inService(lost);
  }

  /** Elements whose keys are lost, by open cases: none of them is born any more. */
  isElementLost(family: string, firmware: string): boolean {
    return this.#known.some(
      (one) =>
        one.kind === 'family' &&
        isOpen(one) &&
        one.subject === family &&
        (one.firmware ?? firmware) === firmware,
    );
  }

  /** How many devices a second may enrol anew, while a case says so. */
  get perSecond(): number | undefined {
    const rates = this.#known.filter(isOpen).flatMap(({ perSecond }) => perSecond ?? []);
    return rates.length === 0 ? undefined : Math.min(...rates);
  }

  /**
   * Throws an `EnvironmentError` while a key that somebody else has would go on signing here: the process of
   * the authority does not start before that step of the case.
   */
  requireKeysReplaced(): void {
    for (const one of this.#known) {
      const gate = one.steps.find(({ name }) => gates[one.kind]?.includes(name));
      if (gate === undefined || gate.doneMs !== undefined) continue;
      throw inService(one);
    }
  }

  #named(name: string): LossCase | undefined {
    return this.#known.find((one) => one.name === name);
  }

  async #save(act: CaseAct, one: LossCase, atMs: number): Promise<LossCase> {
    const saved = await this.#saveWith(act, one, atMs, undefined);
    if (isRefusal(saved)) throw new TypeError('a case that nobody has to allow');
    return saved;
  }

  async #saveWith(
    act: CaseAct,
    one: LossCase,
    atMs: number,
    spending: Spending | undefined,
  ): Promise<LossCase | Refusal<SpendingFault>> {
    const { name, openedMs } = one;
    const document = caseDocument(one);
    if (document.length > maximumDocument) throw new TypeError('a case of more than fits the log');
    const entry = encodeAuditEntry({
      kind: 'decision',
      atMs,
      act,
      subject: name,
      detail: document,
    });
    const outcome = await this.#store.saveCase({ name, openedMs, document }, entry, spending);
    if (outcome !== 'saved') return refuseApproval(outcome);
    const others = this.#known.filter((each) => each.name !== name);
    this.#known = [...others, one].toSorted((left, right) => left.openedMs - right.openedMs);
    return one;
  }
}

/** To open one, and to go on with it, needs nobody's permission. */
export function caseDesk(cases: Cases, permissions: Permissions): CaseDesk {
  return {
    cases: () => cases.cases(),
    openCase: (one) => cases.openCase(one),
    finishStep: (name, step) => cases.finishStep(name, step),
    closeCase: async (name, atMs, approval) => {
      const approved = await permissions.allow('case.close', { case: name }, approval);
      return isRefusal(approved) ? approved : cases.closeCase(approved, atMs);
    },
  };
}

function inService(one: LossCase): EnvironmentError {
  return new EnvironmentError(
    `the key of ${one.subject} is lost, and in service still: birthmark ca compromise ${commandOf(one)} goes on`,
    { retryable: false },
  );
}

/** What is given to `birthmark ca compromise`. */
export function commandOf({ kind, subject }: LossCase): string {
  if (kind === 'authority') return subject;
  return kind === 'station' || kind === 'family' ? `${kind} ${subject}` : kind;
}

/** The step from which on the lost key signs nothing more. Keys of responders and stations are not ours to open. */
const gates: Readonly<Partial<Record<LossKind, readonly string[]>>> = {
  // Whichever of them it has: one that does not issue is believed no more, and nothing takes its place.
  authority: ['replaced', 'removed'],
  log: ['replaced'],
};

/** Of a leaf, which has its length in two octets (C2SP tlog-tiles), in UTF-16 code units of at most three. */
const maximumDocument = 16_384;

function unknown(name: string): Refusal<CaseRefusal> {
  return refuse('unknown-case', `there is no case ${name}`);
}
