/**
 * Roots on other machines as the server sees them: the one that certifies, the one before it, and the next one,
 * which is believed because the present one has certified its key (RFC 4210 §4.4), or had named it before
 * (RFC 8649).
 */
import { existsSync } from 'node:fs';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import { builtIn } from '../../trust/issuance/profiles.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import { type AuthorityPaths, certificatePath, readCertificateFile } from './authorityFolder.ts';
import {
  believedBelowRoots,
  crossRootProfile,
  type Profiles,
  underName,
} from './authorityNames.ts';
import { active, type AuthorityRecord, offlineKey } from './book.ts';
import { requireCommitted } from './nextRoot.ts';
import { checkCertificate, checkRoot, isSignedBy, publicSigner } from './requests.ts';
import { distributionOf } from './statusPlan.ts';
import type { AuthorityStores } from './stores.ts';

export interface RootStanding {
  readonly record: AuthorityRecord;
  /** Signs nothing here. */
  readonly issuer: Issuer;
}

export interface OfflineRootsOptions {
  readonly paths: AuthorityPaths;
  readonly stores: Pick<AuthorityStores, 'status'>;
  readonly book: readonly AuthorityRecord[];
  readonly organization: string;
  readonly profiles: Profiles;
  readonly nowMs: number;
}

export class OfflineRoots {
  readonly #options: OfflineRootsOptions;
  readonly #roots: readonly RootStanding[];
  /** The one that certifies, where it is on another machine. */
  readonly present: RootStanding | undefined;

  private constructor(options: OfflineRootsOptions, roots: readonly RootStanding[]) {
    this.#options = options;
    this.#roots = roots;
    const { name } = active(options.book, 'root');
    this.present = roots.find(({ record }) => record.name === name);
  }

  /** Those whose certificate is here. Rejects with an `EnvironmentError` where all roots are in the folder. */
  static async open(options: OfflineRootsOptions): Promise<OfflineRoots> {
    const { book, paths } = options;
    const away = book.filter(
      ({ key, state, name }) =>
        key === offlineKey && state !== 'removed' && existsSync(certificatePath(paths, name)),
    );
    if (away.length === 0) throw refused('the root of this installation is in its folder');
    const roots: RootStanding[] = [];
    for (const record of away) {
      roots.push(await standing(options, record, await readCertificateFile(paths, record.name)));
    }
    return new OfflineRoots(options, roots);
  }

  /** Whose signature that is; `undefined` for nobody's here. */
  signerOf(signed: Parameters<typeof isSignedBy>[0]): RootStanding | undefined {
    return this.#roots.find(({ issuer }) => isSignedBy(signed, issuer.signer.publicKeySpki));
  }

  /** Of the root with that key. */
  withKey(spki: Uint8Array): RootStanding | undefined {
    return this.#roots.find(({ issuer }) => equal(issuer.signer.publicKeySpki, spki));
  }

  /**
   * With the next root, when it was announced and is among the certificates. Rejects with an
   * `EnvironmentError` when the present one does not vouch for it there.
   */
  async admit(certificates: readonly Uint8Array[]): Promise<OfflineRoots> {
    const { book } = this.#options;
    const next = book.find(
      ({ role, state, key }) => role === 'root' && state === 'announced' && key === offlineKey,
    );
    const found = certificates.find((der) => {
      const { publicKey } = parseCertificate(der);
      return this.withKey(publicKey.spki) === undefined && isSelfSigned(der);
    });
    if (next === undefined || found === undefined || this.present === undefined) return this;
    await this.#judge(this.present, next, found, certificates);
    const admitted = await standing(this.#options, next, found);
    return new OfflineRoots(this.#options, [...this.#roots, admitted]);
  }

  async #judge(
    { record, issuer }: RootStanding,
    next: AuthorityRecord,
    found: Uint8Array,
    certificates: readonly Uint8Array[],
  ): Promise<void> {
    const { organization, paths } = this.#options;
    checkRoot(found, organization, next.algorithm);
    const { subject, publicKey } = parseCertificate(found);
    const told = printName(subject);
    const sharesName = equal(subject.der, issuer.subject.der);
    if (sharesName !== (next.sharesNameOf !== undefined)) {
      throw refused(`${told} is not the name that ${next.name} was announced with`);
    }
    const isVouchedFor = certificates.some((der) => {
      const one = parseCertificate(der);
      const signed = { ...one, oid: one.signatureAlgorithm.oid };
      return (
        equal(one.publicKey.spki, publicKey.spki) && isSignedBy(signed, issuer.signer.publicKeySpki)
      );
    });
    if (!isVouchedFor) throw refused(`the present root has not certified the key of ${told}`);
    const signer = publicSigner(publicKey.spki, next.algorithm);
    requireCommitted(await readCertificateFile(paths, record.name), next.name, signer);
  }

  /**
   * File of a certificate between two roots, or of a root's own. Throws an `EnvironmentError` when it breaks
   * a lint.
   */
  fileOfLink(der: Uint8Array, owner: RootStanding): string {
    const { organization, nowMs } = this.#options;
    const certificate = parseCertificate(der);
    const signer = this.signerOf({ ...certificate, oid: certificate.signatureAlgorithm.oid });
    if (signer === undefined) {
      throw refused(
        `${printName(certificate.subject)} is not signed by a root of this installation`,
      );
    }
    if (signer === owner) return owner.record.name;
    const { issuer } = signer;
    const subject = owner.issuer.subject.der;
    const profile = builtIn(equal(subject, issuer.subject.der) ? 'link-root' : crossRootProfile);
    checkCertificate(der, owner.record, { organization, profile, root: issuer, nowMs, subject });
    return underName(owner.record.name, signer.record.name);
  }
}

/** Files that have not come from a root beside the present one, or behind it. */
export function missingOf(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  root: AuthorityRecord,
): readonly string[] {
  const present = active(book, 'root').name;
  const isHere = (name: string): boolean => existsSync(certificatePath(paths, name));
  const issuing = believedBelowRoots(book).filter(({ name }) => isHere(name));
  const links =
    root.state === 'announced'
      ? [root.name, underName(root.name, present), underName(present, root.name)]
      : [];
  return [...links, ...issuing.map(({ name }) => underName(name, root.name))].filter(
    (name) => !isHere(name),
  );
}

async function standing(
  { stores, book }: OfflineRootsOptions,
  record: AuthorityRecord,
  certificate: Uint8Array,
): Promise<RootStanding> {
  const { spki } = parseCertificate(certificate).publicKey;
  const { name } = record;
  const distribution = await distributionOf(stores.status, book, record, spki);
  const signer = publicSigner(spki, record.algorithm);
  return { record, issuer: issuerFrom('root', certificate, signer, { name, distribution }) };
}

function isSelfSigned(der: Uint8Array): boolean {
  const certificate = parseCertificate(der);
  const signed = { ...certificate, oid: certificate.signatureAlgorithm.oid };
  return isSignedBy(signed, certificate.publicKey.spki);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
