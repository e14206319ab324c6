/**
 * What the audit log says of two persons, in its order: since when they are needed, who asked, who approved,
 * and that every act that needs them stands directly behind the one use of an approval for exactly it.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type ActKind, actRules, type Plain, readParameters } from '../../trust/approvals/acts.ts';
import {
  type DecisionDocument,
  readDecision,
  readRequest,
  readSigned,
  type RequestDocument,
  type SignedDocument,
} from '../../trust/approvals/documents.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';
import { knownDevice, policyAct, secretAct } from '../../trust/issuance/grants.ts';
import { soleWindowMs } from '../../trust/ports/soleChanges.ts';
import { raisedAct } from '../../trust/personalization/orders.ts';
import { builtInProfiles, isProfileOfAuthority } from '../../trust/issuance/profiles.ts';
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { OperatorTrail } from './operatorTrail.ts';

export interface LoggedApproval {
  readonly request: SignedDocument<RequestDocument>;
  readonly decision: SignedDocument<DecisionDocument> | undefined;
  readonly uses: number;
}

type Used = Extract<AuditEntry, { readonly kind: 'approval-used' }>;

export class ApprovalTrail {
  readonly #fault: (text: string) => void;
  readonly #logged = new Map<string, LoggedApproval>();
  /** Names of stations whose enrolment was allowed and has not happened. */
  readonly #stations: string[] = [];
  readonly #operators = new OperatorTrail();
  #twoPersons = false;
  /** Certificates of authorities that the root was opened for: `profile name`. */
  readonly #certifiable = new Set<string>();
  /** One step makes several certificates, and may be taken again: that somebody allowed it can be told. */
  #wasAnnounced = false;
  /** Logs whose key may be replaced. */
  readonly #replaceable = new Set<unknown>();
  /** By profile: each policy of enrolment that was ever decided, in the words of the log. */
  readonly #policies = new Map<string, Set<string>>();
  /** Secrets of one person's making, by when. */
  #secrets: readonly number[] = [];
  /** The first admins come with the mode itself, directly behind it. */
  #founding = false;
  #last: AuditEntry | undefined;

  constructor(fault: (text: string) => void) {
    this.#fault = fault;
  }

  /** They were needed once, and so they are for good. */
  get twoPersons(): boolean {
    return this.#twoPersons;
  }

  /** Two persons had the root certify an authority in place of a lost one, once at least. */
  get wasReplaced(): boolean {
    return this.#certifiable.size > 0;
  }

  /** A restore may bring back an earlier one. */
  wasPolicy(profile: string, detail: string): boolean {
    return this.#policies.get(profile)?.has(detail) === true;
  }

  get operators(): Pick<OperatorTrail, 'operators' | 'massLimit'> {
    return this.#operators;
  }

  get approvals(): ReadonlyMap<string, LoggedApproval> {
    return this.#logged;
  }

  /** Throws a `MalformedError` for documents that nobody can read. */
  note(entry: AuditEntry): void {
    const before = this.#last;
    this.#last = entry;
    const isDecision = entry.kind === 'decision';
    this.#founding &&= isDecision && entry.act === 'operator-added';
    if (isDecision) this.#operators.note(entry);
    if (isDecision && entry.act === policyAct) {
      const known = this.#policies.get(entry.subject) ?? new Set();
      this.#policies.set(entry.subject, known.add(entry.detail));
    }
    if (entry.kind === 'approval-requested') {
      const request = readSigned(nodeCrypto, entry.signed, readRequest);
      this.#logged.set(toHex(entry.request), { request, decision: undefined, uses: 0 });
    } else if (entry.kind === 'approval-decided') {
      const known = this.#known(entry.request);
      const decision = readSigned(nodeCrypto, entry.signed, readDecision);
      if (known !== undefined) this.#logged.set(toHex(entry.request), { ...known, decision });
    } else if (entry.kind === 'approval-used') {
      this.#noteUse(entry);
    } else if (this.#twoPersons) {
      this.#judge(entry, before);
    } else if (isDecision && entry.act === twoPersonAct) {
      this.#twoPersons = true;
      this.#founding = true;
    }
  }

  #known(request: Uint8Array): LoggedApproval | undefined {
    const known = this.#logged.get(toHex(request));
    if (known === undefined) this.#fault(`approval ${toHex(request)}: of no request in the log`);
    return known;
  }

  #noteUse({ request, act }: Used): void {
    const known = this.#known(request);
    if (known === undefined) return;
    const { document } = known.request;
    const id = toHex(request);
    if (document.act !== act) this.#fault(`approval ${id}: used for ${act}`);
    if (known.uses > 0) this.#fault(`approval ${id}: used twice`);
    const { requesters, approvers } = actRules[document.act];
    const isAllowed =
      this.#operators.holds(document.requester, requesters) &&
      (approvers === undefined || this.#operators.holds(known.decision?.document.by, approvers));
    if (!isAllowed) this.#fault(`approval ${id}: used without the roles that it takes`);
    this.#logged.set(id, { ...known, uses: known.uses + 1 });
    const { name, certificates, subject } = readParameters(document.parameters);
    if (act === 'key.replace') this.#replaceable.add(subject);
    if (act === 'authority.announce') this.#wasAnnounced = true;
    if (act === 'root.use') this.#noteCertifiable(certificates);
    if (act === 'station.enrol' && typeof name === 'string') this.#stations.push(name);
  }

  #noteCertifiable(certificates: Plain | undefined): void {
    for (const one of Array.isArray(certificates) ? certificates : []) {
      this.#certifiable.add(`${Reflect.get(one, 'profile')} ${Reflect.get(one, 'name')}`);
    }
  }

  #countSecret({ atMs }: Decision): void {
    this.#secrets = [...this.#secrets.filter((at) => at > atMs - soleWindowMs), atMs];
    if (this.#secrets.length > Number(this.#operators.massLimit)) {
      this.#fault(`log: ${this.#secrets.length} one-time secrets in a day by one person`);
    }
  }

  #judgeIssued({ profile, holder }: Issued): void {
    const [name = ''] = profile.split('@');
    const isAllowed =
      this.#wasAnnounced ||
      this.#certifiable.has(`${name} ${holder}`) ||
      // From a lost authority of servers to the one that takes its place, which carries its name.
      (name.startsWith('link-') && this.wasReplaced);
    if (isProfileOfAuthority(profile) && !isAllowed) {
      this.#fault(`authority ${holder}: certified by one person`);
    }
    if (name !== 'station') return;
    const at = this.#stations.indexOf(holder);
    if (at < 0) this.#fault(`station ${holder}: certified by one person`);
    else this.#stations.splice(at, 1);
  }

  #judge(entry: AuditEntry, before: AuditEntry | undefined): void {
    if (entry.kind === 'issued') return this.#judgeIssued(entry);
    if (entry.kind === 'decision' && entry.act === twoPersonAct) {
      this.#fault('two persons: begun a second time');
      return;
    }
    const isOfAct = before?.kind === 'approval-used' && before.act === 'secret.create';
    if (entry.kind === 'decision' && entry.act === secretAct && !isOfAct) this.#countSecret(entry);
    if (entry.kind === 'decision' && entry.act === 'log-key-lost') {
      if (!this.#replaceable.has(entry.subject)) this.#fault('log: a new key by one person');
    }
    const need = this.#founding ? undefined : needOf(entry);
    if (need === undefined) return;
    const used =
      before?.kind === 'approval-used' ? this.#logged.get(toHex(before.request)) : undefined;
    const document = used?.request.document;
    const { about = {} } = need;
    const asked = document === undefined ? {} : readParameters(document.parameters);
    const isSame = Object.entries(about).every(([name, value]) => asked[name] === value);
    if (!need.acts.some((act) => act === document?.act) || !isSame) {
      const [subject = ''] = Object.values(about);
      this.#fault(`log: ${entry.kind} ${subject} without its approval before it`);
    }
  }
}

