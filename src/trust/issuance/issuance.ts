/**
 * Issuing: prepare → lint → T1 → sign → T2. Nothing is signed that was not stored first, and nothing
 * leaves before its signature and its audit leaf are stored too.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { completeNative } from '../../wire/c509/native.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { completeCertificate, encodeCertificate } from '../../wire/x509/certificateWriter.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { Clock } from '../ports/clock.ts';
import {
  EnvironmentError,
  InvariantError,
  isRefusal,
  type Refusal,
  refuse,
} from '../ports/faults.ts';
import type { GrantReference } from '../ports/grantStore.ts';
import type {
  Completion,
  Intent,
  IntentConflict,
  IssuanceStore,
  Replacement,
  UnfinishedIntent,
  UnitIntent,
} from '../ports/issuanceStore.ts';
import { drawnSerialNumbers } from './drawn.ts';
import { type Birth, type BirthUse, type Issuer, issuerFor, issuersOf } from './issuer.ts';
import { lint, type LintedTbs } from './lint.ts';
import { Siblings } from './lints/siblings.ts';
import { type CertificateContent, compileProfile, type Prepared } from './prepare.ts';
import { isNativeTbs, nativeTbsOf } from './nativeForm.ts';
import { type Profile, profileLabel } from './profile.ts';
import { isBirthProfile } from './profiles.ts';

export interface IssuanceOptions {
  readonly store: IssuanceStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  /** By name; may grow while certificates are issued. */
  readonly profiles: ReadonlyMap<string, Profile>;
  /** Every version by `name@version`, for what is finished later; without it the present ones. */
  readonly labelled?: ReadonlyMap<string, Profile>;
  /**
   * Of several of a role the first one issues, but what another one is for; the rest finish what they began,
   * and delegate.
   */
  readonly issuers: readonly Issuer[];
  /** Whether the key of the authority of this name is in wrong hands: it certifies nothing from then on. */
  readonly isLost?: (issuer: string) => boolean;
  /** For natively signed C509; without it none is issued. */
  readonly decompress?: PointDecompressor;
}

export interface IssueRequest {
  readonly profile: string;
  /** Name of the authority: for what another key than the present one of its role has to issue. */
  readonly issuer?: string;
  /** Of a birth, or of a device that was born here. */
  readonly use?: BirthUse | undefined;
  /** X.509 unless told: `native` is C509 signed as CBOR. */
  readonly form?: 'der' | 'native';
  readonly content: CertificateContent;
  /** Spent in T1. */
  readonly grants?: readonly GrantReference[];
  /** Revoked in T1. */
  readonly replaces?: Replacement | undefined;
  /** For birth certificates. */
  readonly unit?: UnitIntent;
}

export interface Issued {
  /** DER, or the C509 array where it was asked for natively. */
  readonly certificate: Uint8Array;
  readonly serialNumber: Uint8Array;
  readonly holder: string;
  readonly notAfterMs: number;
  readonly eui64: Uint8Array | undefined;
}

export type IssueRefusalCode =
  | 'unknown-profile'
  | 'lint'
  | 'ticket-closed'
  | 'quota-exhausted'
  | 'no-eui64-left'
  | 'grant-spent'
  | 'overtaken'
  | 'uid-taken'
  | 'key-taken'
  | 'device-id-taken';

export type IssueRefusal = Refusal<IssueRefusalCode>;

export interface Recovery {
  readonly finished: number;
  /** Intents that are not signed because no present profile and lint lets them pass; for a person. */
  readonly withheld: readonly number[];
}

type Encoder = ReturnType<typeof compileProfile>;

interface Work {
  readonly serialNumbers: readonly Uint8Array[];
  readonly result: Promise<unknown>;
}

/** Between T1 and T2. */
interface Signable {
  readonly id: number;
  readonly linted: LintedTbs;
  readonly profile: string;
  readonly serialNumber: Uint8Array;
  readonly holder: string;
  readonly ticketId: Uint8Array | undefined;
}

/** Unfinished intents that are signed again at once. */
const recoveryBatch = 500;

export class Issuance {
  readonly #options: IssuanceOptions;
  /** Intents that calls of this process are going to finish. */
  readonly #underWay = new Set<Work>();
  readonly #siblings = new Siblings();
  /** Of each profile, by the name of the issuer that was asked for. */
  readonly #encoders = new Map<Profile, Map<string, Encoder>>();

  constructor(options: IssuanceOptions) {
    this.#options = options;
  }

