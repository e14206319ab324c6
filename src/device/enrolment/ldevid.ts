/** The device's operational certificate: asking for one, and judging what came back. */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  prepareCertificationRequest,
  type RequestFields,
} from '../../wire/x509/certificationRequest.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { attributeText } from '../../wire/x509/names.ts';
import { p256Spki } from '../../wire/x509/spki.ts';
import { isAuthority, isIssuedBy } from '../identity/signatures.ts';
import type { SigningKey } from '../identity/signingKeys.ts';

/** Certificates between a device's and its root. */
const longestChain = 4;

/** What a request says beside key and names. */
export type RequestExtras = Pick<RequestFields, 'challengePassword' | 'others'>;

/**
 * DER of a PKCS#10 request for that key, signed by it. Names are the server's to give: the request repeats
 * those of the IDevID.
 */
export async function requestLdevid(
  key: SigningKey,
  subject: Uint8Array,
  extras: RequestExtras = {},
): Promise<Uint8Array> {
  const request = prepareCertificationRequest({ subject, spki: p256Spki(key.point), ...extras });
  return request.finish('ecdsa-with-SHA256', await key.sign(request.toBeSigned));
}

export interface DeviceIdentity {
  readonly deviceId: string;
  /** The key that the certificate is for: uncompressed point, 65 bytes. */
  readonly point: Uint8Array;
  /** DER of the IDevID's subject. */
  readonly subject: Uint8Array;
}

export type LdevidFault =
  | 'unreadable'
  | 'another-key'
  | 'another-device'
  | 'an-authority'
  | 'no-chain'
  | 'not-in-force';

/**
 * The chain to show from now on, leaf first and without its root; or why the certificate is not ours.
 * `authorities` came from a server that a pinned anchor vouches for. Without a clock dates are not judged.
 */
export function judgeLdevid(
  crypto: Crypto,
  issued: Uint8Array,
  authorities: readonly Uint8Array[],
  identity: DeviceIdentity,
  nowMs: number | undefined,
): { readonly chain: readonly Uint8Array[] } | { readonly fault: LdevidFault } {
  const ldevid = readable(issued);
  if (ldevid === undefined) return { fault: 'unreadable' };
  const fault = faultOfLdevid(ldevid, identity, nowMs);
  if (fault !== undefined) return { fault };
  const known = authorities.flatMap((der) => readable(der) ?? []);
  const chain = chainOf(crypto, ldevid, known);
  return chain === undefined ? { fault: 'no-chain' } : { chain };
}

/** What the certificate itself shows; who signed it is for `chainOf`. */
export function faultOfLdevid(
  ldevid: Certificate,
  identity: DeviceIdentity,
  nowMs: number | undefined,
): LdevidFault | undefined {
  if (!equal(ldevid.publicKey.spki, p256Spki(identity.point))) return 'another-key';
  if (attributeText(ldevid.subject, 'serialNumber') !== identity.deviceId) return 'another-device';
  if (isAuthority(ldevid)) return 'an-authority';
  if (nowMs === undefined) return undefined;
  const inForce = nowMs >= ldevid.notBeforeMs - skewMs && nowMs <= ldevid.notAfterMs;
  return inForce ? undefined : 'not-in-force';
}

/** A device's clock may be behind the authority's. */
const skewMs = 3_600_000;

/** Up to a self-signed certificate, which is not part of what is shown; `undefined` where none is reached. */
export function chainOf(
  crypto: Crypto,
  ldevid: Certificate,
  authorities: readonly Certificate[],
): readonly Uint8Array[] | undefined {
  const chain = [ldevid];
  while (chain.length <= longestChain) {
    const last = chain.at(-1) ?? ldevid;
    const issuer = authorities.find(
      (authority) => isAuthority(authority) && isIssuedBy(crypto, last, authority),
    );
    if (issuer === undefined) return undefined;
    if (isIssuedBy(crypto, issuer, issuer)) return chain.map(({ der }) => new Uint8Array(der));
    chain.push(issuer);
  }
  return undefined;
}

function readable(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
