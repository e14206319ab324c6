/**
 * The Concealed HTTP Authentication Scheme (RFC 9729): a key signs what the TLS connection exports, so that
 * the signature is worth something on this connection alone and the key may be anywhere that signs. Chosen:
 * ECDSA on P-256 with SHA-256 alone, no realm.
 */
import { parseBase64url, toBase64url } from '../bytes/base64.ts';
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { utf8 } from '../bytes/utf8.ts';

/** RFC 9729 §3: what the connection is asked to export. */
export const concealedExporter = {
  label: 'EXPORTER-HTTP-Concealed-Authentication',
  lengthBytes: 48,
} as const;

/** RFC 8446 §4.2.3: ecdsa_secp256r1_sha256. */
const signatureScheme = 0x0403;
const pointBytes = 65;
const signatureInputBytes = 32;
const verificationBytes = 16;
/** Longer than any header of this scheme has to be. */
const maximumHeader = 1_024;
const maximumKeyId = 64;

/** What the key is shown for. */
export interface ConcealedTarget {
  readonly keyId: Uint8Array;
  /** Uncompressed P-256 point. */
  readonly publicKey: Uint8Array;
  /** As the client names the server in its URI: brackets around IPv6. */
  readonly host: string;
  readonly port: number;
}

export interface ConcealedProof {
  readonly keyId: Uint8Array;
  /** Uncompressed P-256 point; whether it is on the curve is for whoever verifies. */
  readonly publicKey: Uint8Array;
  /** Sixteen octets of the exporter's output. */
  readonly verification: Uint8Array;
  /** ECDSA-Sig-Value in DER. */
  readonly signature: Uint8Array;
}

/** RFC 9729 §3.1: the exporter's context. */
export function concealedContext({ keyId, publicKey, host, port }: ConcealedTarget): Uint8Array {
  return concat(
    uint16(signatureScheme),
    prefixed(keyId),
    prefixed(publicKey),
    prefixed(utf8('https')),
    prefixed(utf8(host)),
    uint16(port),
    prefixed(new Uint8Array(0)),
  );
}

/** RFC 9729 §3.2, §3.3: what is signed, and what is sent beside the signature. */
export function splitExport(exported: Uint8Array): {
  readonly toBeSigned: Uint8Array;
  readonly verification: Uint8Array;
} {
  if (exported.length !== concealedExporter.lengthBytes) throw new TypeError('48 octets are due');
  return {
    toBeSigned: concat(
      new Uint8Array(64).fill(0x20),
      utf8('HTTP Concealed Authentication\0'),
      exported.subarray(0, signatureInputBytes),
    ),
    verification: exported.slice(signatureInputBytes),
  };
}

/** RFC 9729 §4: the value of `Authorization`. */
export function encodeConcealed(proof: ConcealedProof): string {
  const { keyId, publicKey, verification, signature } = proof;
  return [
    `Concealed k=${toBase64url(keyId)}`,
    `a=${toBase64url(publicKey)}`,
    `s=${signatureScheme}`,
    `v=${toBase64url(verification)}`,
    `p=${toBase64url(signature)}`,
  ].join(', ');
}

/** Throws a `MalformedError`; parameters in any order, each once, none unknown (RFC 9110 §11.2 lets us). */
export function parseConcealed(header: string): ConcealedProof {
  const [, list] = /^concealed +(.+)$/i.exec(header) ?? [];
  if (list === undefined || header.length > maximumHeader) malformed('no Concealed credentials');
  const parameters = new Map<string, string>();
  for (const part of list.split(',')) {
    const [, name, value] = /^[ \t]*([kaspv])=([\w-]+)[ \t]*$/i.exec(part) ?? [];
    if (name === undefined || value === undefined) malformed('a parameter');
    if (parameters.has(name.toLowerCase())) malformed(`${name} twice`);
    parameters.set(name.toLowerCase(), value);
  }
  if (parameters.get('s') !== String(signatureScheme)) malformed('the signature scheme');
  const bytes = (name: string, least: number, most: number): Uint8Array => {
    const value = parseBase64url(parameters.get(name) ?? '');
    if (value === undefined || value.length < least || value.length > most) malformed(name);
    return value;
  };
  const publicKey = bytes('a', pointBytes, pointBytes);
  // RFC 8446 §4.2.8.2: an uncompressed point.
  if (publicKey[0] !== 4) malformed('the public key');
  return {
    keyId: bytes('k', 1, maximumKeyId),
    publicKey,
    verification: bytes('v', verificationBytes, verificationBytes),
    signature: bytes('p', 8, 72),
  };
}

/** RFC 9000 §16, in the fewest octets: nothing here is longer than two of them can tell. */
function prefixed(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length >= 0x4000) throw new TypeError('too long');
  return concat(length < 0x40 ? Uint8Array.of(length) : uint16(0x4000 | length), bytes);
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

function malformed(what: string): never {
  throw new MalformedError('http', 0, `${what} of RFC 9729`);
}
