/**
 * Answers questions for the status of certificates (RFC 6960) in the profile of RFC 9919, each from the
 * store and signed anew: caches are in front of it. A question names the issuer by its key, and that key's
 * delegate answers it: certificates outlive the key that issues now.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import { type CertId, type OcspRequest, parseOcspRequest } from '../../wire/ocsp/request.ts';
import {
  encodeOcspResponse,
  encodeResponseData,
  type SingleResponse,
  type Unsuccessful,
} from '../../wire/ocsp/response.ts';
import type { Issuer } from '../issuance/issuer.ts';
import { respondingRoles } from '../issuance/profiles.ts';
import type { Clock } from '../ports/clock.ts';
import type { SignedAnswer } from '../ports/statusAuthority.ts';
import type { StatusStore } from '../ports/statusStore.ts';
import type { AnsweringAuthority, Delegates } from './delegates.ts';

export interface ResponderOptions {
  readonly store: Pick<StatusStore, 'statusOf'>;
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly issuers: readonly Issuer[];
  readonly delegates: Delegates;
  /** Hears of every answer that was signed: for the audit log, which counts them. */
  readonly onSigned?: (answer: Uint8Array, signerKeyHash: Uint8Array) => void;
}

/** An answer is good for so long: an outage of the authority that is shorter is not noticed. */
export const answerLifeMs = 43_200_000;

/** How requests name an issuer. */
interface IssuerHashes extends AnsweringAuthority {
  readonly names: Readonly<Record<CertId['hashAlgorithm'], Uint8Array>>;
  readonly keys: Readonly<Record<CertId['hashAlgorithm'], Uint8Array>>;
}

export class Responder {
  readonly #options: ResponderOptions;
  readonly #issuers: readonly IssuerHashes[];

  constructor(options: ResponderOptions) {
    this.#options = options;
    this.#issuers = options.issuers.flatMap((issuer) => {
      const role = respondingRoles.find((one) => one === issuer.role);
      return role === undefined ? [] : [hashesOf(options.crypto, role, issuer)];
    });
  }

  /**
   * `authority`: whose responder was asked. `unauthorized` for certificates of others, or of several keys
   * at once, and for serial numbers that were never issued: nothing authoritative can be said of them
   * (RFC 9919 §3.2.3).
   */
  async answer(authority: string, request: Uint8Array): Promise<SignedAnswer | Unsuccessful> {
    const parsed = parsedOr(request);
    if (parsed === undefined) return 'malformedRequest';
    const issuer = this.#issuerOf(authority, parsed.certIds[0]);
    if (issuer === undefined) return 'unauthorized';
    const thisUpdateMs = toSecond(this.#options.clock.nowMs());
    const nextUpdateMs = thisUpdateMs + answerLifeMs;
    const responses: SingleResponse[] = [];
    const holders: string[] = [];
    for (const certId of parsed.certIds) {
      if (certId === undefined || !isIssuerOf(issuer, certId)) return 'unauthorized';
      const found = await this.#options.store.statusOf(padded(certId.serialNumber));
      if (found?.authority !== issuer.name) return 'unauthorized';
      responses.push({ certId: certId.der, status: found.status, thisUpdateMs, nextUpdateMs });
      holders.push(found.holder);
    }
    const der = await this.#sign(issuer, responses, parsed.nonce, thisUpdateMs, nextUpdateMs);
    return { der, thisUpdateMs, nextUpdateMs, holders };
  }

  /** Any key of the role of which one was asked. */
  #issuerOf(authority: string, certId: CertId | undefined): IssuerHashes | undefined {
    const asked = this.#issuers.find(({ name }) => name === authority);
    if (asked === undefined || certId === undefined) return undefined;
    return this.#issuers.find((one) => one.role === asked.role && isIssuerOf(one, certId));
  }

  async #sign(
    issuer: AnsweringAuthority,
    responses: readonly SingleResponse[],
    nonce: Uint8Array | undefined,
    producedAtMs: number,
    untilMs: number,
  ): Promise<Uint8Array> {
    const delegate = await this.#options.delegates.of(issuer, untilMs);
    const data = encodeResponseData({
      responderKeyHash: delegate.keyHash,
      producedAtMs,
      responses,
      nonce,
    });
    const signature = await delegate.signer.sign(data);
    const { signatureAlgorithm, certificate, keyHash } = delegate;
    const answer = encodeOcspResponse(data, signatureAlgorithm, signature, [certificate]);
    this.#options.onSigned?.(answer, keyHash);
    return answer;
  }
}

function isIssuerOf({ names, keys }: IssuerHashes, certId: CertId): boolean {
  const { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber } = certId;
  return (
    equal(issuerNameHash, names[hashAlgorithm]) &&
    equal(issuerKeyHash, keys[hashAlgorithm]) &&
    serialNumber.length <= serialBytes
  );
}

/** As serial numbers are drawn and stored; their INTEGER has no leading zeros. */
const serialBytes = 16;

function padded(serialNumber: Uint8Array): Uint8Array {
  if (serialNumber.length === serialBytes) return serialNumber;
  const all = new Uint8Array(serialBytes);
  all.set(serialNumber, serialBytes - serialNumber.length);
  return all;
}

function parsedOr(request: Uint8Array): OcspRequest | undefined {
  try {
    return parseOcspRequest(request);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

function hashesOf(
  crypto: Crypto,
  role: AnsweringAuthority['role'],
  { name, subject, signer }: Issuer,
): IssuerHashes {
  const { key } = parseSpki(signer.publicKeySpki);
  return {
    role,
    name,
    names: {
      'SHA-1': crypto.hash('SHA-1', subject.der),
      'SHA-256': crypto.hash('SHA-256', subject.der),
    },
    keys: {
      'SHA-1': crypto.hash('SHA-1', key),
      'SHA-256': crypto.hash('SHA-256', key),
    },
  };
}

function toSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000;
}
