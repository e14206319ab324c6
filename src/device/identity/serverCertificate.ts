/**
 * Whether a certificate is that of this device's server, judged off line and without a clock: a chain to an
 * anchor of the element, a key for the right use, and a generation that is not below the highest floor that
 * the device has seen (docs/server-identity.md).
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseEitherCertificate } from '../../wire/c509/either.ts';
import type { PointDecompressor } from '../../wire/c509/publicKey.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { decodeKeyUsage, extensionOids, findExtension } from '../../wire/x509/extensions.ts';
import type { Certificate } from '../../wire/x509/model.ts';
import { decodeServerGeneration, type ServerGeneration } from '../../wire/x509/serverGeneration.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import { isAuthority, isIssuedBy } from './signatures.ts';

export interface ServerRules {
  readonly crypto: Crypto;
  readonly decompress: PointDecompressor;
  /** DER, of the element. */
  readonly anchors: readonly Uint8Array[];
  /** Of the extension ServerGeneration. */
  readonly generationOid: string;
  /** In method 0 and 2 the server signs, in 1 and 3 it agrees. */
  readonly keyUse: 'digitalSignature' | 'keyAgreement';
}

export interface ServerCertificate extends ServerGeneration {
  readonly credential: Credential;
  /** SHA-256 of the anchor, 8 bytes in hexadecimal: floors are kept for each anchor. */
  readonly anchor: string;
}

export type ServerFault =
  | 'malformed'
  | 'no-chain'
  | 'an-authority'
  | 'wrong-key-usage'
  | 'unknown-critical-extension'
  /** A certificate of the right authority for something else. */
  | 'no-session-server';

/** Certificates between the server's and the anchor, both included. */
const longestChain = 4;

/** `reference`: x5chain or c5c; the floor is for `FloorStore`. */
export function judgeServer(
  reference: CredentialReference,
  rules: ServerRules,
): ServerCertificate | { readonly fault: ServerFault } {
  if (reference.kind !== 'x5chain' && reference.kind !== 'c5c') return { fault: 'malformed' };
  try {
    return judge(reference.certificates, reference.kind === 'c5c', rules);
  } catch (error) {
    const isServers = error instanceof MalformedError || error instanceof UnsupportedError;
    if (!isServers) throw error;
    return { fault: 'malformed' };
  }
}

function judge(
  encodings: readonly Uint8Array[],
  isC509: boolean,
  rules: ServerRules,
): ServerCertificate | { readonly fault: ServerFault } {
  const { crypto, decompress, generationOid, keyUse } = rules;
  const read = encodings
    .slice(0, longestChain)
    .map((encoding) => parseEitherCertificate(encoding, decompress));
  const [leaf] = read;
  const [encoding] = encodings;
  if (leaf === undefined || encoding === undefined) return { fault: 'malformed' };
  if ((leaf.form === 'der') === isC509) return { fault: 'malformed' };
  const { certificate } = leaf;
  const authorities = read.slice(1).map((one) => one.certificate);
  const anchor = anchorOf(rules, certificate, authorities);
  if (anchor === undefined) return { fault: 'no-chain' };
  if (isAuthority(certificate)) return { fault: 'an-authority' };
  const usage = findExtension(certificate.extensions, extensionOids.keyUsage);
  // RFC 5280 §4.2.1.3: absent means every use, which is more than a server needs.
  if (usage === undefined || !decodeKeyUsage(usage.value).has(keyUse)) {
    return { fault: 'wrong-key-usage' };
  }
  const known = [...processed, generationOid];
  if (certificate.extensions.some(({ critical, oid }) => critical && !known.includes(oid))) {
    return { fault: 'unknown-critical-extension' };
  }
  const stated = findExtension(certificate.extensions, generationOid);
  if (stated === undefined) return { fault: 'no-session-server' };
  const publicKey = crypto.importPublicKey('P-256', p256Point(certificate.publicKey.spki));
  if (publicKey === undefined) return { fault: 'malformed' };
  const cred = isC509 ? new Uint8Array(encoding) : cbor.bytes(encoding);
  return {
    ...decodeServerGeneration(stated.value),
    credential: { cred, publicKey },
    anchor: toHex(crypto.hash('SHA-256', anchor.der).subarray(0, 8)),
  };
}

/** Extensions of the leaf that are looked at here or bind only authorities. */
const processed: readonly string[] = [extensionOids.keyUsage, extensionOids.basicConstraints];

function anchorOf(
  { crypto, anchors }: ServerRules,
  leaf: Certificate,
  authorities: readonly Certificate[],
): Certificate | undefined {
  const trusted = anchors.map((der) => parseCertificate(der));
  let last = leaf;
  for (let length = 1; length < longestChain; length += 1) {
    const subject = last;
    const issues = (issuer: Certificate): boolean =>
      isAuthority(issuer) && isIssuedBy(crypto, subject, issuer);
    const anchor = trusted.find(issues);
    if (anchor !== undefined) return anchor;
    const issuer = authorities.find(issues);
    if (issuer === undefined) return undefined;
    last = issuer;
  }
  return undefined;
}

/** The highest floor of each anchor, in the device's durable memory. */
export class FloorStore {
  readonly #store: DeviceStore;

  constructor(store: DeviceStore) {
    this.#store = store;
  }

  /** Whether the credential is not older than what the device has seen. */
  async allows({ anchor, generation }: ServerCertificate): Promise<boolean> {
    return generation >= (await this.#floorOf(anchor));
  }

  /** To be called when the handshake is finished, and not before: until then anybody may have sent it. */
  async raise({ anchor, floor }: ServerCertificate): Promise<void> {
    if (floor <= (await this.#floorOf(anchor))) return;
    await this.#store.commit(new Map([[nameOf(anchor), encodeFloor(floor)]]));
  }

  async #floorOf(anchor: string): Promise<number> {
    const stored = await this.#store.read(nameOf(anchor));
    return (stored ?? new Uint8Array(0)).reduce((floor, byte) => floor * 256 + byte, 0);
  }
}

function nameOf(anchor: string): string {
  return `floor-${anchor}`;
}

function encodeFloor(floor: number): Uint8Array {
  return Uint8Array.of(floor >>> 24, (floor >>> 16) & 255, (floor >>> 8) & 255, floor & 255);
}
