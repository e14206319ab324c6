/**
 * Certificates that a device points at (x5u of RFC 9360 §2, c5u of the C509 draft). A peer whom nobody knows
 * yet names the place, so that nothing is read but below prefixes that the operator listed, a few at a time;
 * what comes back is as untrusted as a chain by value.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { parseCoseC509 } from '../../wire/c509/coseHeaders.ts';
import { parseCertificateList } from '../../wire/edhoc/idCred.ts';
import type { CredentialFetcher, FetchedResource } from '../ports/credentialFetch.ts';
import { isRefusal } from '../ports/faults.ts';

export interface LocatedCredential {
  readonly kind: 'x5u' | 'c5u';
  readonly uri: string;
}

/** At a time. Beyond it a device is told nothing and tries again. */
const maximumInFlight = 8;

export class FetchedChains {
  readonly #fetcher: CredentialFetcher;
  readonly #prefixes: readonly string[];
  #inFlight = 0;

  /** Throws a `TypeError` for a prefix that `isCredentialPrefix` does not take. */
  constructor(fetcher: CredentialFetcher, prefixes: readonly string[]) {
    const odd = prefixes.find((prefix) => !isCredentialPrefix(prefix));
    if (odd !== undefined) throw new TypeError(`${odd} is no prefix of credentials`);
    this.#fetcher = fetcher;
    this.#prefixes = prefixes;
  }

  /** End entity first; `undefined` when it may not be read, was not had, or is no list of certificates. */
  async chainAt({ kind, uri }: LocatedCredential): Promise<readonly Uint8Array[] | undefined> {
    if (!this.#allows(uri) || this.#inFlight >= maximumInFlight) return undefined;
    this.#inFlight += 1;
    try {
      const fetched = await this.#fetcher.fetch(uri);
      return isRefusal(fetched) ? undefined : chainIn(kind, fetched);
    } finally {
      this.#inFlight -= 1;
    }
  }

  #allows(uri: string): boolean {
    return plainUri.test(uri) && this.#prefixes.some((prefix) => uri.startsWith(prefix));
  }
}

/** `https://pki.example.com/devices/`: scheme, host and folders, with the slash at the end. */
export function isCredentialPrefix(prefix: string): boolean {
  return prefix.endsWith('/') && plainUri.test(`${prefix}x`);
}

/**
 * What cannot be read in two ways: no user information, no escapes, no dot segments, no query, no fragment.
 * So that a text which begins with a prefix is a place below it.
 */
const plainUri =
  /^https?:\/\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?(?:\/[\w~-][\w.~-]*)+$/;

function chainIn(
  kind: LocatedCredential['kind'],
  { mediaType, body }: FetchedResource,
): readonly Uint8Array[] | undefined {
  try {
    switch (mediaType) {
      case 'application/pkix-cert':
        return kind === 'x5u' ? [body] : undefined;
      case 'application/cose-x509':
        return kind === 'x5u' ? parseCertificateList(body) : undefined;
      case 'application/cose-c509-cert':
        return kind === 'c5u' ? parseCoseC509(body) : undefined;
      default:
        return undefined;
    }
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