  /** Outcomes in the order of the requests. Rejects with an `EnvironmentError` when store or key fail, or a key is lost. */
  async issue(requests: readonly IssueRequest[]): Promise<ReadonlyArray<Issued | IssueRefusal>> {
    const nowMs = this.#options.clock.nowMs();
    const serials = drawnSerialNumbers(this.#options.crypto, nowMs, requests.length);
    const plans = requests.map((request, index) => this.#plan(request, nowMs, serials(index)));
    const outcomes = await this.#guarded(
      plans.flatMap((plan) => (isRefusal(plan) ? [] : [plan.intent.serialNumber])),
      () => this.#carryOut(plans, nowMs),
    );
    const settled: Array<Issued | IssueRefusal> = [];
    for (const [index, outcome] of outcomes.entries()) {
      settled.push(isRepeated(outcome) ? await this.#issuedBefore(plans[index]) : outcome);
    }
    return settled;
  }

  /** A serial number that follows from the key came a second time: the certificate of the first time. */
  async #issuedBefore(plan: Plan | IssueRefusal | undefined): Promise<Issued | IssueRefusal> {
    if (plan === undefined || isRefusal(plan)) throw new InvariantError('no plan was repeated');
    const { serialNumber, tbs, holder, notAfterMs, unit } = plan.intent;
    await this.settled(serialNumber);
    const { store } = this.#options;
    let known = await store.certificateBySerial(serialNumber);
    if (known === undefined) {
      // A crash or a lost key left it between T1 and T2.
      await this.recover();
      known = await store.certificateBySerial(serialNumber);
    }
    if (known === undefined || !equal(known.tbs, tbs)) {
      return refuse('key-taken', 'The key has another certificate of this hour.');
    }
    // What was made of it besides is for whoever asked to find.
    if (unit !== undefined) return conflictReasons.uid;
    const certificate = completeCertificate(known.tbs, known.signature);
    return { certificate, serialNumber, holder, notAfterMs, eui64: undefined };
  }

  /**
   * Finishes what a crash or a lost key left between T1 and T2. Exactly the stored bytes are signed:
   * whether the first signature was made is unknown, so a second certificate of other content must
   * never come to be. Call it before anything is issued; what is under way is left alone.
   */
  async recover(): Promise<Recovery> {
    const withheld: number[] = [];
    let finished = 0;
    let afterId = 0;
    for (;;) {
      const unfinished = await this.#options.store.unfinished(afterId, recoveryBatch);
      const last = unfinished.at(-1);
      if (last === undefined) return { finished, withheld };
      const signables: Signable[] = [];
      for (const intent of unfinished) {
        if (this.#workOn(intent.serialNumber) !== undefined) continue;
        const signable = this.#relint(intent);
        if (signable === undefined) withheld.push(intent.id);
        else signables.push(signable);
      }
      await this.#guarded(
        signables.map(({ serialNumber }) => serialNumber),
        () => this.#signAndComplete(signables, this.#options.clock.nowMs()),
      );
      finished += signables.length;
      afterId = last.id;
    }
  }

  /** Resolves when no call of this process is at work on that intent; whether it succeeded is in the store. */
  async settled(serialNumber: Uint8Array): Promise<void> {
    await Promise.allSettled([this.#workOn(serialNumber)?.result]);
  }

  /** Keeps `recover` away from these for as long as the work takes. */
  async #guarded<Result>(
    serialNumbers: readonly Uint8Array[],
    act: () => Promise<Result>,
  ): Promise<Result> {
    const result = act();
    const work: Work = { serialNumbers, result };
    this.#underWay.add(work);
    try {
      return await result;
    } finally {
      this.#underWay.delete(work);
    }
  }

  /** Asked after crashes and by retries only, so that a walk will do. */
  #workOn(serialNumber: Uint8Array): Work | undefined {
    return [...this.#underWay].find(({ serialNumbers }) =>
      serialNumbers.some((candidate) => equal(candidate, serialNumber)),
    );
  }

  async #carryOut(
    plans: ReadonlyArray<Plan | IssueRefusal>,
    nowMs: number,
  ): Promise<ReadonlyArray<Issued | IssueRefusal | Repeated>> {
    const intents = plans.flatMap((plan) => (isRefusal(plan) ? [] : [plan.intent]));
    // A crash before this line leaves nothing; behind it, the quota taken and the intent to be signed again.
    const outcomes = await this.#options.store.begin(intents);
    const reserved = outcomes.values();
    const results = plans.map((plan) => {
      if (isRefusal(plan)) return plan;
      const outcome = reserved.next().value;
      if (outcome === undefined) throw new InvariantError('the store lost an intent');
      if ('conflict' in outcome) return conflictRefusal(outcome.conflict, plan);
      if ('refused' in outcome) return refuse(outcome.refused, quotaReasons[outcome.refused]);
      return { ...plan, id: outcome.taken, eui64: outcome.eui64 };
    });
    const certificates = await this.#signAndComplete(
      results.flatMap((result) => (isRefusal(result) ? [] : [signableOf(result)])),
      nowMs,
    );
    return results.map((result) => {
      if (isRefusal(result)) return result;
      const certificate = certificates.get(result.id);
      if (certificate === undefined) throw new InvariantError('a signature got lost');
      const { serialNumber, holder, notAfterMs } = result.intent;
      return { certificate, serialNumber, holder, notAfterMs, eui64: result.eui64 };
    });
  }

  #plan(request: IssueRequest, nowMs: number, serialNumber: Uint8Array): Plan | IssueRefusal {
    const encode = this.#encoderFor(request);
    if (encode === undefined) {
      return refuse('unknown-profile', `No authority here issues profile ${request.profile}.`);
    }
    const { crypto, decompress } = this.#options;
    const encoded = encode(request.content, nowMs, serialNumber);
    const prepared = request.form === 'native' ? natively(encoded) : encoded;
    const { profile, issuer, tbs } = prepared;
    this.#requireKept(issuer);
    const linted = lint(crypto, { tbs, profile, issuer, nowMs, decompress }, this.#siblings);
    if (isRefusal(linted)) return linted;
    return { linted, intent: intentOf(request, prepared, nowMs) };
  }

  /** Before T1, so that nothing is promised that another key would have to sign. */
  #requireKept({ name }: Issuer): void {
    if (this.#options.isLost?.(name) !== true) return;
    throw new EnvironmentError(`the key of ${name} is lost, and another one has yet to issue`, {
      retryable: true,
    });
  }

  /** Whether several authorities share the profile, each for some devices. */
  isShared(name: string): boolean {
    const profile = this.#options.profiles.get(name);
    const issuers = profile === undefined ? [] : issuersOf(profile, this.#options.issuers);
    return issuers.some(({ serves }) => serves !== undefined);
  }

  /** Who certifies such a birth; `undefined` where nobody here does. */
  authorityOf({ profile: name, ...use }: Birth): Issuer | undefined {
    const profile = this.#options.profiles.get(name);
    if (profile === undefined || !isBirthProfile(profile)) return undefined;
    return issuerFor(issuersOf(profile, this.#options.issuers), use);
  }

  /** `undefined` where nobody here issues the profile. */
  #encoderFor({ profile: name, issuer: named, use }: IssueRequest): Encoder | undefined {
    const { crypto, profiles, issuers } = this.#options;
    const profile = profiles.get(name);
    if (profile === undefined) return undefined;
    const candidates = issuersOf(profile, issuers);
    const issuer =
      named === undefined
        ? issuerFor(candidates, use)
        : candidates.find((one) => one.name === named);
    if (issuer === undefined) return undefined;
    const encoders = this.#encoders.get(profile) ?? new Map<string, Encoder>();
    this.#encoders.set(profile, encoders);
    const known = encoders.get(issuer.name);
    if (known !== undefined) return known;
    const encode = compileProfile(crypto, profile, issuer);
    encoders.set(issuer.name, encode);
    return encode;
  }

  /** `undefined` when today's profiles and lints would not let it pass, or its key is lost. */
  #relint(intent: UnfinishedIntent): Signable | undefined {
    const { issuers, profiles, labelled, crypto, decompress, isLost } = this.#options;
    if (isLost?.(intent.issuer) === true) return undefined;
    const issuer = issuers.find((one) => one.name === intent.issuer);
    const profile =
      labelled?.get(intent.profile) ??
      [...profiles.values()].find((one) => profileLabel(one) === intent.profile);
    if (issuer === undefined || profile === undefined) return undefined;
    const { tbs, preparedMs } = intent;
    const linted = lint(crypto, { tbs, profile, issuer, nowMs: preparedMs, decompress });
    return isRefusal(linted) ? undefined : { ...intent, linted };
  }

  /** The certificates by id. */
  async #signAndComplete(
    signables: readonly Signable[],
    atMs: number,
  ): Promise<ReadonlyMap<number, Uint8Array>> {
    // A crash from here to the end of `complete` leaves signatures that nobody has seen.
    const signatures = await Promise.all(signables.map(({ linted }) => sign(linted)));
    const finished = signables.map((signable, index) =>
      this.#finish(signable, signatures[index] ?? new Uint8Array(0), atMs),
    );
    const earlier = await this.#options.store.complete(
      finished.map(({ completion }) => completion),
    );
    const certificates = new Map(
      finished.map(({ completion, certificate }) => [completion.id, certificate]),
    );
    // Another process took the intent for one that was left behind: what it recorded is the certificate.
    for (const { id, linted } of signables) {
      const signature = earlier.get(id);
      if (signature !== undefined) certificates.set(id, completed(linted, signature));
    }
    return certificates;
  }

  #finish(
    { id, linted, profile, serialNumber, holder, ticketId }: Signable,
    signature: Uint8Array,
    atMs: number,
  ): { readonly completion: Completion; readonly certificate: Uint8Array } {
    const { issuer } = linted;
    const certificate = completed(linted, signature);
    const entry = encodeAuditEntry({
      kind: 'issued',
      atMs,
      issuerKeyId: issuer.keyIdentifier,
      serialNumber,
      certificateSha256: this.#options.crypto.hash('SHA-256', certificate),
      profile,
      holder,
      ticketId,
    });
    return { completion: { id, signature, entry }, certificate };
  }
}

