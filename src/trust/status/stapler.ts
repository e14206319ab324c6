/** The answer about the server's own certificate, which it shows in the handshake (RFC 6066 §8). */
import { equal } from '../../wire/bytes/bytes.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import * as der from '../../wire/der/writer.ts';
import { encodeCertId } from '../../wire/ocsp/request.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Answers } from './answers.ts';

export interface StaplerOptions {
  readonly answers: Pick<Answers, 'kept' | 'keep'>;
  /** Name of the authority whose certificate the server shows. */
  readonly authority: string;
  readonly crypto: Crypto;
}

export class Stapler {
  readonly #options: StaplerOptions;
  /** Of the certificate that was shown last. */
  #request: { readonly leaf: Uint8Array; readonly text: string } | undefined;

  constructor(options: StaplerOptions) {
    this.#options = options;
  }

  /**
   * DER of OCSPResponse for a server's certificate and its issuer's; `undefined` while there is none.
   * Nobody waits in the middle of a handshake: the first clients after a renewal get no answer.
   */
  staple(leaf: Uint8Array, issuer: Uint8Array): Uint8Array | undefined {
    const { answers, authority } = this.#options;
    const text = this.#textFor(leaf, issuer);
    const kept = answers.kept(authority, text);
    if (kept === undefined) void answers.keep(authority, text);
    return kept?.answer.der;
  }

  #textFor(leaf: Uint8Array, issuer: Uint8Array): string {
    if (this.#request !== undefined && equal(this.#request.leaf, leaf)) return this.#request.text;
    const text = toBase64(requestFor(this.#options.crypto, leaf, issuer));
    this.#request = { leaf: leaf.slice(), text };
    return text;
  }
}

/** RFC 9919 §3.2.1: by both hashes in one answer, since one staple has to serve every client. */
function requestFor(crypto: Crypto, leaf: Uint8Array, issuer: Uint8Array): Uint8Array {
  const { serialNumber } = parseCertificate(leaf);
  const { subject, publicKey } = parseCertificate(issuer);
  const requests = (['SHA-1', 'SHA-256'] as const).map((hashAlgorithm) =>
    der.sequence(
      encodeCertId({
        hashAlgorithm,
        issuerNameHash: crypto.hash(hashAlgorithm, subject.der),
        issuerKeyHash: crypto.hash(hashAlgorithm, publicKey.key),
        serialNumber,
      }),
    ),
  );
  return der.sequence(der.sequence(der.sequence(...requests)));
}