type Decision = Extract<AuditEntry, { readonly kind: 'decision' }>;
type Issued = Extract<AuditEntry, { readonly kind: 'issued' }>;

interface Need {
  readonly acts: readonly ActKind[];
  /** Parameters of the act that the entry tells again, the name first; a ticket's entry has none. */
  readonly about?: Readonly<Record<string, string | number>>;
}

/** By the `act` of entries of decisions. */
const decisions: ReadonlyMap<string, ActKind> = new Map<string, ActKind>([
  ['operator-added', 'operator.add'],
  ['operator-grant', 'operator.grant'],
  ['operator-withdraw', 'operator.withdraw'],
  ['operator-revoked', 'operator.revoke'],
]);

function needOf(entry: AuditEntry): Need | undefined {
  if (entry.kind === 'ordered') {
    return { acts: ['order.create'], about: { order: entry.order } };
  }
  if (entry.kind === 'ticket-issued') return { acts: ['ticket.issue'] };
  if (entry.kind === 'batch-closed') {
    return { acts: ['batch.close'], about: { batch: entry.batch } };
  }
  if (entry.kind === 'foreign-anchor') {
    return { acts: ['anchor.pin', 'anchor.retire'], about: { product: entry.product } };
  }
  if (entry.kind !== 'decision') return undefined;
  if (entry.act === 'profile') {
    // Those that come with a version of Birthmark nobody asks for; nobody can add one of their names.
    const [name = ''] = entry.subject.split('@');
    return builtInProfiles.has(name)
      ? undefined
      : { acts: ['profile.change'], about: { profile: entry.subject } };
  }
  if (entry.act === 'mass-limit') {
    return { acts: ['limit.mass'], about: { devices: Number(entry.subject) } };
  }
  if (entry.act === policyAct) {
    const [, approval = ''] = /^approval (\S+),/.exec(entry.detail) ?? [];
    return { acts: ['policy.change'], about: { profile: entry.subject, approval } };
  }
  if (entry.act === secretAct) {
    if (!entry.detail.endsWith(knownDevice)) return undefined;
    return { acts: ['secret.create'], about: { deviceId: entry.subject } };
  }
  if (entry.act === 'case-closed') return { acts: ['case.close'], about: { case: entry.subject } };
  if (entry.act === raisedAct) {
    const raise = /^(?<batch>\S+) by (?<by>\d+)$/.exec(entry.detail)?.groups ?? {};
    const { batch = '', by } = raise;
    return { acts: ['order.raise'], about: { order: entry.subject, batch, by: Number(by) } };
  }
  const act = decisions.get(entry.act);
  return act === undefined ? undefined : { acts: [act], about: { name: entry.subject } };
}