/** The only place that signs certificates; what was not linted has no type that fits. */
function sign({ issuer, tbs }: LintedTbs): Promise<Uint8Array> {
  return issuer.signer.sign(tbs);
}

function completed({ issuer, tbs }: LintedTbs, signature: Uint8Array): Uint8Array {
  return isNativeTbs(tbs)
    ? completeNative(tbs, signature)
    : encodeCertificate(tbs, issuer.signatureAlgorithm, signature);
}

/** The same values as CBOR; what is stored in T1 and signed is this. */
function natively(prepared: Prepared): Prepared {
  const { tbs, issuer } = prepared;
  return { ...prepared, tbs: nativeTbsOf(tbs, issuer.signatureAlgorithm) };
}

interface Plan {
  readonly linted: LintedTbs;
  readonly intent: Intent;
}

function intentOf(request: IssueRequest, prepared: Prepared, nowMs: number): Intent {
  return {
    issuer: prepared.issuer.name,
    profile: profileLabel(prepared.profile),
    serialNumber: prepared.serialNumber,
    holder: request.content.name,
    keyIdentifier: prepared.keyIdentifier,
    preparedMs: nowMs,
    notAfterMs: prepared.notAfterMs,
    tbs: prepared.tbs,
    grants: request.grants ?? [],
    replaces: request.replaces,
    unit: request.unit,
  };
}

