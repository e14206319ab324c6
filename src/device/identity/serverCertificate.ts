/**
 * Whether a certificate is that of this device's server, judged off line and without a clock: a chain to an
 * anchor of the element, a key for the right use, and a generation (docs/server-identity.md). The rule is
 * one; `x509Server` and `nativeServer` read what it is asked of.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { ServerGeneration } from '../../wire/x509/serverGeneration.ts';

/** In method 0 and 2 the server signs, in 1 and 3 it agrees. */
export type ServerKeyUse = 'digitalSignature' | 'keyAgreement';

export interface ServerCertificate extends ServerGeneration {
  readonly credential: Credential;
  /** For a device that knows of a later time: it has no clock to hold it against. */
  readonly notAfterMs: number;
  /** SHA-256 of the anchor's key, 8 bytes in hexadecimal: floors are kept for each anchor. */
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

export type JudgedServer = ServerCertificate | { readonly fault: ServerFault };

/** A certificate of either encoding, as far as the rule looks. Every answer may throw a `MalformedError`. */
export interface PathCertificate<Issuer> {
  /**
   * RFC 5280 §4.2.1.9 and §4.2.1.3: of a CA that may sign certificates, how many others may stand between it
   * and an end entity, `Infinity` where it does not say; `undefined` of everybody else.
   */
  readonly authorityDepth: number | undefined;
  /** As one that signs others. */
  readonly asIssuer: Issuer;
  /** `undefined` when it is no point of P-256. */
  readonly publicKey: PublicKey | undefined;
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  readonly notAfterMs: number;
  /** Name and signature. */
  isIssuedBy(issuer: Issuer): boolean;
  allows(use: ServerKeyUse): boolean;
  /** Beside those that the rule asks for. */
  hasUnknownCritical(): boolean;
  /** `undefined` when the extension is not there. */
  generation(): ServerGeneration | undefined;
}

/** What the server showed, end entity first, and whom the element trusts. */
export interface ServerPath<Issuer> {
  readonly chain: ReadonlyArray<PathCertificate<Issuer>>;
  readonly anchors: ReadonlyArray<{ readonly issuer: Issuer; readonly key: Uint8Array }>;
  /** CRED_R. */
  readonly cred: Uint8Array;
}

/** Certificates between the server's and the anchor, both included. */
export const longestChain = 4;

/** Floors and times are for `ServerMemory`. */
export function judgePath<Issuer>(
  crypto: Crypto,
  keyUse: ServerKeyUse,
  readPath: () => ServerPath<Issuer>,
): JudgedServer {
  try {
    const { chain, anchors, cred } = readPath();
    const [leaf, ...authorities] = chain;
    if (leaf === undefined) return { fault: 'malformed' };
    const anchor = anchorOf(leaf, authorities, anchors);
    if (anchor === undefined) return { fault: 'no-chain' };
    const judged = judgeLeaf(leaf, keyUse);
    if ('fault' in judged) return judged;
    const { publicKey, notAfterMs } = leaf;
    if (publicKey === undefined) return { fault: 'malformed' };
    const id = toHex(crypto.hash('SHA-256', anchor.key).subarray(0, 8));
    return { ...judged, credential: { cred, publicKey }, notAfterMs, anchor: id };
  } catch (error) {
    const isServers = error instanceof MalformedError || error instanceof UnsupportedError;
    if (!isServers) throw error;
    return { fault: 'malformed' };
  }
}

function judgeLeaf<Issuer>(
  leaf: PathCertificate<Issuer>,
  keyUse: ServerKeyUse,
): ServerGeneration | { readonly fault: ServerFault } {
  if (leaf.authorityDepth !== undefined) return { fault: 'an-authority' };
  // RFC 5280 §4.2.1.3: absent means every use, which is more than a server needs.
  if (!leaf.allows(keyUse)) return { fault: 'wrong-key-usage' };
  if (leaf.hasUnknownCritical()) return { fault: 'unknown-critical-extension' };
  return leaf.generation() ?? { fault: 'no-session-server' };
}

function anchorOf<Issuer>(
  leaf: PathCertificate<Issuer>,
  authorities: ServerPath<Issuer>['chain'],
  anchors: ServerPath<Issuer>['anchors'],
): ServerPath<Issuer>['anchors'][number] | undefined {
  let last = leaf;
  for (let length = 1; length < longestChain; length += 1) {
    const subject = last;
    const anchor = anchors.find(({ issuer }) => subject.isIssuedBy(issuer));
    if (anchor !== undefined) return anchor;
    const issuer = authorities.find(
      (authority) => mayStandAt(authority, length - 1) && subject.isIssuedBy(authority.asIssuer),
    );
    if (issuer === undefined) return undefined;
    last = issuer;
  }
  return undefined;
}

/** RFC 5280 §6.1.4 (m) and (o): what an authority forbids below it in a way that we cannot read, it forbids. */
function mayStandAt<Issuer>(authority: PathCertificate<Issuer>, authoritiesBelow: number): boolean {
  const { authorityDepth = -1 } = authority;
  return authorityDepth >= authoritiesBelow && !authority.hasUnknownCritical();
}
