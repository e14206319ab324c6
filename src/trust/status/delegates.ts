/**
 * The keys that sign answers, one for each key of an authority. An authority's own key is for certificates and
 * lists; an answer is asked for by anybody, as often as they like. The delegated key lives in memory
 * only: it is drawn at the start, replaced before its certificate gets old, and there is nothing to steal
 * once the process has ended.
 */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { encodeSignatureAlgorithm } from '../../wire/x509/algorithms.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import type { Issuance } from '../issuance/issuance.ts';
import { type RespondingRole, responderProfile } from '../issuance/profiles.ts';
import type { Clock } from '../ports/clock.ts';
import { EnvironmentError, isRefusal } from '../ports/faults.ts';
import type { Signer } from '../ports/keys.ts';

/** For which a delegate speaks: one key of a role. */
export interface AnsweringAuthority {
  readonly role: RespondingRole;
  readonly name: string;
}

export interface Delegate {
  readonly authority: AnsweringAuthority;
  readonly signer: Signer;
  readonly signatureAlgorithm: Uint8Array;
  /** DER. */
  readonly certificate: Uint8Array;
  /** SHA-1 over the key's bits: its name in answers (RFC 6960 §4.2.1, byKey). */
  readonly keyHash: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface DelegatesOptions {
  readonly issuance: Issuance;
  readonly clock: Clock;
  readonly crypto: Crypto;
  /** A new key that nobody else has. */
  readonly newSigner: () => Signer;
}

/** Of its life that is over when a delegate is replaced. */
const renewalAt = 2 / 3;

export class Delegates {
  readonly #options: DelegatesOptions;
  readonly #present = new Map<string, Delegate>();
  readonly #coming = new Map<string, Promise<Delegate>>();

  constructor(options: DelegatesOptions) {
    this.#options = options;
  }

  /**
   * Who signs for the authority now, for answers that are good until `untilMs`. Rejects with an
   * `EnvironmentError` when a new one is needed and cannot be certified.
   */
  of(authority: AnsweringAuthority, untilMs: number): Promise<Delegate> | Delegate {
    const present = this.#present.get(authority.name);
    if (present !== undefined && present.notAfterMs >= untilMs) return present;
    return this.#next(authority);
  }

  /**
   * Replaces those that are getting old, so that nobody has to wait for it; to be called now and then.
   * An authority that nobody asks about has no delegate.
   */
  async renew(): Promise<void> {
    const nowMs = this.#options.clock.nowMs();
    const old = [...this.#present.values()].filter((present) => nowMs >= renewalOf(present));
    await Promise.all(old.map(({ authority }) => this.#next(authority)));
  }

  #next(authority: AnsweringAuthority): Promise<Delegate> {
    const { name } = authority;
    const coming = this.#coming.get(name);
    if (coming !== undefined) return coming;
    const next = this.#certified(authority)
      .then((delegate) => {
        this.#present.set(name, delegate);
        return delegate;
      })
      .finally(() => this.#coming.delete(name));
    this.#coming.set(name, next);
    return next;
  }

  async #certified(authority: AnsweringAuthority): Promise<Delegate> {
    const { role, name } = authority;
    const { issuance, clock, crypto, newSigner } = this.#options;
    const signer = newSigner();
    const notBeforeMs = clock.nowMs();
    const [issued] = await issuance.issue([
      {
        profile: responderProfile(role),
        issuer: name,
        content: { spki: signer.publicKeySpki, name: `OCSP ${name}` },
      },
    ]);
    if (issued === undefined || isRefusal(issued)) {
      throw new EnvironmentError(
        `the authority ${name} has no responder: ${issued?.reason ?? 'nothing was issued'}`,
        { retryable: true },
      );
    }
    return {
      authority,
      signer,
      signatureAlgorithm: encodeSignatureAlgorithm(signer.algorithm),
      certificate: issued.certificate,
      keyHash: crypto.hash('SHA-1', parseSpki(signer.publicKeySpki).key),
      notBeforeMs,
      notAfterMs: issued.notAfterMs,
    };
  }
}

function renewalOf({ notBeforeMs, notAfterMs }: Delegate): number {
  return notBeforeMs + (notAfterMs - notBeforeMs) * renewalAt;
}
