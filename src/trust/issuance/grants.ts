/**
 * What allows an enrolment besides the certificate that a device shows: one-time secrets for devices that
 * have none, and a person's approval where the profile's policy wants it. Everything is known by identity
 * and key, so that a device may come back over any connection; nothing is known by what the provisioner says.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toBase32 } from '../../wire/bytes/base32.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { isEstLabel } from '../../wire/est/path.ts';
import type { Approved } from '../approvals/permissions.ts';
import { refuseApproval } from '../approvals/refusals.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { SpendingFault } from '../ports/approvalStore.ts';
import type { Clock } from '../ports/clock.ts';
import type { CreatedSecret, EnrolmentDesk, SecretOrder } from '../ports/enrolmentDesk.ts';
import { formLabels } from '../ports/enrolment.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type {
  ApprovalCause,
  ApprovalDecision,
  ApprovalRecord,
  GrantReference,
  GrantStore,
  ProfilePolicy,
  SecretPermit,
  SecretRecord,
} from '../ports/grantStore.ts';

export interface GrantOptions {
  readonly store: GrantStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** Names of the profiles that devices may be given. */
  readonly profiles: ReadonlySet<string>;
}

export type GrantOutcome =
  /** To be spent in T1; none where the policy asks for nothing. */
  | { readonly grants: readonly GrantReference[] }
  /** The same request was granted and issued before: serial number of its certificate. */
  | { readonly spentOn: Uint8Array }
  | { readonly retryAfterS: number }
  | Refusal<'rejected'>;

export interface EnrolmentCase {
  readonly deviceId: string;
  readonly profile: string;
  readonly keyIdentifier: Uint8Array;
  readonly cause: Exclude<ApprovalCause, 'expired'>;
  /** How long ago the certificate ended by which the device is known; 0 or less while it is valid. */
  readonly expiredForMs: number;
}

/** How soon a device asks again whether a person has decided. */
const approvalRetryAfterS = 60;
/** T1 happened, T2 did not yet: the next recovery signs it. */
export const unsignedRetryAfterS = 5;
/** Within this time the same request means that an answer was lost, not that another certificate is wanted. */
export const lostAnswerMs = 86_400_000;
/** Undecided requests of one device: it has one key, and perhaps another one. */
const maximumOpen = 4;
const dayMs = 86_400_000;

type SecretOutcome = Promise<
  CreatedSecret | Refusal<'rejected' | 'approval-needed' | SpendingFault>
>;

/** As the audit log calls them. */
export const secretAct = 'secret-created';
export const policyAct = 'enrolment-policy';
/** At the end of what the log says of a secret that makes its bearer a device that was named. */
export const knownDevice = ', for a device that was named';

export function policyDetail({ approval, afterExpiry }: Omit<ProfilePolicy, 'profile'>): string {
  const ended = afterExpiry.kind === 'within' ? `${afterExpiry.days} days` : afterExpiry.kind;
  return `approval ${approval}, after expiry ${ended}`;
}

export class EnrolmentGrants implements Omit<EnrolmentDesk, 'createSecret' | 'savePolicy'> {
  readonly #options: GrantOptions;

  constructor(options: GrantOptions) {
    this.#options = options;
  }

  /** One of so many that one person may make in a day, of devices that nobody knows yet. */
  createSecretAlone(order: Omit<SecretOrder, 'deviceId'>, most: number): SecretOutcome {
    const atMs = this.#options.clock.nowMs();
    return this.#createSecret(order, { most, atMs });
  }

  createSecret({ request, spending }: Approved<'secret.create'>): SecretOutcome {
    return this.#createSecret(request, spending && { spending });
  }

