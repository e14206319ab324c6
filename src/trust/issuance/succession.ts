/**
 * Which operational certificates of a device go on when it gets another one: the one that it has shown, or
 * the newest where it has shown none, and the new one. The others are revoked as superseded, in T1 of the
 * new one. What the device shows next decides between the two (`trust/status/notices`).
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { completeEither } from '../../wire/c509/either.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { encodeAuditEntry, readAuditEntry } from '../audit/entry.ts';
import type { Clock } from '../ports/clock.ts';
import {
  isLost,
  type IssuanceStore,
  type IssuedCertificate,
  lostPrefix,
  type Replacement,
  type Revocation,
} from '../ports/issuanceStore.ts';
import { renewed } from '../ports/registryStore.ts';
import type { Issuance } from './issuance.ts';
import { isNativeTbs } from './nativeForm.ts';

export interface SuccessionOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly issuance: Pick<Issuance, 'settled' | 'recover'>;
  readonly certificates: Pick<IssuanceStore, 'promisesTo'>;
  /** Names of the profiles that elements are born with. */
  readonly births: ReadonlySet<string>;
}

/** As the log has it: nobody ordered it, and the device goes on with a newer certificate. */
export const renewedText: string = `${renewed.code}: ${renewed.reason}`;

/** The operational certificates of a device that count, and what becomes of them. */
export interface Living {
  /** Oldest first. */
  readonly certificates: readonly IssuedCertificate[];
  readonly latest: number;
}

export class Succession {
  readonly #options: SuccessionOptions;

  constructor(options: SuccessionOptions) {
    this.#options = options;
  }

  /** Rejects with an `EnvironmentError` while what was promised before cannot be signed. */
  async livingOf(deviceId: string): Promise<Living> {
    const { certificates: store, issuance, births } = this.#options;
    let promises = await store.promisesTo(deviceId);
    if (promises.unsigned.length > 0) {
      // A promise that is kept later would be one certificate too many.
      await Promise.all(promises.unsigned.map((serialNumber) => issuance.settled(serialNumber)));
      promises = await store.promisesTo(deviceId);
      if (promises.unsigned.length > 0) {
        await issuance.recover();
        promises = await store.promisesTo(deviceId);
      }
    }
    const { latest } = promises;
    const certificates = promises.certificates.filter((one) => !isBirth(one, births));
    return { certificates, latest };
  }

  /** `shown`: serial number of the operational certificate by which the device is known now. */
  replacement({ certificates, latest }: Living, shown: Uint8Array | undefined): Replacement {
    const kept = keptOf(certificates, shown);
    const superseded = certificates
      .filter((one) => one !== kept)
      .map(({ serialNumber }) => this.#revocation(serialNumber));
    return { latest, superseded };
  }

  /** SHA-256 of those that stay beside a new one. */
  beside({ certificates }: Living, shown: Uint8Array | undefined): readonly Uint8Array[] {
    const kept = keptOf(certificates, shown);
    return kept === undefined ? [] : [hashOfIssued(this.#options.crypto, kept)];
  }

  /** SHA-256 of all but this one. */
  others({ certificates }: Living, { serialNumber }: IssuedCertificate): readonly Uint8Array[] {
    return certificates
      .filter((one) => !equal(one.serialNumber, serialNumber))
      .map((one) => hashOfIssued(this.#options.crypto, one));
  }

  #revocation(serialNumber: Uint8Array): Revocation {
    const atMs = this.#options.clock.nowMs();
    const entry = encodeAuditEntry({ kind: 'revoked', atMs, serialNumber, reason: renewedText });
    return { serialNumber, ...renewed, atMs, entry };
  }
}

function keptOf(
  certificates: readonly IssuedCertificate[],
  shown: Uint8Array | undefined,
): IssuedCertificate | undefined {
  if (shown === undefined) return certificates.at(-1);
  return certificates.find(({ serialNumber }) => equal(serialNumber, shown));
}

/** What a restore found in the log has no unit, births included. */
function isBirth({ profile }: IssuedCertificate, births: ReadonlySet<string>): boolean {
  const from = profile.startsWith(lostPrefix) ? lostPrefix.length : 0;
  return births.has(profile.slice(from, profile.lastIndexOf('@')));
}

/** Name of the profile and form, as a request asks for them. */
export function isAsAsked(
  { profile, tbs }: IssuedCertificate,
  asked: { readonly profile: string; readonly form: 'der' | 'native' },
): boolean {
  const name = profile.slice(0, profile.lastIndexOf('@'));
  return name === asked.profile && isNativeTbs(tbs) === (asked.form === 'native');
}

/** SHA-256 over the certificate. */
export function hashOfIssued(crypto: Crypto, issued: IssuedCertificate): Uint8Array {
  const { tbs, signature } = issued;
  if (!isLost(issued)) return crypto.hash('SHA-256', completeEither(tbs, signature));
  const entry = readAuditEntry(tbs);
  return entry.kind === 'issued' ? entry.certificateSha256 : new Uint8Array(0);
}