function signableOf({ id, linted, intent }: Plan & { readonly id: number }): Signable {
  const { profile, serialNumber, holder, unit } = intent;
  return { id, linted, profile, serialNumber, holder, ticketId: unit?.ticketId };
}

const quotaReasons = {
  'ticket-closed': 'The ticket is closed.',
  'quota-exhausted': 'Every identity of this ticket is taken.',
  'no-eui64-left': 'The order has no EUI-64 left.',
  'grant-spent': 'The secret or approval was spent, or taken back.',
  overtaken: 'The device was promised another certificate meanwhile.',
} as const;

type Repeated = Refusal<'issued-before'>;

function isRepeated(outcome: Issued | IssueRefusal | Repeated): outcome is Repeated {
  return isRefusal(outcome) && outcome.refused === 'issued-before';
}

const conflictReasons = {
  uid: refuse('uid-taken', 'This element has an identity already.'),
  key: refuse('key-taken', 'This key belongs to another element already.'),
  'device-id': refuse('device-id-taken', 'This device id is taken; a new one will do.'),
} as const;

function conflictRefusal(conflict: IntentConflict, { linted }: Plan): IssueRefusal | Repeated {
  switch (conflict) {
    case 'uid':
    case 'key':
    case 'device-id':
      return conflictReasons[conflict];
    case 'serial':
      if (linted.profile.compressed !== undefined) {
        return refuse('issued-before', 'The key has a certificate of this hour.');
      }
      throw new InvariantError(
        '80 random bits came twice in a millisecond: the random source is broken',
      );
  }
}