  async #createSecret(
    order: SecretOrder,
    permit: SecretPermit | undefined,
  ): Promise<CreatedSecret | Refusal<'rejected' | 'approval-needed' | SpendingFault>> {
    const { store, crypto, clock, profiles } = this.#options;
    const { product, profile, lifetimeMs } = order;
    if (!profiles.has(profile)) {
      return refuse('rejected', `Profile ${profile} is not for devices.`);
    }
    if (formLabels.includes(profile) || !isEstLabel(profile)) {
      return refuse(
        'rejected',
        `No label of EST gives profile ${profile}: it means something else.`,
      );
    }
    const deviceId = order.deviceId ?? toBase32(crypto.random(10));
    // 160 bits: nobody finds one by trying, so that a plain hash of it may be kept.
    const secret = toBase32(crypto.random(20));
    const createdMs = clock.nowMs();
    const expiresMs = createdMs + lifetimeMs;
    const record = { deviceId, product, profile, createdMs, expiresMs };
    const detail = `${profile} of ${product}${order.deviceId === undefined ? '' : knownDevice}`;
    const entry = this.#entry(secretAct, deviceId, detail);
    const id = await store.addSecret(record, this.#hash(secret), entry, permit);
    if (id === 'too-many') return refuseApproval('approval-needed');
    if (typeof id === 'string') return refuseApproval(id);
    return { id, secret, deviceId, product, profile, expiresMs };
  }

  secrets(limit: number, before?: number): Promise<readonly SecretRecord[]> {
    return this.#options.store.secrets(limit, before);
  }

  async voidSecret(id: number): Promise<undefined | Refusal<'unknown'>> {
    const { store, clock } = this.#options;
    const entry = this.#entry('secret-void', `secret ${id}`, '');
    const changed = await store.voidSecret(id, clock.nowMs(), entry);
    return changed ? undefined : refuse('unknown', 'No such secret is open.');
  }

  approvals(limit: number, after?: number): Promise<readonly ApprovalRecord[]> {
    return this.#options.store.approvals(limit, after);
  }

  async decide(
    id: number,
    decision: ApprovalDecision,
    decidedBy: string,
  ): Promise<undefined | Refusal<'unknown'>> {
    const { store, clock } = this.#options;
    const entry = this.#entry(`request-${decision}`, `request ${id}`, `by ${decidedBy}`);
    const changed = await store.decide(id, decision, decidedBy, clock.nowMs(), entry);
    return changed ? undefined : refuse('unknown', 'No such request is waiting.');
  }

  /** Of every profile of devices, also where nobody has decided anything. */
  async policies(): Promise<readonly ProfilePolicy[]> {
    const decided = await this.#options.store.policies();
    return [...this.#options.profiles].map(
      (profile) =>
        decided.find((policy) => policy.profile === profile) ?? { profile, ...defaultPolicy },
    );
  }

  async savePolicy(
    approved: Approved<'policy.change'>,
  ): Promise<undefined | Refusal<'rejected' | SpendingFault>> {
    const { store, profiles } = this.#options;
    const { request: policy, spending } = approved;
    const { profile } = policy;
    if (!profiles.has(profile)) {
      return refuse('rejected', `Profile ${profile} is not for devices.`);
    }
    const entry = this.#entry(policyAct, profile, policyDetail(policy));
    const outcome = await store.savePolicy(policy, entry, spending);
    return outcome === 'saved' ? undefined : refuseApproval(outcome);
  }

  /** The open secret of these characters; `undefined` for a wrong, void or late one. */
  async secret(text: string): Promise<SecretRecord | undefined> {
    const { store, clock } = this.#options;
    const known = await store.secret(this.#hash(text));
    const open =
      known !== undefined && known.voidedMs === undefined && clock.nowMs() < known.expiresMs;
    return open ? known : undefined;
  }

  /**
   * Binds the secret to the key at its first use, and asks a person where the policy wants it: the same
   * key may come back until then. `undefined` when the secret is bound to another key.
   */
  async useSecret(
    { id, deviceId, profile, spentOn }: SecretRecord,
    keyIdentifier: Uint8Array,
  ): Promise<GrantOutcome | undefined> {
    const bound = await this.#options.store.bindSecret(id, keyIdentifier);
    if (!equal(bound, keyIdentifier)) return undefined;
    if (spentOn !== undefined) return { spentOn };
    const cause = 'first';
    const judged = await this.judge({ deviceId, profile, keyIdentifier, cause, expiredForMs: 0 });
    if (!('grants' in judged)) return judged;
    return { grants: [{ kind: 'secret', id }, ...judged.grants] };
  }

  /** Whether the policy of the profile lets a device have a certificate now. */
  async judge(enrolment: EnrolmentCase): Promise<GrantOutcome> {
    const { profile, expiredForMs } = enrolment;
    const policy = (await this.policies()).find((candidate) => candidate.profile === profile);
    if (policy === undefined) return refuse('rejected', `Profile ${profile} is not for devices.`);
    const { approval, afterExpiry } = policy;
    if (expiredForMs > 0) {
      if (afterExpiry.kind === 'approval') return this.#ask(enrolment, 'expired');
      if (afterExpiry.kind === 'never' || expiredForMs > afterExpiry.days * dayMs) {
        return refuse('rejected', 'The certificate shown ended too long ago to be renewed.');
      }
    }
    const wanted = approval === 'every' || (approval === 'first' && enrolment.cause === 'first');
    return wanted ? this.#ask(enrolment, enrolment.cause) : { grants: [] };
  }

  async #ask(enrolment: EnrolmentCase, cause: ApprovalCause): Promise<GrantOutcome> {
    const { store, clock } = this.#options;
    const { deviceId, keyIdentifier, profile } = enrolment;
    const nowMs = clock.nowMs();
    const request = { deviceId, keyIdentifier, profile, cause, requestedMs: nowMs };
    const known = await store.approval(request);
    if (known?.decision === 'denied') return refuse('rejected', 'The request was denied.');
    if (known?.spentOn !== undefined) {
      const lost = nowMs - (known.decidedMs ?? 0) < lostAnswerMs;
      if (lost) return { spentOn: known.spentOn };
    } else if (known !== undefined) {
      return known.decision === 'approved'
        ? { grants: [{ kind: 'approval', id: known.id }] }
        : { retryAfterS: approvalRetryAfterS };
    }
    return (await store.askApproval(request, maximumOpen))
      ? { retryAfterS: approvalRetryAfterS }
      : refuse('rejected', `The device has ${maximumOpen} requests waiting already.`);
  }

  #hash(secret: string): Uint8Array {
    return this.#options.crypto.hash('SHA-256', utf8(secret));
  }

  #entry(act: string, subject: string, detail: string): Uint8Array {
    const atMs = this.#options.clock.nowMs();
    return encodeAuditEntry({ kind: 'decision', atMs, act, subject, detail });
  }
}

const defaultPolicy: Omit<ProfilePolicy, 'profile'> = {
  approval: 'none',
  afterExpiry: { kind: 'never' },
};
